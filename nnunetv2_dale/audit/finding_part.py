"""Where a finding is: the voxels it is about, and the slices that hold most of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.audit.audit_task import AuditTask
from nnunetv2_dale.audit.case_volumes import CaseVolumes, Labels
from nnunetv2_dale.audit.findings import Finding
from nnunetv2_dale.masks.boxes import numbered_parts
from nnunetv2_dale.masks.overlap import Mask
from nnunetv2_dale.pages.slice_display import middle_maximum

_ONE_OBJECT = ("extra_object", "missed_object", "exchanged")
_ONE_PART = ("speck", "misplaced", "extra_object")


def outlined(labels: Labels, found: Finding, task: AuditTask) -> NDArray[Any]:
    """Return what is outlined of a label map for a finding: its class as a mask, or every class of the whole label."""
    values = [value for item in task.classes if item.key == found.label for value in item.values]
    return np.isin(labels, values) if found.label else labels


def finding_part(volumes: CaseVolumes, found: Finding, task: AuditTask) -> Mask:
    """Return the voxels of a finding, in `volumes.box`: what one side alone has, of one object only that."""
    values = [value for item in task.classes if found.label in ("", item.key) for value in item.values]
    label, networks = (each[volumes.box] for each in (volumes.label, volumes.consensus))
    if not task.referees:
        return _part_of_label(np.isin(label, values), volumes, found)
    voxel = tuple(index - axis.start for index, axis in zip(found.voxel, volumes.box, strict=True))
    return part_between(label, networks, values if found.label else None, found.kind, voxel)


def part_between(
    label: NDArray[Any],
    networks: NDArray[Any],
    values: Collection[int] | None,
    kind: str,
    voxel: tuple[int, ...] | None,
) -> Mask:
    """The voxels of two label maps of one shape that a finding of this kind is about.

    Args:
        values: of the finding's class; None where it is of the whole label.
        voxel: of one object, in these arrays; None takes all objects.
    """
    if values is None:
        return np.asarray(label != networks)
    of_label, of_networks = np.isin(label, list(values)), np.isin(networks, list(values))
    if kind in ("wider", "extra_object"):
        part = of_label & ~of_networks
    elif kind in ("narrower", "missed_object"):
        part = of_networks & ~of_label
    else:
        part = of_label ^ of_networks
    return _connected(part, voxel) if kind in _ONE_OBJECT and voxel is not None else part


def _part_of_label(part: Mask, volumes: CaseVolumes, found: Finding) -> Mask:
    """Without networks: the object a finding is about, else the class; nothing of what lies at one place in it."""
    if found.kind == "outside":
        return np.zeros_like(part)
    voxel = tuple(index - axis.start for index, axis in zip(found.voxel, volumes.box, strict=True))
    return _connected(part, voxel) if found.kind in _ONE_PART else part


def _connected(part: Mask, voxel: tuple[int, ...]) -> Mask:
    """The part that holds a voxel, or all of them."""
    numbered, _ = numbered_parts(part)
    return numbered == numbered[voxel] if numbered[voxel] else part


def slices_with_most(part: Mask, corner: Collection[int], otherwise: Collection[int]) -> tuple[int, ...]:
    """Return for each axis the index of the slice with most of a mask; of several equal ones the middle."""
    if not part.any():
        return tuple(otherwise)
    chosen = []
    for axis, start in enumerate(corner):
        amount = np.count_nonzero(part, axis=tuple(other for other in range(3) if other != axis))
        chosen.append(middle_maximum(amount) + start)
    return tuple(chosen)
