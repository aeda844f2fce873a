"""What one case shows when its label is held against its referees: the numbers, before any judgement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.audit.audit_task import AuditedClass, AuditTask, CaseInputs
from nnunetv2_dale.audit.case_volumes import CaseVolumes, keep_case, read_case, read_images
from nnunetv2_dale.audit.components import Component, compare_objects
from nnunetv2_dale.audit.displacement import Displacement, displacement
from nnunetv2_dale.audit.image_borders import ImageAtBorders, image_at_borders
from nnunetv2_dale.audit.orientation import Orientation, best_orientation
from nnunetv2_dale.masks.boxes import Box, box_around, boxes_of_values
from nnunetv2_dale.masks.overlap import Mask, dice
from nnunetv2_dale.masks.surface import surface_area
from nnunetv2_dale.nnunet_files.results.misplaced import Misplaced

SURFACE_MARGIN = 2  # voxels around a class in which its surface has its outer voxels
MOST_PARTS = 20  # of a kind that a case keeps; the largest
TURNED_BELOW = 0.8  # agreement above which no one would suspect the orientation


@dataclass(frozen=True)
class ClassEvidence:
    """One class of one case. Sizes are in voxels; voxel indices count from the volume's corner."""

    # size of the mask in the label and by the referees
    label_voxels: int
    referees_voxels: int
    dice: float | None  # of the two whole masks; None where both are empty
    # Σ (y − s) over the label y and the referees' support s: how much larger the label is than the referees expect
    excess_voxels: float
    apart_voxels: float  # Σ |y − s|: how far both are apart
    # Σ 2 s (1 − s): what `apart_voxels` is expected to be for a label that is right, if the referees are as unsure as
    # they say; 0 for a single one that says only yes or no
    unsure_voxels: float
    area_mm2: float  # mean of the areas of both masks' surfaces
    displacement: Displacement | None  # of the parts that both have, or None
    # whole parts, largest first
    extra: tuple[Component, ...]
    missed: tuple[Component, ...]
    exchanged: tuple[Component, ...]
    typical_voxels: int  # size of the referees' part that the median of their voxels lies in
    # a voxel where both masks differ, in the slice that holds most of the difference; None without any
    apart_at: tuple[int, ...] | None = None
    image: ImageAtBorders | None = None  # what the image shows at both borders; None without an image

    @property
    def parts(self) -> tuple[Component, ...]:
        """All whole parts that one side lacks or gives to another class."""
        return (*self.extra, *self.missed, *self.exchanged)

    @property
    def differing_voxels(self) -> float:
        """Voxels that only one of the two masks holds: Σ |y − c|, c what most referees say."""
        return 0.0 if self.dice is None else (self.label_voxels + self.referees_voxels) * (1 - self.dice)


@dataclass(frozen=True)
class CaseEvidence:
    """One case: what all its classes show, and whether turning the label would help.

    `whole` is of all classes together; None where one class is everything. `misplaced` are its predictions that are
    stored elsewhere than the label; `soft`: its referees' probabilities were read. `checksum` is the label's.
    """

    case: str
    fold: str
    referees: int
    spacing_mm: tuple[float, ...]
    affine: tuple[tuple[float, ...], ...]
    planar: bool
    classes: dict[str, ClassEvidence]
    whole: ClassEvidence | None
    orientation: Orientation | None
    misplaced: tuple[Misplaced, ...] = ()
    soft: bool = False
    checksum: str = ""

    def of(self, key: str) -> ClassEvidence:
        """Return a class, or with the key "" the whole label."""
        return self.whole if not key and self.whole else self.classes[key]

    @property
    def agreement(self) -> float | None:
        """Mean Dice over the classes; None where neither side has any."""
        known = [row.dice for row in self.classes.values() if row.dice is not None]
        return float(np.mean(known)) if known else None


def evidence_of(inputs: CaseInputs, task: AuditTask, kept: Path | None = None) -> CaseEvidence:
    """Read and measure one case.

    Args:
        kept: where to keep what was read (`keep_case`), for its maps and pictures.
    """
    volumes = read_case(inputs, task)
    images = read_images(inputs, task, volumes) if inputs.images else None
    if kept is not None:
        keep_case(volumes, kept)
    boxes = class_boxes(volumes, task.judged)
    classes = {item.key: _measure_class(item, volumes, task, boxes.get(item), images) for item in task.classes}
    dices = [each.dice for each in classes.values() if each.dice is not None]
    suspicious = dices and np.mean(dices) < TURNED_BELOW
    return CaseEvidence(
        case=inputs.case,
        fold=inputs.fold,
        referees=len(inputs.predictions),
        spacing_mm=volumes.spacing_mm,
        affine=tuple(tuple(row) for row in volumes.affine.tolist()),
        planar=volumes.label.shape[0] == 1,
        classes=classes,
        whole=_measure_class(task.whole, volumes, task, boxes.get(task.whole)) if task.whole else None,
        orientation=best_orientation(volumes.label, volumes.consensus) if suspicious else None,
        misplaced=volumes.misplaced,
        soft=None not in inputs.probabilities,
        checksum=volumes.checksum,
    )


