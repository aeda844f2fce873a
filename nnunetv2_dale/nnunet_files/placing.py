"""Files of one dataset put into another: copied or linked, and looked at first where nothing else reads them."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.file_names import is_image_name
from nnunetv2_dale.nnunet_files.problems import FileError, Problem
from nnunetv2_dale.nnunet_files.raw_dataset import RawCase
from nnunetv2_dale.nnunet_files.volume_reading import require_whole

Placement = Literal["copy", "hard", "symbolic"]
TIFF = (".tif", ".tiff")
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK}


def place(source: Path, target: Path, placement: Placement = "copy") -> None:
    """Copy or link one file, and with a 3D TIFF the file of its voxel size; a `UserError` where no link can."""
    _place_file(source, target, placement)
    beside = spacing_file(source)
    if beside is not None:
        with_channel = beside.stem == source.stem
        other = target.with_suffix(".json") if with_channel else target.with_name(_without_channel(target) + ".json")
        if not other.exists():  # of another channel, or of the same folder
            _place_file(beside, other, placement)


def spacing_file(image: Path) -> Path | None:
    """Return the file beside a 3D TIFF, if any, that nnU-Net takes its voxel size from, as TIFF holds none.

    It is CASE.json, of a label CASE.tif and of the channels CASE_0000.tif alike.
    """
    if image.suffix.lower() not in TIFF:
        return None
    places = (image.with_suffix(".json"), image.with_name(_without_channel(image) + ".json"))
    return next((place for place in places if place.is_file()), None)


def _without_channel(image: Path) -> str:
    return re.sub(r"_\d{4}$", "", image.stem)


def _place_file(source: Path, target: Path, placement: Placement) -> None:
    if placement == "copy":
        shutil.copy2(source, target)
        return
    try:
        if placement == "hard":
            os.link(source.resolve(), target)
        else:
            target.symlink_to(source.resolve())
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        other = "symbolic" if placement == "hard" else "hard"
        raise UserError(
            f"{source} cannot have a {placement} link where the copy goes ({error.strerror}); give --link {other}, or "
            "leave --link out to copy the files"
        ) from error


def place_whole(source: Path, target: Path, placement: Placement = "copy") -> list[Problem]:
    """Call `place`, on an image only if it is whole: else the problem. An empty note is no damaged image."""
    if is_image_name(source.name):
        try:
            require_whole(source)
        except FileError as error:
            return [error.problem]
    place(source, target, placement)
    return []


def place_cases(cases: Iterable[RawCase], folder: Path) -> list[Problem]:
    """Copy the images and labels of cases into the dataset that is made in `folder`; the problems of damaged ones."""
    problems: list[Problem] = []
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir()
    for case in cases:
        for image in case.images:
            problems += place_whole(image, folder / "imagesTr" / image.name)
        if case.label is not None:
            problems += place_whole(case.label, folder / "labelsTr" / case.label.name)
    return problems


def place_folder(source: Path, target: Path, placement: Placement = "copy") -> list[Problem]:
    """Call `place_whole` on all files below a folder, also behind links to folders."""
    problems: list[Problem] = []
    for here, _, names in os.walk(source, followlinks=True):
        below = target / Path(here).relative_to(source)
        below.mkdir(parents=True, exist_ok=True)
        for name in sorted(names):
            problems += place_whole(Path(here) / name, below / name, placement)
    return problems


def place_others(source: Path, target: Path, left_out: Collection[str], placement: Placement = "copy") -> list[Problem]:
    """Place all of a dataset's folder but some names: folders as `place_folder`, single files copied."""
    problems: list[Problem] = []
    for path in sorted(source.iterdir()):
        if path.name in left_out:
            continue
        if path.is_dir():
            problems += place_folder(path, target / path.name, placement)
        else:
            problems += place_whole(path, target / path.name)
    return problems
