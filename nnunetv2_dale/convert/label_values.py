"""From the values a mask file holds to nnU-Net's consecutive labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.nnunet_files.volumes import whole_numbers

BINARY: Mapping[int, int] = {0: 0, 1: 1}
"""Background and one class. Masks of such a dataset may also hold 0/255, or grey values around them (lossy files)."""

_FOREGROUND_FROM = 128
_UNSURE = (64, 192)  # grey values that are neither clearly background nor clearly foreground
_MAX_UNSURE_FRACTION = 0.1
_MIN_LOSSY_VALUES = 6  # fewer distinct values are somebody's labels, not the noise of a lossy file


def to_labels(
    mask: NDArray[Any], label_map: Mapping[int, int], lossy: bool = False, threshold: int | None = None
) -> NDArray[np.unsignedinteger[Any]]:
    """Map the values of a mask to labels.

    Recognised for a binary `label_map`: 0/1, 0/255, and 0/255 blurred by lossy compression (values spread around both
    ends, hardly any between). A few odd values are never taken for noise: {0, 1, 255} is refused.

    Args:
        mask: any shape, integers or floats that are whole numbers within rounding.
        label_map: value in the file -> label, 0 to 65535.
        lossy: the file format itself is lossy (JPEG), so values are read as grey values from 0 to 255.
        threshold: for binary masks, take every value >= threshold as foreground and do not guess.
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
    if binary and (lossy or len(values) >= _MIN_LOSSY_VALUES) and _is_blurred_binary(mask):
        return np.asarray(mask >= _FOREGROUND_FROM, dtype=np.uint8)
    unknown = values[~np.isin(values, list(label_map))]
    raise ValueError(f"unknown label values {_shorten(unknown)} (known are {_shorten(np.array(sorted(label_map)))})")


def _look_up(mask: NDArray[Any], label_map: Mapping[int, int]) -> NDArray[np.unsignedinteger[Any]]:
    """Every value of `mask` is a key of `label_map`."""
    label_type = np.uint8 if max(label_map.values()) <= np.iinfo(np.uint8).max else np.uint16
    if all(value == label for value, label in label_map.items()):
        return mask.astype(label_type)
    known = sorted(label_map)
    labels = np.array([label_map[value] for value in known], dtype=label_type)
    return np.asarray(labels[np.searchsorted(known, mask)])


def _is_blurred_binary(mask: NDArray[Any]) -> bool:
    """Whether nearly every value lies near 0 or near 255, as after lossy compression or smoothing of a 0/255 mask.

    An empty mask (all near 0) is one; a picture that is only dim is not.
    """
    low, high = _UNSURE
    if mask.min() < 0 or mask.max() > 255:
        return False
    unsure = float(np.mean((mask >= low) & (mask < high)))
    reaches_white = mask.max() >= high
    return unsure <= _MAX_UNSURE_FRACTION and bool(reaches_white or mask.max() < low // 2)


def _shorten(values: NDArray[Any]) -> str:
    shown = [f"{value:.10g}" for value in values[:8].tolist()]
    return ", ".join(shown) + (f", … ({len(values)} in all)" if len(values) > 8 else "")
