"""The cases where a candidate gains and loses most, and pictures of them: image, reference and every prediction."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nnunetv2_dale.masks.boxes import box_of
from nnunetv2_dale.nnunet_files.results.case_files import CaseFiles
from nnunetv2_dale.nnunet_files.results.class_keys import class_labels
from nnunetv2_dale.nnunet_files.results.same_task import ClassName
from nnunetv2_dale.pages.slice_display import display_range, draw_slice
from nnunetv2_dale.report.report_data import MEAN_CLASS, Overlay, Report
from nnunetv2_dale.report.sides import labels_of
from nnunetv2_dale.report.volumes import MaskReader, mask_reader

if TYPE_CHECKING:
    from nnunetv2_dale.report.build import BuiltReport

_MARGIN_VOXELS = 10
_SMALLEST_SIDE = 48
_MOST_OF_A_RANK = 5


@dataclass(frozen=True)
class RankedCase:
    """A case, whether it is among the "best" or the "worst", and its Dice in both runs (mean over classes)."""

    case: str
    rank: str
    baseline_dice: float
    dice: float

    @property
    def difference(self) -> float:
        """Candidate − baseline."""
        return self.dice - self.baseline_dice


def ranked_cases(report: Report, candidate: str) -> list[RankedCase]:
    """Return the five cases with the largest gain in Dice, then those with the largest loss (the worst first).

    With fewer than ten cases the better half and the worse half; no case is in both.
    """
    columns = [report.run(name).values["Dice"][MEAN_CLASS] for name in (report.baseline, candidate)]
    rows = [
        (case, before, after)
        for case, before, after in zip(report.case_names, *columns, strict=True)
        if before is not None and after is not None
    ]
    rows.sort(key=lambda row: (row[1] - row[2], row[0]))
    best = min(_MOST_OF_A_RANK, (len(rows) + 1) // 2)
    worst = min(_MOST_OF_A_RANK, len(rows) - best)
    chosen = [("best", row) for row in rows[:best]] + [("worst", row) for row in rows[::-1][:worst]]
    return [RankedCase(case, rank, before, after) for rank, (case, before, after) in chosen]


def write_overlays(built: BuiltReport, folder: Path) -> list[Overlay]:
    """Draw the five best and five worst cases of each candidate into `folder/overlays`.

    Returns:
        the pictures, best first.
    """
    (folder / "overlays").mkdir()
    report, first = built.report, built.folders[0]
    reader = mask_reader(first, built.files[0].reference)
    is_ct = str(first.dataset_json.get("channel_names", {}).get("0", "")).lower() == "ct"
    files = {item.case: item for item in built.files}
    labels = labels_of(report)
    predicted = [name for run in report.runs for name in (run.trainings or [run.name])]
    titles = [labels[name] for name in predicted]
    shows = "the image, then outlines of the classes in the reference and in the predictions of " + ", ".join(titles)
    overlays: list[Overlay] = []
    drawn: dict[str, str] = {}
    for run in report.runs[1:]:
        number = predicted.index((run.trainings or [run.name])[0])
        for ranked in ranked_cases(report, run.name):
            if ranked.case not in drawn:
                name = f"overlays/{len(drawn):02d}_{re.sub(r'[^A-Za-z0-9._-]', '_', ranked.case)}.png"
                figure = draw_case(files[ranked.case], report.classes, titles, number, is_ct, reader)
                figure.savefig(folder / name, dpi=110, bbox_inches="tight", metadata={"Software": None})
                drawn[ranked.case] = name
            description = f"A slice of case {ranked.case}: {shows}"
            overlays.append(
                Overlay(ranked.case, run.name, ranked.rank, ranked.difference, drawn[ranked.case], description)
            )
    return overlays


def draw_case(
    files: CaseFiles,
    classes: Sequence[ClassName],
    titles: Sequence[str],
    candidate: int,
    is_ct: bool,
    reader: MaskReader,
) -> Figure:
    """Draw one slice of a case in a row of panels: image, reference, each prediction.

    The slice is the one where the baseline and the candidate differ most, else the one with most foreground.

    Args:
        titles: name of each prediction.
        candidate: which prediction is compared with the first.
    """
    reference = reader.label(files.reference)
    image = reader.image(files.images, reference).voxels[0]
    predictions = [reader.prediction(file, reference) for file in files.predictions]
    pixels, *stacks = (  # (Z, Y, X)
        each.reshape(-1, *each.shape[-2:]) for each in (image, *(volume.voxels for volume in (reference, *predictions)))
    )
    z = _slice_to_show(stacks, candidate)
    window = _window([stack[z] for stack in stacks])
    shown, (row_mm, column_mm) = pixels[z][window], reference.spacing_mm[-2:]
    height = 3.0 * float(np.clip(shown.shape[0] * row_mm / (shown.shape[1] * column_mm), 0.5, 1.6))
    panels = [("image", None), ("reference", stacks[0]), *zip(titles, stacks[1:], strict=True)]
    figure = Figure(figsize=(3.0 * len(panels), height + 0.6))
    handles: list[LineCollection] = []
    for axes, (title, stack) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        contours = {}
        if stack is not None:
            contours = {item.name: np.isin(stack[z][window], class_labels(item.key)) for item in classes}
        handles = draw_slice(axes, shown, reference.spacing_mm, contours, display_range(image, is_ct)) or handles
        axes.set_title(title, fontsize=10, loc="left")
    figure.subplots_adjust(wspace=0.04, left=0.01, right=0.99, top=0.9, bottom=0.08)
    names = [item.name for item in classes]
    figure.legend(handles, names, loc="lower center", ncols=min(7, len(names)), frameon=False, fontsize=9)
    return figure


def _slice_to_show(stacks: Sequence[NDArray[np.int16]], candidate: int) -> int:
    reference, baseline, other = stacks[0], stacks[1], stacks[1 + candidate]
    differing = (baseline != other).sum(axis=(1, 2))
    if not differing.any():
        differing = (reference > 0).sum(axis=(1, 2))
    return int(np.argmax(differing)) if differing.any() else reference.shape[0] // 2


def _window(slices: Sequence[NDArray[np.int16]]) -> tuple[slice, slice]:
    """Return the part of the slice around every outline, at least `_SMALLEST_SIDE` voxels along each axis."""
    anything = np.any([part > 0 for part in slices], axis=0)
    box = box_of(anything) or tuple(slice(0, size) for size in anything.shape)
    window = []
    for place, size in zip(box, anything.shape, strict=True):
        middle, half = (place.start + place.stop) / 2, (place.stop - place.start) / 2 + _MARGIN_VOXELS
        half = max(half, _SMALLEST_SIDE / 2)
        window.append(slice(max(0, int(middle - half)), min(size, int(np.ceil(middle + half)))))
    return window[0], window[1]
