"""Classes and channels of a source dataset: of its dataset.json in any form, of segments that 3D Slicer wrote."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK

from nnunetv2_dale.nnunet_files.json_files import read_json_object
from nnunetv2_dale.nnunet_files.problems import FileError, Problem

_KEY = re.compile(r"Segment(\d+)_Name")  # in a `.seg.nrrd`, whose values and their order are its own
_ADVICE = "mend it, or give --classes and --channels"


def read_classes_and_channels(
    path: Path, problems: list[Problem], need_classes: bool, need_channels: bool
) -> tuple[dict[int, str], tuple[str, ...]]:
    """Read label value -> class, and the channels in order; both empty where there is no file, or it does not say.

    Understood are {"1": "liver"} (Decathlon), {"liver": 1} (nnU-Net) and ["background", "liver"], and the same three
    forms for channels.
    """
    try:
        described = read_json_object(path, _ADVICE) if path.is_file() else {}
    except FileError as error:
        problems.append(error.problem)
        return {}, ()
    labels: dict[int, str] = {}
    channels: dict[int, str] = {}
    try:
        if need_classes:
            labels = _number_to_name(described.get("labels") or {}, "labels")
        if need_channels:
            channels = _number_to_name(described.get("channel_names") or described.get("modality") or {}, "channels")
    except ValueError as error:
        problems.append(Problem(path, f"{error}; {_ADVICE}"))
    return labels, tuple(channels[number] for number in sorted(channels))


def _number_to_name(pairs: Any, what: str) -> dict[int, str]:
    """Number -> name."""
    if isinstance(pairs, list):
        pairs = dict(enumerate(pairs))
    if not isinstance(pairs, Mapping):
        raise ValueError(f"gives its {what} as {pairs!r}, not as numbers and names")
    if not all(str(key).isdecimal() for key in pairs):
        regions = [str(name) for name, number in pairs.items() if isinstance(number, list)]
        if regions:
            raise ValueError(f"has {what} that are regions ({', '.join(regions)}), which are not read here")
        wrong = [str(name) for name, number in pairs.items() if not str(number).isdecimal()]
        if wrong:
            raise ValueError(f"gives {what} without a number ({', '.join(wrong)})")
        twice = [number for number, count in Counter(int(number) for number in pairs.values()).items() if count > 1]
        if twice:
            raise ValueError(f"gives several {what} the number {twice[0]}")
        return {int(number): str(name) for name, number in pairs.items()}
    return {int(number): str(name) for number, name in pairs.items()}


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
    """Return value in the file -> label, by the names of segments and classes, whatever their capitals and spaces."""
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
