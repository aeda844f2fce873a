"""Measure the masks of every case, several cases at once; the result does not depend on how many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nnunetv2_dale.commands.cases import run_cases
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.masks.boxes import Box, box_around, boxes_of_values
from nnunetv2_dale.masks.overlap import Mask, overlap
from nnunetv2_dale.masks.voxel_surface import measures_of, surface_distances
from nnunetv2_dale.nnunet_files.geometry import GridDifference, grid_difference
from nnunetv2_dale.nnunet_files.results.case_files import CaseFiles
from nnunetv2_dale.nnunet_files.results.class_keys import class_labels
from nnunetv2_dale.nnunet_files.results.summary_file import CaseResult, ClassResult
from nnunetv2_dale.report.fuzzy_region import fuzzy_region
from nnunetv2_dale.report.lesions import lesion_counts
from nnunetv2_dale.report.metrics import LESION_F1, metric_name
from nnunetv2_dale.report.report_data import LesionTotal
from nnunetv2_dale.report.volumes import MaskReader, Volume

Measures = dict[str, dict[str, float | None]]
"""metric → class key → value of one case."""


@dataclass(frozen=True)
class MeasureSettings:
    """How masks are measured.

    With `other_references` the references need not be those of `summary.json`: they judge in their place.
    """

    class_keys: tuple[str, ...]
    ignore_label: int | None
    tolerance_mm: float
    tau: float
    patch_size: int
    reader: MaskReader
    other_references: bool = False


@dataclass(frozen=True)
class MeasuredRun:
    """One prediction of one case."""

    measures: Measures  # metric → class key → value
    lesions: dict[str, LesionTotal]  # class key → lesions of both masks
    grid: GridDifference | None  # how its voxels lie elsewhere than the reference's; None where they do not
    classes: dict[str, ClassResult]  # class key → voxels and overlap of both masks


@dataclass(frozen=True)
class MeasuredCase:
    """One case: each result folder's prediction, and how the image's voxels lie elsewhere than the reference's.

    `patch` is that of the fuzzy region in voxels.
    """

    runs: list[MeasuredRun]
    image_grid: GridDifference | None
    patch: tuple[int, ...]


@dataclass(frozen=True)
class _Pair:
    """A prediction and its reference."""

    prediction: Volume
    reference: Volume
    region: Mask
    ignored: Mask | None
    result: CaseResult
    settings: MeasureSettings


def measure_cases(
    files: Sequence[CaseFiles], results: Sequence[Sequence[CaseResult]], settings: MeasureSettings, processes: int = 1
) -> list[MeasuredCase]:
    """For each case, in the order given, the measures of each result folder.

    Args:
        files: the cases' masks and images.
        results: for each case what each folder's `summary.json` says, to notice masks it was not made of.
        settings: what to measure.
        processes: cases measured at once; 1 stays in this process.
    Raises:
        UserError: a mask or image that cannot be read, or whose shape, spacing or voxel counts disagree.
    """
    jobs = [(each.case, (each, of_folders, settings)) for each, of_folders in zip(files, results, strict=True)]
    return [measured for _, measured in run_cases(measure_case, jobs, processes, "measuring masks")]


def measure_case(files: CaseFiles, results: Sequence[CaseResult], settings: MeasureSettings) -> MeasuredCase:
    """Return the measures of one case, one entry per result folder."""
    reference = settings.reader.label(files.reference)
    image = settings.reader.image(files.images, reference) if files.images else None
    image_grid = None if image is None else grid_difference(image.grid, reference.grid)
    region, patch = fuzzy_region(
        None if image is None else image.voxels,
        reference.voxels,
        reference.spacing_mm,
        settings.tau,
        settings.patch_size,
        settings.ignore_label,
    )
    del image
    ignored = None if settings.ignore_label is None else reference.voxels == settings.ignore_label
    if ignored is not None:
        reference.voxels[ignored] = 0
    boxes = boxes_of_values(reference.voxels)
    runs = []
    for file, result in zip(files.predictions, results, strict=True):
        prediction = settings.reader.prediction(file, reference)
        if ignored is not None:
            prediction.voxels[ignored] = 0
        runs.append(_measure_pair(_Pair(prediction, reference, region, ignored, result, settings), boxes))
    return MeasuredCase(runs, image_grid, patch)


def _measure_pair(pair: _Pair, reference_boxes: dict[int, Box]) -> MeasuredRun:
    prediction_boxes = boxes_of_values(pair.prediction.voxels)
    measures: Measures = {}
    lesions: dict[str, LesionTotal] = {}
    classes: dict[str, ClassResult] = {}
    reference = pair.reference.voxels
    n_voxels = reference.size if pair.ignored is None else int(np.count_nonzero(~pair.ignored))
    for key in pair.settings.class_keys:
        labels = class_labels(key)
        stated = pair.result.classes[key]
        known = (reference_boxes, prediction_boxes) if stated.annotated else ()  # else nothing of it counts
        there = [boxes[label] for boxes in known for label in labels if label in boxes]
        shape = reference.shape
        box = box_around(there, shape) or tuple(slice(0, 0) for _ in shape)
        predicted, true = (np.isin(volume.voxels[box], labels) for volume in (pair.prediction, pair.reference))
        classes[key] = _class_result(predicted, true, n_voxels) if stated.annotated else stated
        _same_counts(classes[key], pair, key)
        lesions[key] = lesion_counts(predicted, true, key)
        measures.setdefault(LESION_F1, {})[key] = lesions[key].f1()
        for name, value in _measure_class(predicted, true, box, pair):
            measures.setdefault(name, {})[key] = value
    return MeasuredRun(measures, lesions, grid_difference(pair.prediction.grid, pair.reference.grid), classes)


def _class_result(predicted: Mask, true: Mask, n_voxels: int) -> ClassResult:
    """What nnU-Net's `summary.json` would say of the masks."""
    shared, of_true, of_predicted = (int(np.count_nonzero(mask)) for mask in (predicted & true, true, predicted))
    dice, iou = overlap(predicted, true) or (None, None)
    return ClassResult(dice, iou, shared, of_true, of_predicted, n_voxels)


