"""The demo's pictures: what the labels' noise is, what DALE made of a batch, and L_W over the training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from nnunetv2_dale.demo.anatomy import FOREGROUND, telling_slice
from nnunetv2_dale.demo.dale_example import DaleExample
from nnunetv2_dale.pages.slice_display import CONTOUR_COLOURS, CT_WINDOWS_HU, draw_slice

WINDOW_HU = CT_WINDOWS_HU["soft tissue"]


def compare_labels(
    image: npt.NDArray[Any], clean: npt.NDArray[Any], noisy: npt.NDArray[Any], spacing: Sequence[float]
) -> Figure:
    """Draw one slice of a training case with its true label and with the noisy one; arrays (z, y, x)."""
    index = telling_slice(clean)
    picture = image[index]
    aspect = picture.shape[0] * spacing[1] / (picture.shape[1] * spacing[2])
    figure = Figure(figsize=(12.3, 4.1 * aspect + 0.62), layout="constrained")
    axes = figure.subplots(1, 3)
    draw_slice(axes[0], picture, spacing, value_range=WINDOW_HU)
    handles = draw_slice(axes[1], picture, spacing, outlines(clean[index]), WINDOW_HU)
    draw_slice(axes[2], picture, spacing, outlines(noisy[index]), WINDOW_HU)
    for panel, title in zip(axes, ("image", "clean label, kept for judging", "noisy label, trained on"), strict=True):
        panel.set_title(title)
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), frameon=False)
    return figure


def outlines(label_slice: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.bool_]]:
    """Return the mask of every class; a lesion belongs to the liver around it, so that outlines nest."""
    masks = {name: label_slice == value for name, value in FOREGROUND.items()}
    return masks | {"liver": masks["liver"] | masks["lesion"]}


def show_example(example: DaleExample) -> Figure:
    """Draw what DALE made of a batch: per case the image, both views, and ω, with the drawn and the true outlines."""
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
    """Draw L_W of every batch that was an iteration of Algorithm 1."""
    figure = Figure(figsize=(9, 2.0), layout="constrained")
    axes = figure.subplots()
    batches = np.flatnonzero(np.isfinite(alignment))
    axes.plot(batches, alignment[batches], ".-", color=CONTOUR_COLOURS[6], linewidth=1, markersize=4)
    axes.set(xlim=(0, len(alignment)), xlabel="batch of the training", ylabel="L_W")
    axes.set_ylim(bottom=0)
    return figure
