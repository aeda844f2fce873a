"""Files of one dataset put into another: copied or linked, and looked at first where nothing else reads them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Literal

from nnunetv2_dale.nnunet_files.problems import Problem
from nnunetv2_dale.nnunet_files.volume_reading import require_whole

Placement = Literal["copy", "hard", "symbolic"]


def place(source: Path, target: Path, placement: Placement = "copy") -> None:
    """Copy or link one file."""
    if placement == "hard":
        os.link(source.resolve(), target)
    elif placement == "symbolic":
        target.symlink_to(source.resolve())
    else:
        shutil.copy2(source, target)


def place_whole(source: Path, target: Path, placement: Placement = "copy") -> list[Problem]:
    """`place` a file that is whole; the problem if it is not."""
    try:
        require_whole(source)
    except ValueError as error:
        return [Problem(source, str(error))]
    place(source, target, placement)
    return []


def place_folder(source: Path, target: Path, placement: Placement = "copy") -> list[Problem]:
    """`place_whole` of all files below a folder, also behind links to folders; the problems of those left out."""
    problems: list[Problem] = []
    for here, _, names in os.walk(source, followlinks=True):
        below = target / Path(here).relative_to(source)
        below.mkdir(parents=True, exist_ok=True)
        for name in sorted(names):
            problems += place_whole(Path(here) / name, below / name, placement)
    return problems
