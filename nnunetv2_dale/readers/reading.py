"""Labels of several readers: read on the voxels of the case's label; readers that lack what another one has."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.nnunet_files.geometry import Stored, require_same_grid
from nnunetv2_dale.nnunet_files.problems import Problem
from nnunetv2_dale.nnunet_files.volumes import read_label

ReadersValues = Mapping[str, frozenset[int]]  # reader → the label values that are drawn in a case


def read_reader(reader: Any, file: Path, allowed: Collection[int], label: Path, stored: Stored) -> NDArray[np.int16]:
    """A reader's label (Z, Y, X), on the voxels of the case's label.

    Args:
        label, stored: the file to go by, its shape and its properties.
    Raises:
        FileError: damaged, with other values, or on other voxels.
    """
    drawn, properties = read_label(reader, file, allowed)
    require_same_grid(file, (drawn.shape, properties), label, stored, "readers draw on the same voxels")
    return drawn


def unequal_cases(readers: Mapping[str, Mapping[str, Path]], places: Mapping[str, Path]) -> list[Problem]:
    """Readers that lack cases which another one has."""
    everywhere = {case for files in readers.values() for case in files}
    return [
        Problem(
            places[name],
            f"lacks {counted(len(missing), 'case')} that another reader has ({missing[0]}); give the same ones",
        )
        for name, files in readers.items()
        if (missing := sorted(everywhere - files.keys()))
    ]


def unequal_classes(
    found: Collection[ReadersValues], classes: Mapping[str, Sequence[int]], places: Mapping[str, Path]
) -> list[Problem]:
    """Readers that never drew a class that another one drew.

    Args:
        found: of each case.
        classes: name → its label values.
        places: reader → folder.
    """
    drawn = {
        who: {name for each in found for name, values in classes.items() if each.get(who, frozenset()) & set(values)}
        for who in places
    }
    everyone = set().union(*drawn.values())
    return [
        Problem(
            places[who], f"has no {' and no '.join(sorted(everyone - mine))}, which another reader drew; leave it out"
        )
        for who, mine in drawn.items()
        if everyone - mine
    ]
