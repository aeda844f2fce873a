"""Measure the masks of every case, several cases at once; the result does not depend on how many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
from nnunetv2.imageio.reader_writer_registry import (
    determine_reader_writer_from_file_ending,
    recursive_find_reader_writer_by_name,
)
from numpy.typing import NDArray
from scipy import ndimage
from tqdm import tqdm

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.worker_pool import worker_pool
from nnunetv2_dale.report.case_files import CaseFiles
from nnunetv2_dale.report.fuzzy_region import fuzzy_region
from nnunetv2_dale.report.metrics import metric_name
from nnunetv2_dale.report.result_folder import CaseResult
from nnunetv2_dale.report.same_task import class_labels
from nnunetv2_dale.report.surface_metrics import measures_of, surface_distances, union_box

Measures = dict[str, dict[str, float | None]]
"""metric → class key → value of one case."""
Boxes = Sequence[tuple[slice, ...] | None]


@dataclass(frozen=True)
class MeasureSettings:
    """How masks are measured; `tau` None leaves the fuzzy region out."""

    class_keys: tuple[str, ...]
    ignore_label: int | None
    tolerance_mm: float
    tau: float | None
    patch_size: int
    reader: type[BaseReaderWriter]


@dataclass(frozen=True)
class Volume:
    """A label map without its singleton slice axis (2D data), and the spacing of its axes."""

    labels: NDArray[np.int16]
    spacing_mm: tuple[float, ...]


def measure_cases(
    files: Sequence[CaseFiles],
    results: Sequence[Sequence[CaseResult]],
    settings: MeasureSettings,
    processes: int = 1,
) -> list[list[Measures]]:
    """For each case, in the order given, the measures of each result folder.

    Args:
        files: the cases' masks and images.
        results: for each case what each folder's `summary.json` says, to notice masks it was not made of.
        settings: what to measure.
        processes: cases measured at once; 1 stays in this process.
    Raises:
        UserError: a mask or image that cannot be read, or whose shape, spacing or voxel counts disagree.
    """
    jobs = list(zip(files, results, strict=True))
    measured: dict[int, list[Measures]] = {}
    bar = tqdm(total=len(jobs), desc="measuring masks", unit="case", disable=None)
    with bar:
        for number, measures in _run(jobs, settings, min(processes, len(jobs))):
            measured[number] = measures
            bar.update()
    return [measured[number] for number in range(len(jobs))]


def _run(
    jobs: Sequence[tuple[CaseFiles, Sequence[CaseResult]]], settings: MeasureSettings, processes: int
) -> Iterator[tuple[int, list[Measures]]]:
    if processes <= 1:
        for number, (files, results) in enumerate(jobs):
            yield number, measure_case(files, results, settings)
        return
    try:
        with worker_pool(processes, torch.set_num_threads, (1,), preload=[__name__]) as pool:
            futures = {
                pool.submit(measure_case, files, results, settings): number
                for number, (files, results) in enumerate(jobs)
            }
            for future in as_completed(futures):
                yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise UserError(
            "a process that measured masks was killed, most likely for memory; use fewer at once (-np 1)"
        ) from error


def measure_case(files: CaseFiles, results: Sequence[CaseResult], settings: MeasureSettings) -> list[Measures]:
    """The measures of one case, one entry per result folder."""
    reference = read_labels(files.reference, settings.reader)
    region = None
    if settings.tau is not None:
        image = read_image(files.images, settings.reader, reference, files.reference) if files.images else None
        region = fuzzy_region(
            image, reference.labels, reference.spacing_mm, settings.tau, settings.patch_size, settings.ignore_label
        )
        del image
    ignored = None if settings.ignore_label is None else reference.labels == settings.ignore_label
    if ignored is not None:
        reference.labels[ignored] = 0
    boxes = _boxes(reference.labels)
    measures = []
    for file, result in zip(files.predictions, results, strict=True):
        prediction = read_prediction(file, files.reference, reference, settings.reader)
        if ignored is not None:
            prediction.labels[ignored] = 0
        measures.append(_measure_pair(prediction, reference, boxes, region, settings, file, result))
    return measures


def _measure_pair(
    prediction: Volume,
    reference: Volume,
    reference_boxes: Boxes,
    region: NDArray[np.bool_] | None,
    settings: MeasureSettings,
    file: Path,
    result: CaseResult,
) -> Measures:
    prediction_boxes = _boxes(prediction.labels)
    measures: Measures = {}
    for key in settings.class_keys:
        labels = class_labels(key)
        box = union_box(
            [
                boxes[label - 1]
                for boxes in (reference_boxes, prediction_boxes)
                for label in labels
                if 0 < label <= len(boxes)
            ]
        )
        for name, value in _measure_class(prediction, reference, box, region, labels, settings, file, result, key):
            measures.setdefault(name, {})[key] = value
    return measures


def _measure_class(
    prediction: Volume,
    reference: Volume,
    box: tuple[slice, ...] | None,
    region: NDArray[np.bool_] | None,
    labels: tuple[int, ...],
    settings: MeasureSettings,
    file: Path,
    result: CaseResult,
    key: str,
) -> Iterator[tuple[str, float | None]]:
    if box is None:
        box = tuple(slice(0, 0) for _ in reference.labels.shape)
    predicted, true = (np.isin(volume.labels[box], labels) for volume in (prediction, reference))
    _same_counts(predicted, true, result, key, file)
    distances = surface_distances(predicted, true, reference.spacing_mm)
    for name, value in measures_of(predicted, true, distances, settings.tolerance_mm).items():
        if name not in ("Dice", "IoU"):  # those are nnU-Net's own, from summary.json
            yield metric_name(name, "all"), value
    if region is None:
        return
    for region_name, inside in (("fuzzy", region[box]), ("clear", ~region[box])):
        part = None if distances is None else distances.within(inside)
        for name, value in measures_of(predicted & inside, true & inside, part, settings.tolerance_mm).items():
            yield metric_name(name, region_name), value


def _same_counts(
    predicted: NDArray[np.bool_], true: NDArray[np.bool_], result: CaseResult, key: str, file: Path
) -> None:
    """The masks must be those nnU-Net evaluated: a summary of an older prediction would mix two models."""
    stated = result.classes[key]
    for what, count, expected in (
        ("prediction", np.count_nonzero(predicted), stated.n_prediction),
        ("reference", np.count_nonzero(true), stated.n_reference),
        ("overlap", np.count_nonzero(predicted & true), stated.true_positives),
    ):
        if expected is not None and count != expected:
            raise UserError(
                f"{file} is not what {result.summary_file} was made of: class {key} of the {what} has {count} voxels, "
                f"there {expected}; validate again (--val), or compare what summary.json holds alone (--summary-only)"
            )


def read_labels(file: Path, reader: type[BaseReaderWriter]) -> Volume:
    """Read a mask; 2D data (one slice) loses its slice axis."""
    segmentation, spacing = _read(file, lambda: reader().read_seg(str(file)))
    # A copy: the reader's own array can be read-only, and is larger.
    labels = np.rint(segmentation[0]).astype(np.int16)
    return Volume(labels[0], spacing[1:]) if labels.shape[0] == 1 else Volume(labels, spacing)


def read_prediction(file: Path, reference_file: Path, reference: Volume, reader: type[BaseReaderWriter]) -> Volume:
    """Read a prediction and check that it lies on the reference's voxels."""
    prediction = read_labels(file, reader)
    if prediction.labels.shape != reference.labels.shape:
        raise UserError(
            f"{file} has shape {prediction.labels.shape}, but its reference {reference_file} has "
            f"{reference.labels.shape}; predict it again"
        )
    if not np.allclose(prediction.spacing_mm, reference.spacing_mm, rtol=1e-3, atol=0):
        raise UserError(
            f"{file} has voxel spacing {prediction.spacing_mm} mm, but its reference {reference_file} has "
            f"{reference.spacing_mm} mm; predict it again"
        )
    return prediction


