"""The surface of a mask as the faces between its voxels, and how far one surface lies outside of another, in mm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from nnunetv2_dale.masks.overlap import Mask

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Surface:
    """N faces between a voxel inside a mask and one outside; the border of the image is no face."""

    centre_mm: Floats  # (N, D) middle of each face, from the middle of voxel 0, in the order of the array's axes
    area_mm2: Floats  # (N,) of each face; for one slice its length in mm
    # (N, D) indices of the two voxels
    inside: NDArray[np.intp]
    outside: NDArray[np.intp]


def surface_of(mask: Mask, spacing_mm: Sequence[float]) -> Surface:
    """Return the faces of a mask of D axes; none for an empty or a full one. An axis of one voxel has no faces."""
    inside, outside, areas = [], [], []
    whole = float(np.prod([step for step, size in zip(spacing_mm, mask.shape, strict=True) if size > 1]))
    for axis, step in enumerate(spacing_mm):
        lower, upper = (mask[_along(axis, part)] for part in (slice(None, -1), slice(1, None)))
        for within, without, offset in ((lower, upper, 0), (upper, lower, 1)):
            found = np.argwhere(within & ~without)
            here, there = found.copy(), found
            here[:, axis] += offset
            there[:, axis] += 1 - offset
            inside.append(here)
            outside.append(there)
            areas.append(np.full(len(found), whole / step))
    here, there = np.concatenate(inside), np.concatenate(outside)
    return Surface((here + there) / 2 * np.asarray(spacing_mm, dtype=np.float64), np.concatenate(areas), here, there)


def surface_area(mask: Mask, spacing_mm: Sequence[float]) -> float:
    """Return the area of all faces of a mask, mm²; of one slice their length in mm."""
    whole = float(np.prod([step for step, size in zip(spacing_mm, mask.shape, strict=True) if size > 1]))
    faces = (np.count_nonzero(np.diff(mask, axis=axis)) * whole / step for axis, step in enumerate(spacing_mm))
    return float(sum(faces))


def signed_distances(surface: Surface, mask: Mask, other: Surface) -> Floats:
    """Return how far each face of `surface` lies from the surface of another mask.

    Args:
        other: the other mask's surface, with at least one face.
    Returns:
        (N,) mm: positive outside of the mask, negative inside of it, 0 on its surface. Exact for any spacing: it is
        measured between the middles of faces.
    """
    if len(other.area_mm2) == 0:
        raise ValueError("distances need a surface to be measured to; the other mask has none")
    within, without = mask[tuple(surface.inside.T)], mask[tuple(surface.outside.T)]
    distances = np.zeros(len(surface.area_mm2))
    apart = within == without  # a face between a voxel in and one out of the mask lies on its surface
    if apart.any():
        distances[apart] = nearest_mm(surface.centre_mm[apart], other.centre_mm)
    return np.where(within & without, -distances, distances)


@dataclass(frozen=True)
class SurfacePair:
    """The surfaces of two masks, and how far each face lies from the other one's."""

    first: Surface
    second: Surface
    # of each face, mm: positive where the first mask is wider, negative where it is narrower
    first_mm: Floats
    second_mm: Floats

    @property
    def distances_mm(self) -> Floats:
        """Of the faces of both surfaces."""
        return np.concatenate([self.first_mm, self.second_mm])

    @property
    def areas_mm2(self) -> Floats:
        """Of the same faces."""
        return np.concatenate([self.first.area_mm2, self.second.area_mm2])

    @property
    def mean_mm(self) -> float:
        """Mean over both surfaces, each face by its area: above 0 where the first mask is wider as a whole."""
        return float(np.average(self.distances_mm, weights=self.areas_mm2))


def surface_pair(first: Mask, second: Mask, spacing_mm: Sequence[float]) -> SurfacePair | None:
    """Measure both directions; None where a mask has no surface (empty, or the whole crop)."""
    of_first, of_second = surface_of(first, spacing_mm), surface_of(second, spacing_mm)
    if len(of_first.area_mm2) == 0 or len(of_second.area_mm2) == 0:
        return None
    outside = signed_distances(of_first, second, of_second)
    # A face of the second that lies inside of the first is where the first is wider.
    return SurfacePair(of_first, of_second, outside, -signed_distances(of_second, first, of_first))


def nearest_mm(points: Floats, others: Floats) -> Floats:
    """(N,) distance of each of N points to the nearest of M others, (N, D) and (M, D) in mm."""
    return np.asarray(KDTree(others, balanced_tree=False, compact_nodes=False).query(points)[0])


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, part)