def _measure_class(predicted: Mask, true: Mask, box: Box, pair: _Pair) -> Iterator[tuple[str, float | None]]:
    tolerance_mm = pair.settings.tolerance_mm
    distances = surface_distances(predicted, true, pair.reference.spacing_mm)
    for name, value in measures_of(predicted, true, distances, tolerance_mm).items():
        if name not in ("Dice", "IoU"):  # those are nnU-Net's own, from summary.json
            yield metric_name(name, "all"), value
    for region_name, inside in (("fuzzy", pair.region[box]), ("clear", ~pair.region[box])):
        part = None if distances is None else distances.within(inside)
        for name, value in measures_of(predicted & inside, true & inside, part, tolerance_mm).items():
            yield metric_name(name, region_name), value


def _same_counts(found: ClassResult, pair: _Pair, key: str) -> None:
    """The masks must be those nnU-Net evaluated: a summary of an older prediction would mix two models."""
    stated, summary_file = pair.result.classes[key], pair.result.summary_file
    others = pair.settings.other_references
    if not others and stated.n_reference not in (None, found.n_reference):
        raise UserError(
            f"{pair.reference.file} is not the reference that {summary_file} was made with: class {key} has "
            f"{found.n_reference} voxels, there {stated.n_reference}; give the folder of the references that are to "
            "judge with --references, or compare what summary.json holds alone (--summary_only)"
        )
    for what, count, expected in (
        ("prediction", found.n_prediction, None if others and pair.ignored is not None else stated.n_prediction),
        ("overlap", found.true_positives, None if others else stated.true_positives),
    ):
        if expected is not None and count != expected:
            raise UserError(
                f"{pair.prediction.file} is not what {summary_file} was made of: class {key} of the "
                f"{what} has {count} voxels, there {expected}; validate again (--val), or compare what summary.json "
                "holds alone (--summary_only)"
            )
