"""The keys of classes and regions in a `summary.json`, as nnU-Net and as other evaluation scripts write them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_NUMBER = re.compile(r"\d+(?:\.0*)?")


def class_labels(key: str) -> tuple[int, ...]:
    """Return the label values of a class or region: "2" → (2,), "(1, 2)" → (1, 2).

    Also as NumPy 2 prints them, "(np.int64(1), np.int64(2))", as a list, "[1, 2]", and as decimals, "1.0".

    Raises:
        ValueError: no label values.
    """
    # np.int64(1) → (1): the name of a type holds digits too
    parts = re.sub(r"[A-Za-z_.]+\d*\(", "(", key).translate(str.maketrans("()[]{},;", "        ")).split()
    if not parts or not all(_NUMBER.fullmatch(part) for part in parts):
        raise ValueError(f"class {key!r} names no label values; expected a key such as '1' or '(1, 2)'")
    return tuple(int(float(part)) for part in parts)


def class_key(labels: Any) -> str:
    """Return a label value or the values of a region as one key: 2 → "2", [2, 1] → "(1, 2)". The order says nothing."""
    values = sorted({int(value) for value in labels} if isinstance(labels, Iterable) else {int(labels)})
    return str(values[0]) if len(values) == 1 else str(tuple(values))


def keys_of_names(labels: Mapping[str, Any]) -> dict[str, str]:
    """Name → key of every class or region of a `dataset.json`'s `labels`, without the ignore label."""
    return {name: class_key(value) for name, value in labels.items() if name != "ignore"}


def own_key(key: str, names: Mapping[str, str]) -> str:
    """Return the key of a class as this package writes it, from label values or a name of `keys_of_names`."""
    try:
        return class_key(class_labels(key))
    except ValueError:
        if key not in names:
            raise
        return names[key]
