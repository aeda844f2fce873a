"""The figure of the calibration: expected against actual Dice of the labelled cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from nnunetv2_dale.pages.html_page import OKABE_ITO
from nnunetv2_dale.pseudo_labels.expected_dice import HeldOut


def calibration_figure(
    known: Sequence[HeldOut], expected: Sequence[float], error: float, labels: Mapping[str, Any]
) -> Figure:
    """A dot per labelled case and class; on the diagonal, what was expected came.

    Args:
        expected: of each of `known`, by the cases of other folds.
        error: their mean absolute error.
        labels: of dataset.json, for the names.
    """
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
    for number, label in enumerate(sorted({each.label for each in known})):
        points = [(value, row.dice) for value, row in zip(expected, known, strict=True) if row.label == label]
        name = next((name for name, value in labels.items() if value == label), str(label))
        colour = OKABE_ITO[number % len(OKABE_ITO)]
        axes.plot(*zip(*points, strict=True), "o", color=colour, markersize=4, label=name)
    axes.set(xlabel="expected Dice", ylabel="Dice with the label", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.set_title(f"{len(known)} held-out classes of cases, mean absolute error {error:.3f}", fontsize="small")
    axes.legend(fontsize="small")
    return figure
