"""Short names of runs for plots and tables: what tells them apart, without what they share."""

from __future__ import annotations

from collections.abc import Sequence


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Full name → short name; the parts of TRAINER__PLANS__CONFIG that all runs share are left out.

    >>> short_names(["nnUNetTrainer__nnUNetPlans__2d", "nnUNetTrainerDALE__nnUNetPlans__2d"])
    {'nnUNetTrainer__nnUNetPlans__2d': 'nnUNetTrainer', 'nnUNetTrainerDALE__nnUNetPlans__2d': 'nnUNetTrainerDALE'}
    """
    parts = [name.split("__") for name in names]
    if len({len(part) for part in parts}) != 1 or len(parts[0]) != 3:
        return {name: name for name in names}
    differing = [place for place in range(3) if len({part[place] for part in parts}) > 1]
    if not differing:
        return {name: name for name in names}
    return {name: " ".join(part[place] for place in differing) for name, part in zip(names, parts, strict=True)}
