"""The fuzziness of a whole case as NumPy arrays: what pictures and tables of a dataset show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nnunetv2_dale.dale.fuzziness import FuzzinessSource, IntensityBins


@dataclass(frozen=True)
class CaseFuzziness:
    """Maps of one case, each (Z, Y, X) float32 in [0, 1]; a 2D image has Z = 1.

    They are kept as grids with one value per patch, so that those of a large volume take no memory until asked for.
    """

    entropy_grid: NDArray[np.float32]  # as the others, (ceil(Z / depth), ceil(Y / height), ceil(X / width))
    edges_grid: NDArray[np.float32]
    combined_grid: NDArray[np.float32]
    shape: tuple[int, ...]  # (Z, Y, X)
    patch: tuple[int, ...]  # voxels along each axis that the maps are constant in: 2 for slices, else 3
    intensity_bins: IntensityBins

    def entropy(self, slices: Sequence[int] | None = None) -> NDArray[np.float32]:
        """r (Eqs. 3, 5) at these slices; None is all."""
        return self._at(self.entropy_grid, slices)

    def edges(self, slices: Sequence[int] | None = None) -> NDArray[np.float32]:
        """e (Eqs. 4, 5) at these slices; None is all."""
        return self._at(self.edges_grid, slices)

    def combined(self, slices: Sequence[int] | None = None) -> NDArray[np.float32]:
        """m (Eq. 5) at these slices; None is all."""
        return self._at(self.combined_grid, slices)

    def _at(self, grid: NDArray[np.float32], slices: Sequence[int] | None) -> NDArray[np.float32]:
        depth, height, width = (1, *self.patch)[-3:]
        shown = np.arange(self.shape[0]) if slices is None else np.asarray(slices)
        rows, columns = np.arange(self.shape[1]) // height, np.arange(self.shape[2]) // width
        voxels: NDArray[np.float32] = grid[np.ix_(shown // depth, rows, columns)]
        return voxels


def case_fuzziness(
    image: NDArray[np.float32] | None,
    label: NDArray[Any] | None,
    spacing_mm: Sequence[float],
    patch_size: int,
    entropy_bins: int = 32,
    ignore_label: int | None = None,
    slicewise: bool = False,
    intensity_bins: IntensityBins = "near_labels",
    fewest_patches: int = 1,
) -> CaseFuzziness:
    """Compute entropy, edge ratio and m of a case (Eqs. 3–5), with min–max over the case, or over each slice.

    Training sees crops and takes the min–max over each crop, and bins from the labels of many cases, so its maps differ
    a little from the whole case's.

    Args:
        image: (C, Z, Y, X), finite; None: m is the edge ratio alone. Z = 1 is treated as 2D.
        label: (Z, Y, X) label map, or (R, Z, Y, X) regions; None: m is the entropy alone.
        spacing_mm: of the 3 axes.
        patch_size: voxels along each in-plane axis.
        entropy_bins: intensity bins.
        ignore_label: value of a label map that does not count.
        slicewise: treat each slice along axis 0 as an image of its own, as a 2D configuration does.
        intensity_bins: of the entropy: equal ones, or at quantiles of the case's intensities near its labels; without
            any label edge they are equal.
        fewest_patches: see `patch_shape`.
    """
    import torch  # here, so that reading labels and drawing noise start without it

    from nnunetv2_dale.dale.fuzziness import fuzziness_map, patch_shape
    from nnunetv2_dale.dale.label_intensities import bounds_of_case

    source: FuzzinessSource = "edges" if image is None else "entropy" if label is None else "both"
    given = label if image is None else image
    assert given is not None, "an image or a label is needed"
    shape = given.shape[-3:]
    planar = slicewise or shape[0] == 1
    images, labels = (
        torch.zeros(1, dtype=torch.int16).expand(1, *shape)  # the shape is all that is used of it
        if part is None
        else torch.from_numpy(np.ascontiguousarray(part)).reshape(-1, *shape)
        for part in (image, label)
    )
    images, labels = (part.transpose(0, 1) if planar else part[None] for part in (images, labels))
    valid = None if ignore_label is None or label is None else labels != ignore_label
    patch = patch_shape(images.shape[2:], patch_size, None if planar else spacing_mm, fewest_patches)
    near_labels = intensity_bins == "near_labels" and image is not None
    bounds = bounds_of_case(images, labels, valid, entropy_bins) if near_labels else None
    maps = fuzziness_map(images, labels, patch, entropy_bins, valid, source, bounds, per_patch=True)
    grids = [part.flatten(0, -3).numpy() for part in (maps.entropy, maps.edges, maps.combined)]
    bins: IntensityBins = "equal" if bounds is None else "near_labels"
    return CaseFuzziness(grids[0], grids[1], grids[2], shape, patch, bins)
