"""The demo's pictures: a slice of a test case as image, truth, both predictions and fuzziness map; and label noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnunetv2_dale.demo.anatomy import LABELS
from nnunetv2_dale.demo.judging import FOREGROUND
from nnunetv2_dale.pages.case_fuzziness import case_fuzziness
from nnunetv2_dale.pages.slice_display import CT_WINDOWS_HU, draw_slice

PATCH_SIZE = 16
WINDOW_HU = CT_WINDOWS_HU["soft tissue"]


@dataclass(frozen=True)
class Volume:
    """An image or label map as it lies on disk."""

    array: npt.NDArray[Any]  # (z, y, x)
    spacing_mm: tuple[float, float, float]  # of z, y and x

    @classmethod
    def read(cls, path: Path) -> Volume:
        """Read a NIfTI file."""
        image = SimpleITK.ReadImage(str(path))
        x_mm, y_mm, z_mm = image.GetSpacing()
        return cls(SimpleITK.GetArrayFromImage(image), (z_mm, y_mm, x_mm))


def telling_slice(truth: npt.NDArray[Any]) -> int:
    """The slice with most lesion among those where every other class that the case has is seen too.

    Without such a slice, the one with most classes, and among those with most lesion.
    """
    classes = [(truth == value).sum(axis=(1, 2)) for value in FOREGROUND.values()]
    seen = sum((area > 0).astype(np.float64) for area in classes)
    lesion = (truth == LABELS["lesion"]).sum(axis=(1, 2))
    return int(np.argmax(seen + lesion / (lesion.max() + 1)))


def compare_case(
    image: Volume, truth: Volume, predictions: Mapping[str, Volume], clip_hu: tuple[float, float]
) -> Figure:
    """Image, truth, each prediction and the fuzziness map of one slice, side by side.

    Args:
        image, truth: of one case, as are the predictions by method.
        clip_hu: where nnU-Net's CT normalisation clips, so that the map is that of the image a training sees.
    """
    index = telling_slice(truth.array)
    picture, spacing = image.array[index], image.spacing_mm
    panels = 3 + len(predictions)
    aspect = picture.shape[0] * spacing[1] / (picture.shape[1] * spacing[2])
    figure, axes = _row(panels, 3.1, aspect)
    draw_slice(axes[0], picture, spacing, value_range=WINDOW_HU)
    axes[0].set_title("image")
    handles = draw_slice(axes[1], picture, spacing, outlines(truth.array[index]), WINDOW_HU)
    axes[1].set_title("truth")
    for panel, (method, prediction) in zip(axes[2:], predictions.items(), strict=False):
        draw_slice(panel, picture, spacing, outlines(prediction.array[index]), WINDOW_HU)
        panel.set_title(method)
    _draw_fuzziness(figure, axes[-1], image, truth, index, clip_hu)
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), frameon=False)
    return figure


def compare_labels(image: Volume, clean: Volume, noisy: Volume) -> Figure:
    """One slice of a training case with its true label and with the noisy one that is trained on."""
    index = telling_slice(clean.array)
    picture, spacing = image.array[index], image.spacing_mm
    aspect = picture.shape[0] * spacing[1] / (picture.shape[1] * spacing[2])
    figure, axes = _row(3, 4.1, aspect)
    draw_slice(axes[0], picture, spacing, value_range=WINDOW_HU)
    handles = draw_slice(axes[1], picture, spacing, outlines(clean.array[index]), WINDOW_HU)
    draw_slice(axes[2], picture, spacing, outlines(noisy.array[index]), WINDOW_HU)
    for panel, title in zip(axes, ("image", "clean label, kept for judging", "noisy label, trained on"), strict=True):
        panel.set_title(title)
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), frameon=False)
    return figure


def outlines(label_slice: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.bool_]]:
    """The mask of every class; a lesion belongs to the liver around it, so that outlines nest."""
    masks = {name: label_slice == value for name, value in FOREGROUND.items()}
    return masks | {"liver": masks["liver"] | masks["lesion"]}


def _row(panels: int, width_in: float, aspect: float) -> tuple[Figure, npt.NDArray[Any]]:
    """A figure of panels side by side, with room for titles and a legend."""
    figure = Figure(figsize=(width_in * panels, width_in * aspect + 0.62), layout="constrained")
    return figure, figure.subplots(1, panels)


def _draw_fuzziness(
    figure: Figure, axes: Axes, image: Volume, truth: Volume, index: int, clip_hu: tuple[float, float]
) -> None:
    """m of Eq. 5 of the whole slice, as a 2D training sees it, with the truth's outlines."""
    maps = case_fuzziness(
        image.array[None, index : index + 1].astype(np.float32).clip(*clip_hu),
        truth.array[index : index + 1].astype(np.int16),
        image.spacing_mm,
        PATCH_SIZE,
    )
    aspect = image.spacing_mm[1] / image.spacing_mm[2]
    shown = axes.imshow(maps.combined[0], cmap="viridis", vmin=0, vmax=1, aspect=aspect, interpolation="nearest")
    axes.set_title("fuzziness m")
    axes.set_xticks([])
    axes.set_yticks([])
    for mask in outlines(truth.array[index]).values():
        if mask.any():
            axes.contour(mask, levels=[0.5], colors="white", linewidths=0.8)
    figure.colorbar(shown, ax=axes, fraction=0.04, pad=0.02)
