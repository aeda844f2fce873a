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

from nnunetv2_dale.demo.dale_example import DaleExample
from nnunetv2_dale.demo.judging import FOREGROUND
from nnunetv2_dale.demo.telling_slice import telling_slice
from nnunetv2_dale.nnunet_files.volume_reading import require_whole
from nnunetv2_dale.pages.case_fuzziness import case_fuzziness
from nnunetv2_dale.pages.slice_display import CONTOUR_COLOURS, CT_WINDOWS_HU, draw_slice

PATCH_SIZE = 16
WINDOW_HU = CT_WINDOWS_HU["soft tissue"]


@dataclass(frozen=True)
class Volume:
    """An image or label map as it lies on disk."""

    array: npt.NDArray[Any]  # (z, y, x)
    spacing_mm: tuple[float, float, float]  # of z, y and x

    @classmethod
    def read(cls, path: Path) -> Volume:
        """Read a NIfTI file.

        Raises:
            ValueError: it is missing or damaged.
        """
        require_whole(path)
        image = SimpleITK.ReadImage(str(path))
        x_mm, y_mm, z_mm = image.GetSpacing()
        return cls(SimpleITK.GetArrayFromImage(image), (z_mm, y_mm, x_mm))


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


def show_example(example: DaleExample) -> Figure:
    """What DALE made of a batch: per case the image, both views, and ω, with the drawn and the true outlines."""
    panels = ("image", "non-fuzzy view", "fuzzy view", "ω by meta steps", "trust of the case", "ω, their product")
    rows, (height, width) = len(example.cases), example.image.shape[1:]
    figure = Figure(figsize=(2.6 * len(panels), (2.6 * height / width + 0.2) * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, len(panels), squeeze=False)
    low, high = np.percentile(example.image, (1, 99))
    for row, case in zip(axes, range(rows), strict=True):
        for panel, values in zip(row, (example.image, example.non_fuzzy, example.fuzzy), strict=False):
            panel.imshow(values[case], cmap="gray", vmin=low, vmax=high)
        reach = float(np.abs(example.meta - 1).max()) or 1.0  # the meta step moves ω by little: a scale of its own
        parts = ((example.meta, reach), (example.case, 1.0), (example.meta * example.case, 1.0))
        for panel, (weights, most) in zip(row[3:], parts, strict=True):
            shown = panel.imshow(weights[case], cmap="RdBu", vmin=1 - most, vmax=1 + most)
            if panel is not row[4]:
                figure.colorbar(shown, ax=panel, fraction=0.046, pad=0.02)
        for panel in row:
            panel.contour(example.drawn[case] > 0, levels=[0.5], colors=CONTOUR_COLOURS[0], linewidths=0.9)
            panel.contour(example.true[case] > 0, levels=[0.5], colors="black", linewidths=0.7, linestyles="dotted")
            panel.set(xticks=[], yticks=[])
        row[0].set_ylabel(str(example.cases[case]))
    for panel, title in zip(axes[0], panels, strict=True):
        panel.set_title(title)
    return figure


def show_alignment(alignment: npt.NDArray[np.float32]) -> Figure:
    """L_W of every batch that was an iteration of Algorithm 1."""
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    axes = figure.subplots()
    batches = np.flatnonzero(np.isfinite(alignment))
    axes.plot(batches, alignment[batches], ".-", color=CONTOUR_COLOURS[6], linewidth=1, markersize=4)
    axes.set(xlim=(0, len(alignment)), xlabel="batch of the training", ylabel="L_W")
    axes.set_ylim(bottom=0)
    return figure