def read_image(
    files: Sequence[Path], reader: type[BaseReaderWriter], reference: Volume, reference_file: Path
) -> NDArray[np.float32]:
    """The channels of an image, (C, *S) with S the shape of its reference."""
    image, _ = _read(files[0], lambda: reader().read_images([str(file) for file in files]))
    if image.ndim == reference.labels.ndim + 2:
        image = image[:, 0]
    if image.shape[1:] != reference.labels.shape:
        raise UserError(
            f"{files[0]} has shape {image.shape[1:]}, but its reference {reference_file} has {reference.labels.shape}"
        )
    # NaN and infinities of broken scanners are no grey values.
    return np.nan_to_num(image.astype(np.float32, copy=False), copy=False, nan=0.0, posinf=0.0, neginf=0.0)


def _read(file: Path, read: Any) -> tuple[NDArray[Any], tuple[float, ...]]:
    try:
        array, properties = read()
    except Exception as error:  # each of nnU-Net's readers raises its own library's errors
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{file} cannot be read as an image: {reason}") from error
    return array, tuple(float(value) for value in properties["spacing"])


def _boxes(labels: NDArray[np.int16]) -> Boxes:
    """Bounding box of each label value from 1 on; None where a value does not occur."""
    return ndimage.find_objects(np.maximum(labels, 0))


def reader_of(plans: Mapping[str, Any], dataset_json: Mapping[str, Any], ending: str) -> type[BaseReaderWriter]:
    """The reader nnU-Net uses for the dataset's masks: the plans' own, else the first for the file ending.

    Raises:
        UserError: nnU-Net has no reader for the ending.
    """
    named = dataset_json.get("overwrite_image_reader_writer", plans.get("image_reader_writer"))
    try:
        if named and named != "None":
            reader = recursive_find_reader_writer_by_name(named)
        else:
            reader = determine_reader_writer_from_file_ending(ending, verbose=False)
    except RuntimeError as error:
        raise UserError(f"nnU-Net has no reader for {named or ending} masks; use --summary-only") from error
    return reader  # type: ignore[no-any-return]
