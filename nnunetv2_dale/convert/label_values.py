"""From the values a mask file holds to nnU-Net's consecutive labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.masks.boxes import numbered_parts
from nnunetv2_dale.nnunet_files.volumes import whole_numbers

BINARY: Mapping[int, int] = {0: 0, 1: 1}
"""Background and one class. Masks of such a dataset may also hold 0/255, or grey values around them (lossy files)."""

_FOREGROUND_FROM = 128
_UNSURE = (64, 192)  # grey values that are neither clearly background nor clearly foreground
_MAX_UNSURE_FRACTION = 0.1
_MIN_LOSSY_VALUES = 6  # fewer distinct values are somebody's labels, not the noise of a lossy file
_FEWEST_NUMBERED = 3  # a second value alone may be a class that is not documented
_NUMBERED_SHARE = 0.8  # of such numbers that lie in one piece; a lesion may be cut in two by its own border


def to_labels(
    mask: NDArray[Any],
    label_map: Mapping[int, int],
    lossy: bool = False,
    threshold: float | None = None,
    of_picture: bool = True,
) -> NDArray[np.unsignedinteger[Any]]:
    """Map the values of a mask to labels.

    Recognised for a binary `label_map`: 0/1, 0/255, and 0/255 blurred by lossy compression (values spread around both
    ends, hardly any between). A few odd values are never taken for noise: {0, 1, 255} is refused.

    Args:
        mask: any shape, integers or floats that are whole numbers within rounding.
        label_map: value in the file -> label, 0 to 65535.
        lossy: the file format itself is lossy (JPEG), so values are read as grey values from 0 to 255.
        threshold: for binary masks, take every value >= threshold as foreground and do not guess.
        of_picture: it may have been a lossy file once. Volumes never were: their many small values are numbered parts.
    Returns:
        labels, same shape: uint8, or uint16 where `label_map` has a label above 255.
    Raises:
        ValueError: values that have no label, or a threshold for several classes; says which values were found.
    """
    binary = dict(label_map) == dict(BINARY)
    mask = whole_numbers(mask)
    if threshold is not None:
        if not binary:
            raise ValueError("a mask threshold only makes sense with one class")
        return np.asarray(mask >= threshold, dtype=np.uint8)
    values = np.unique(mask)
    if not np.all(np.isfinite(values)):
        raise ValueError("the mask holds values that are not finite")
    if np.isin(values, list(label_map)).all() and not lossy:
        return _look_up(mask, label_map)
    if binary and np.isin(values, (0, 255)).all():
        return np.asarray(mask == 255, dtype=np.uint8)
    may_be_blurred = of_picture and (lossy or len(values) >= _MIN_LOSSY_VALUES)
    if binary and may_be_blurred and _is_blurred_binary(mask, lossy):
        return np.asarray(mask >= _FOREGROUND_FROM, dtype=np.uint8)
    unknown, counts = np.unique(mask[~np.isin(mask, list(label_map))], return_counts=True)
    pairs = zip(unknown[:8].tolist(), counts.tolist(), strict=False)
    shown = [f"{value:.4g} ({n} voxel{'s' * (n != 1)})" for value, n in pairs]
    more = f", … ({len(unknown)} in all)" if len(unknown) > 8 else ""
    raise ValueError(f"unknown label values {', '.join(shown)}{more}; known are {_shorten(sorted(label_map))}")


def merging_advice(mask: NDArray[Any], label_map: Mapping[int, int]) -> str:
    """Return what to do with a mask that `to_labels` refuses: its parts are numbered, or its values soft; else ""."""
    values = np.unique(whole_numbers(mask))
    if dict(label_map) != dict(BINARY) or not np.all(np.isfinite(values)):
        return ""
    if values[0] >= 0 and values[-1] <= 1:
        return "; the mask is soft, as after resampling: --mask_threshold 0.5 takes what is at least 0.5"
    numbers = values[values > 0].tolist()
    if len(numbers) < _FEWEST_NUMBERED or numbers != list(range(1, len(numbers) + 1)):
        return ""
    in_one_piece = sum(numbered_parts(mask == number)[1] == 1 for number in numbers)
    if in_one_piece < _NUMBERED_SHARE * len(numbers):
        return ""
    many = f"1 to {len(numbers)} look like the numbers of separate parts"
    return f"; the values {many}, not like classes: --mask_threshold 1 makes one class of them"


def _look_up(mask: NDArray[Any], label_map: Mapping[int, int]) -> NDArray[np.unsignedinteger[Any]]:
    """Every value of `mask` is a key of `label_map`."""
    label_type = np.uint8 if max(label_map.values()) <= np.iinfo(np.uint8).max else np.uint16
    if all(value == label for value, label in label_map.items()):
        return mask.astype(label_type)
    known = sorted(label_map)
    labels = np.array([label_map[value] for value in known], dtype=label_type)
    return np.asarray(labels[np.searchsorted(known, mask)])


def _is_blurred_binary(mask: NDArray[Any], lossy: bool) -> bool:
    """Whether nearly every value lies near 0 or near 255, as after lossy compression or smoothing of a 0/255 mask.

    An empty mask (all near 0) is one in a lossy file; elsewhere its values may be numbered parts. A dim picture is not.
    """
    low, high = _UNSURE
    if mask.min() < 0 or mask.max() > 255:
        return False
    unsure = float(np.mean((mask >= low) & (mask < high)))
    reaches_white = mask.max() >= high
    return unsure <= _MAX_UNSURE_FRACTION and bool(reaches_white or (lossy and mask.max() < low // 2))


def _shorten(values: Sequence[int]) -> str:
    shown = [str(value) for value in values[:8]]
    return ", ".join(shown) + (f", … ({len(values)} in all)" if len(values) > 8 else "")
