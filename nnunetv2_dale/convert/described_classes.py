"""Classes and channels of a source dataset, from its dataset.json in whatever form it has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunetv2_dale.nnunet_files.json_files import read_json_object
from nnunetv2_dale.nnunet_files.problems import FileError, Problem

_ADVICE = "mend it, or give --classes and --channels"


def read_classes_and_channels(
    path: Path, problems: list[Problem], need_classes: bool, need_channels: bool
) -> tuple[dict[int, str], tuple[str, ...]]:
    """Read label value -> class, and the channels in order; both empty where there is no file, or it does not say.

    Understood are {"1": "liver"} (Decathlon), {"liver": 1} (nnU-Net) and ["background", "liver"], and the same three
    forms for channels.

    Args:
        path: the dataset.json.
        problems: what is wrong with a part that is needed is added here.
        need_classes, need_channels: whether that part will be used.
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
    """Number -> name.

    Raises:
        ValueError: another form, regions, or a number that is given twice; says which.
    """
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
