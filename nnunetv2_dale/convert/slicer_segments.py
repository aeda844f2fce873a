"""Segmentations of 3D Slicer (`.seg.nrrd`): values and order are its own, and the header says what they mean."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import SimpleITK

_KEY = re.compile(r"Segment(\d+)_Name")


def segment_names(volume: SimpleITK.Image) -> dict[int, str]:
    """Return value -> name of its segment; empty for a file that Slicer did not write as a segmentation."""
    keys = volume.GetMetaDataKeys()
    found = {}
    for match in filter(None, map(_KEY.fullmatch, keys)):
        value = f"Segment{match[1]}_LabelValue"
        if value in keys:
            found[int(volume.GetMetaData(value))] = volume.GetMetaData(match[0]).strip()
    return found


def label_map_of(volume: SimpleITK.Image, names: Mapping[int, str], classes: Mapping[str, int]) -> dict[int, int]:
    """Return value in the file -> label, by the names of segments and classes; capitals and `_` for a space do not
    matter.

    Args:
        volume: the segmentation.
        names: of `segment_names`.
        classes: name -> label.
    Raises:
        ValueError: a segment with voxels that has the name of no class.
    """
    known = {_plain(name): label for name, label in classes.items()}
    result = {0: 0}
    for value in np.unique(SimpleITK.GetArrayViewFromImage(volume)).tolist():
        if value in names and _plain(names[value]) not in known:
            given = ", ".join(name for name, label in classes.items() if label)
            raise ValueError(
                f"has the segment {names[value]!r} (value {value:g}), which is none of the classes {given}; rename it "
                "in 3D Slicer, or name it with --classes"
            )
        if value in names:
            result[int(value)] = known[_plain(names[value])]
    return result


def _plain(name: str) -> str:
    return name.replace("_", " ").casefold()
