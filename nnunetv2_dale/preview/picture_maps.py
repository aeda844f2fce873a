"""What the picture of a case shows: its settings, and the fuzziness at the slices that matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.dale.fuzziness import IntensityBins
from nnunetv2_dale.pages.case_fuzziness import case_fuzziness
from nnunetv2_dale.pages.slice_display import slices_that_matter
from nnunetv2_dale.preview.preview_case import PreviewCase


@dataclass(frozen=True)
class PictureSettings:
    """What to draw."""

    patch_sizes: tuple[int, ...]  # in-plane voxels of a fuzziness patch; each gets its rows
    tau: float  # threshold of Eq. 6.
    entropy_bins: int  # intensity bins of Eq. 3.
    intensity_bins: IntensityBins  # where they lie; in a case without label edges they are equal
    fewest_patches: int  # that fit along the shortest in-plane axis; patches of small images are smaller
    channel: int  # the channel shown where the image is not in colour
    colour: bool  # the first three channels are red, green and blue
    ignore_label: int | None  # value that does not count
    class_names: Mapping[int, str]  # of the label values


@dataclass(frozen=True)
class PatchMaps:
    """Fuzziness for one patch size, at the chosen slices: arrays (N, Y, X); and how much of the case is fuzzy."""

    patch: tuple[int, ...]
    intensity_bins: IntensityBins
    entropy: NDArray[np.float32]
    edges: NDArray[np.float32]
    m: NDArray[np.float32]
    fuzzy_of_image: float
    fuzzy_of_foreground: float  # NaN without foreground


def chosen_maps(
    case: PreviewCase, classes: NDArray[np.int16] | None, settings: PictureSettings
) -> tuple[list[int], list[PatchMaps]]:
    """Find the slices to show, and the fuzziness there for each patch size.

    Args:
        case: what is drawn.
        classes: (Z, Y, X), its label without the ignore label.
        settings: patch sizes, bins and threshold.
    """
    slices: list[int] = []
    maps = []
    for patch_size in settings.patch_sizes:
        fuzziness = case_fuzziness(
            case.image,
            case.label,
            case.spacing_mm,
            patch_size,
            settings.entropy_bins,
            settings.ignore_label,
            case.slicewise,
            settings.intensity_bins,
            settings.fewest_patches,
        )
        m = fuzziness.combined()
        fuzzy = m >= settings.tau
        if not slices:
            nothing = np.zeros(m.shape, bool)
            slices = slices_that_matter(nothing if classes is None else classes, fuzzy if fuzzy.any() else m)
        foreground = None if classes is None else fuzzy[classes > 0]
        maps.append(
            PatchMaps(
                fuzziness.patch,
                fuzziness.intensity_bins,
                fuzziness.entropy(slices),
                fuzziness.edges(slices),
                m[slices],
                float(fuzzy.mean()),
                float(foreground.mean()) if foreground is not None and foreground.size else float("nan"),
            )
        )
    return slices, maps


def summary(maps: PatchMaps, tau: float) -> str:
    """Say how much of the case is fuzzy, in words."""
    text = f"patch {'×'.join(map(str, maps.patch))}: m reaches {tau:g} in {maps.fuzzy_of_image:.1%} of the voxels"
    if not np.isnan(maps.fuzzy_of_foreground):
        text += f" and {maps.fuzzy_of_foreground:.1%} of the foreground"
    return text
