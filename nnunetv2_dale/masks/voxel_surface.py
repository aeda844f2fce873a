"""Overlap and surface distances of two masks, whole or inside a region, as MONAI's metrics measure them.

The surface is here the outermost voxels of a mask, as in most published distances; between faces, which are exact,
measures `surface`. The distances are found once and serve the whole mask and each region.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nnunetv2_dale.masks.overlap import Mask, overlap
from nnunetv2_dale.masks.surface import nearest_mm

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
        """Return the larger of the two directed 95th percentiles, in mm; None without any surface."""
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


def surface_distances(prediction: Mask, reference: Mask, spacing_mm: Sequence[float]) -> SurfaceDistances | None:
    """Return the distances between the surfaces of two masks; None where one of the masks is empty.

    Args:
        prediction, reference: bool, 2 or 3 axes; a slice is 2D. Crop them to the box of their union: it changes
            nothing in the result and makes large images fast.
    """
    if not prediction.any() or not reference.any():
        return None
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in (prediction, reference)]
    of_prediction, of_reference = (np.argwhere(each).astype(np.float64) * spacing_mm for each in surfaces)
    directed = nearest_mm(of_prediction, of_reference), nearest_mm(of_reference, of_prediction)
    # In MONAI's precision: a distance as long as the tolerance is within it, whatever its last bits are.
    from_prediction, from_reference = (each.astype(np.float32).astype(np.float64) for each in directed)
    return SurfaceDistances(from_prediction, from_reference, *surfaces)


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