def _measure_class(
    item: AuditedClass,
    volumes: CaseVolumes,
    task: AuditTask,
    box: Box | None,
    images: NDArray[np.float32] | None = None,
) -> ClassEvidence:
    if box is None:
        return ClassEvidence(0, 0, None, 0.0, 0.0, 0.0, 0.0, None, (), (), (), 0)
    label, referees = volumes.label[box], volumes.consensus[box]
    key_of_value = {} if task.has_regions else {value: other.key for other in task.classes for value in other.values}
    objects = compare_objects(label, referees, item.values, key_of_value)
    of_label, of_referees = (np.isin(each, item.values) for each in (label, referees))
    excess, apart, unsure = _against_support(of_label, volumes.support_of(item, box))
    corner = tuple(axis.start for axis in box)
    return ClassEvidence(
        label_voxels=int(np.count_nonzero(of_label)),
        referees_voxels=int(np.count_nonzero(of_referees)),
        dice=dice(of_label, of_referees),
        excess_voxels=excess,
        apart_voxels=apart,
        unsure_voxels=unsure,
        area_mm2=sum(surface_area(each, volumes.spacing_mm) for each in (of_label, of_referees)) / 2,
        displacement=_placed(displacement(objects.label_common, objects.referees_common, volumes.spacing_mm), corner),
        extra=_moved(objects.extra, corner),
        missed=_moved(objects.missed, corner),
        exchanged=_moved(objects.exchanged, corner),
        typical_voxels=objects.typical_voxels,
        apart_at=_from_corner(apart_at, corner) if (apart_at := _fullest(of_label != of_referees)) else None,
        image=None if images is None else image_at_borders(images[(slice(None), *box)], of_label, of_referees),
    )


def _fullest(mask: Mask) -> tuple[int, ...] | None:
    """A voxel of a mask in its fullest slice, and there in the fullest row; None of an empty one."""
    if not mask.any():
        return None
    place: tuple[int, ...] = ()
    while len(place) < mask.ndim:
        rest = mask[place]
        place += (int(np.argmax(np.count_nonzero(rest, axis=tuple(range(1, rest.ndim))) if rest.ndim > 1 else rest)),)
    return place


def _against_support(label: Mask, support: NDArray[np.float32]) -> tuple[float, float, float]:
    """(Σ (y − s), Σ |y − s|, Σ 2 s (1 − s)); see `ClassEvidence`."""
    size, total = float(np.count_nonzero(label)), float(support.sum(dtype=np.float64))
    shared = float(support[label].sum(dtype=np.float64))
    squares = float(np.square(support).sum(dtype=np.float64))
    return size - total, size + total - 2 * shared, 2 * (total - squares)


def class_boxes(volumes: CaseVolumes, classes: Iterable[AuditedClass]) -> dict[AuditedClass, Box]:
    """Class → the box in which a class lies on either side, of those that are there; they differ nowhere else."""
    sides = [boxes_of_values(each) for each in (volumes.label, volumes.consensus)]
    there = {item: [each[value] for each in sides for value in item.values if value in each] for item in classes}
    found = {item: box_around(boxes, volumes.label.shape, SURFACE_MARGIN) for item, boxes in there.items()}
    return {item: box for item, box in found.items() if box is not None}


def _moved(parts: Sequence[Component], corner: tuple[int, ...]) -> tuple[Component, ...]:
    return tuple(replace(part, voxel=_from_corner(part.voxel, corner)) for part in parts[:MOST_PARTS])


def _placed(found: Displacement | None, corner: tuple[int, ...]) -> Displacement | None:
    if found is None:
        return None
    widest, narrowest = (
        None if voxel is None else _from_corner(voxel, corner) for voxel in (found.widest, found.narrowest)
    )
    return replace(found, widest=widest, narrowest=narrowest)


def _from_corner(voxel: Sequence[int], corner: Sequence[int]) -> tuple[int, ...]:
    return tuple(index + start for index, start in zip(voxel, corner, strict=True))
