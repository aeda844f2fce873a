"""dataset.json, read and checked, so that what is odd about it is a sentence and not a traceback."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.json_files import read_json_object

_LARGEST_LABEL = 32767  # nnU-Net keeps preprocessed labels in 16 bits with a sign


def read_description(path: Path) -> dict[str, Any]:
    """Read nnU-Net's description of a dataset, in the form that nnU-Net itself reads; any other is a `UserError`."""
    described = read_json_object(path)
    try:
        if path.read_bytes().startswith(codecs.BOM_UTF8):
            raise ValueError("begins with a byte order mark, which nnU-Net cannot read; save it as UTF-8 without BOM")
        _check_labels(described)
        _check_channels(described)
    except ValueError as error:
        raise UserError(f"{path} {error}") from error
    return described


def _check_labels(described: dict[str, Any]) -> None:
    """Raise a ValueError unless labels and file ending are what nnU-Net 2 expects."""
    lacking = [key for key in ("labels", "file_ending") if key not in described]
    if lacking:
        raise ValueError(f"lacks {' and '.join(lacking)}, which nnU-Net needs; see its dataset format")
    labels, ending = described["labels"], described["file_ending"]
    if not isinstance(ending, str) or not ending.startswith("."):
        raise ValueError(f'should have a file_ending like ".nii.gz", and has {ending!r}')
    form = 'labels are written as {"background": 0, "tumour": 1}'
    if not isinstance(labels, dict):
        raise ValueError(f"gives its labels as a {type(labels).__name__}; {form}")
    if labels and all(isinstance(value, str) for value in labels.values()):
        raise ValueError(f"gives its labels the way nnU-Net 1 did, number first; {form}")
    for name, value in labels.items():
        values = value if isinstance(value, list) and value else [value]
        if any(isinstance(each, bool) or not isinstance(each, int) for each in values):
            raise ValueError(f"gives the label {name} the value {value!r}; {form}, a region as a list of such numbers")
        if not all(0 <= each <= _LARGEST_LABEL for each in values):
            raise ValueError(f"gives the label {name} the value {value!r}; labels lie between 0 and {_LARGEST_LABEL}")


def _check_channels(described: dict[str, Any]) -> None:
    """Raise a ValueError unless the channels are named as nnU-Net expects; nnU-Net 1 called them modality."""
    key = "channel_names" if "channel_names" in described else "modality"
    names = described.get(key, {})
    form = f'{key} is written as {{"0": "CT"}}'
    if not isinstance(names, dict):
        raise ValueError(f"gives {key} as a {type(names).__name__}; {form}")
    if not all(str(number).isdecimal() for number in names):
        raise ValueError(f"gives {key} the wrong way round; {form}")
