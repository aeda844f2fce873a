"""What a network found of regions that cross each other, from its probabilities: label maps cannot hold it.

nnU-Net paints one label per region, in the order of `regions_class_order`; the last one stays. Where regions are nested
this reads back as the regions that were meant. Where they cross it does not: of (1, 3, 5), (2, 3) and (4, 5) a voxel of
the last is painted 3, which is of the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.audit.audit_task import AuditTask
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.npz_channels import npz_channels
from nnunetv2_dale.nnunet_files.results.class_keys import class_labels

Region = Collection[int]


def reads_back(regions: Sequence[Region], order: Sequence[int]) -> bool:
    """Say whether the label map of a network that is always right says what the network meant.

    Args:
        regions: label values of each, in nnU-Net's order.
        order: `regions_class_order`, a label for each region.
    """
    values = {value for region in regions for value in region}
    painted = {
        value: [label for region, label in zip(regions, order, strict=True) if value in region] for value in values
    }
    return all(_code(value, regions) == _code(painted[value][-1], regions) for value in values)


def decoded(channels: Iterable[NDArray[np.float32]], regions: Sequence[Region]) -> NDArray[np.int16]:
    """Return the label map whose regions are those that the channels find (from a probability of 0.5).

    Where no label belongs to just these regions, the label that differs in the fewest.
    """
    found = sum((channel >= 0.5).astype(np.int64) << place for place, channel in enumerate(channels))
    codes = {value: _code(value, regions) for value in (0, *sorted({each for region in regions for each in region}))}
    nearest = [min(codes, key=lambda value: (codes[value] ^ code).bit_count()) for code in range(1 << len(regions))]
    labels: NDArray[np.int16] = np.array(nearest, np.int16)[found]
    return labels


def label_map_of(
    prediction: Path, npz: Path | None, shape: Sequence[int], task: AuditTask
) -> NDArray[np.uint8] | NDArray[np.int16]:
    """Return what a network found of crossing regions, from its probabilities; a `UserError` without any."""
    if npz is None:
        raise UserError(
            f"{prediction} cannot say which regions were found: one is painted as others (regions_class_order); "
            "validate again with --npz (nnUNetv2_train … --val --npz)"
        )
    regions = [class_labels(key) for key in task.channels]
    found = decoded(npz_channels(npz, shape, len(regions)), regions)
    return found.astype(np.uint8) if max(task.label_values) < 256 else found


def _code(value: int, regions: Sequence[Region]) -> int:
    """The regions that a label belongs to, a bit for each."""
    return sum(1 << place for place, region in enumerate(regions) if value in region)
