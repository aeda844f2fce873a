"""Overlap and surface distances of two masks, whole or inside a region.

MONAI finds the surfaces and their distances once; Hausdorff, average distance and surface Dice are read off them as
MONAI's own metrics do, for the whole mask and for each region, where calling those would measure nine times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from monai.metrics.utils import get_mask_edges, get_surface_distance
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances in mm from every surface voxel of one mask to the nearest of the other, and where those voxels are.

    The surface is the voxels of a mask that touch, by a face, a voxel outside it or the border of the image.
    """

    from_prediction: Floats
    from_reference: Floats
    prediction_surface: Mask
    reference_surface: Mask

    def within(self, region: Mask) -> SurfaceDistances:
        """Only the surface voxels inside `region`; each keeps its distance to the whole other surface."""
        prediction, reference = self.prediction_surface & region, self.reference_surface & region
        return SurfaceDistances(
            self.from_prediction[region[self.prediction_surface]],
            self.from_reference[region[self.reference_surface]],
            prediction,
            reference,
        )

    def hausdorff_95(self) -> float | None:
        """The larger of the two directed 95th percentiles, in mm; None without any surface."""
        sides = [side for side in (self.from_prediction, self.from_reference) if side.size]
        return max(float(np.percentile(side, 95)) for side in sides) if sides else None

    def average(self) -> float | None:
        """Mean over the surface voxels of both masks (average symmetric surface distance), in mm."""
        both = np.concatenate([self.from_prediction, self.from_reference])
        return float(both.mean()) if both.size else None

    def surface_dice(self, tolerance_mm: float) -> float | None:
        """Share of both surfaces that is at most `tolerance_mm` from the other."""
        both = np.concatenate([self.from_prediction, self.from_reference])
        return float((both <= tolerance_mm).mean()) if both.size else None


def overlap(prediction: Mask, reference: Mask) -> tuple[float, float] | None:
    """(Dice, IoU) of two masks; None where both are empty."""
    common = np.count_nonzero(prediction & reference)
    total = np.count_nonzero(prediction) + np.count_nonzero(reference)
    return None if total == 0 else (2 * common / total, common / (total - common))


def surface_distances(prediction: Mask, reference: Mask, spacing_mm: Sequence[float]) -> SurfaceDistances | None:
    """The distances between the surfaces of two masks; None where one of the masks is empty.

    Args:
        prediction, reference: bool, 2 or 3 axes. Crop them to the box of their union (`union_box`): it costs nothing
            in the result and makes large images fast.
        spacing_mm: distance of voxels along each axis.
    """
    if not prediction.any() or not reference.any():
        return None
    prediction_surface, reference_surface = (
        np.asarray(edges, dtype=bool) for edges in get_mask_edges(prediction, reference, crop=False)
    )
    spacing = list(spacing_mm)
    return SurfaceDistances(
        np.asarray(get_surface_distance(prediction_surface, reference_surface, spacing=spacing), dtype=np.float64),
        np.asarray(get_surface_distance(reference_surface, prediction_surface, spacing=spacing), dtype=np.float64),
        prediction_surface,
        reference_surface,
    )


def union_box(boxes: Sequence[tuple[slice, ...] | None]) -> tuple[slice, ...] | None:
    """The smallest box around several; None where there is none."""
    there = [box for box in boxes if box is not None]
    if not there:
        return None
    return tuple(
        slice(min(box[axis].start for box in there), max(box[axis].stop for box in there))
        for axis in range(len(there[0]))
    )


def measures_of(
    prediction: Mask, reference: Mask, distances: SurfaceDistances | None, tolerance_mm: float
) -> dict[str, float | None]:
    """Dice, IoU, HD95, ASD and Surface Dice of two masks, by the one rule for empty masks.

    Both empty: nothing counts (None). One empty: the ratios are 0 and the distances None. In a region the
    distances are None where no surface of either mask runs through it.

    Args:
        prediction, reference: inside the region that is looked at.
        distances: inside the same region; None where one of the whole masks is empty.
        tolerance_mm: of the surface Dice.
    """
    shared = overlap(prediction, reference)
    names = ("Dice", "IoU", "HD95", "ASD", "Surface Dice")
    if shared is None:
        return dict.fromkeys(names)
    if distances is None:
        return {"Dice": shared[0], "IoU": shared[1], "HD95": None, "ASD": None, "Surface Dice": 0.0}
    surface = (distances.hausdorff_95(), distances.average(), distances.surface_dice(tolerance_mm))
    return dict(zip(names, (*shared, *surface), strict=True))
