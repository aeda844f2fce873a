"""`nnUNetv2_dale_confidence preprocess`: maps and readers' labels on the grids of nnU-Net's preprocessed cases."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from typing import Any

import numpy as np
from acvl_utils.cropping_and_padding.bounding_boxes import bounding_box_to_slice
from batchgenerators.utilities.file_and_folder_operations import load_pickle
from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape, resample_data_or_seg_to_shape
from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params, nnUNetDatasetBlosc2
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from numpy.typing import NDArray

from nnunetv2_dale import __version__
from nnunetv2_dale.commands.cases import run_cases
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.confidence.given import read_given, readers_of, unequal_classes_of
from nnunetv2_dale.nnunet_files.atomic_output import new_folder, refuse_existing
from nnunetv2_dale.nnunet_files.confidence_map import read_confidence_map
from nnunetv2_dale.nnunet_files.confidence_table import TABLE, write_confidence_table
from nnunetv2_dale.nnunet_files.geometry import Stored
from nnunetv2_dale.nnunet_files.json_files import write_json
from nnunetv2_dale.nnunet_files.preprocessed_confidence import (
    MADE_FROM,
    READER_LABELS,
    confidence_folder,
    crop_of,
    made_from,
    raw_checksums,
)
from nnunetv2_dale.nnunet_files.problems import FileError, Problem, refuse_problems
from nnunetv2_dale.nnunet_files.raw_dataset import RawCase, RawDataset, require_labels
from nnunetv2_dale.nnunet_files.volumes import label_values, read_label
from nnunetv2_dale.readers.reading import ReadersValues, read_reader


def preprocess_confidence(
    dataset: RawDataset, preprocessed: Path, plans: str, configurations: Sequence[str], processes: int, overwrite: bool
) -> list[Path]:
    """Write the confidence of some configurations beside their cases; each appears when it is complete.

    Args:
        configurations: none for all that are preprocessed, but for those that have all of it already; a cascade shares
            the cases of its full resolution.
    Raises:
        UserError: nothing is given or it is refused, or nnU-Net has not preprocessed the cases.
    """
    require_labels(dataset)
    given, file = read_given(dataset), preprocessed / f"{plans}.json"
    chosen = _configurations(file, preprocessed, configurations)
    checksums = raw_checksums(dataset.folder)
    targets = {name: confidence_folder(preprocessed, name) for name in chosen}
    if not configurations and not overwrite:
        lacking = {
            name: target for name, target in targets.items() if (made_from(target) or {}).get("raw") != checksums
        }
        targets = lacking or targets
    for name, target in targets.items():
        refuse_existing(target, overwrite)
        _require_preprocessed(dataset, preprocessed / name)
    for name, target in targets.items():
        with new_folder(target, overwrite) as folder:
            work = _Work(file, chosen[name], dataset.reader(), dataset.dataset_json, folder)
            jobs = [
                (case.name, (work, case, given.maps.get(case.name), readers_of(given, case.name)))
                for case in dataset.cases
                if case.name in given.maps or readers_of(given, case.name)
            ]
            for reader in given.readers:
                (folder / READER_LABELS / reader).mkdir(parents=True)
            found = [result for _, result in run_cases(_write_case, jobs, processes, f"preprocessing for {name}")]
            refuse_problems([problem for problem in found if isinstance(problem, Problem)], dataset.folder)
            drawn = [values for values in found if not isinstance(values, Problem)]
            refuse_problems(unequal_classes_of(dataset, given, drawn), dataset.folder)
            if (dataset.folder / TABLE).is_file():
                write_confidence_table(folder / TABLE, given.table)  # with the cases' own names, not a spreadsheet's
            crops = {case: crop_of(load_pickle(str(preprocessed / name / f"{case}.pkl"))) for case, _ in jobs}
            write_json(folder / MADE_FROM, {"nnunetv2_dale": __version__, "raw": checksums, "crops": crops})
    return list(targets.values())


def resampled(
    confidence: NDArray[np.float32],
    properties: dict[str, Any],
    plans: PlansManager,
    configuration: ConfigurationManager,
) -> NDArray[np.float32]:
    """Transpose, crop and resample a map as nnU-Net did the case's image; linear, and nearest along the coarse axis of
    anisotropic images, where the image is resampled like that.

    Args:
        confidence: (Z, Y, X) of the raw label.
    Returns:
        (1, Z', Y', X') in [0, 1].
    """
    axes = plans.transpose_forward
    turned = confidence.transpose(axes)
    if turned.shape != tuple(properties["shape_before_cropping"]):
        raise ValueError(
            f"has the shape {turned.shape}, but nnU-Net preprocessed {tuple(properties['shape_before_cropping'])}; "
            "run nnUNetv2_preprocess again"
        )
    cropped = turned[bounding_box_to_slice(properties["bbox_used_for_cropping"])][None]
    spacing = [properties["spacing"][axis] for axis in axes]
    target = [*spacing[: 3 - len(configuration.spacing)], *configuration.spacing]  # 2D keeps the distance of slices
    of_image = configuration.configuration["resampling_fn_data_kwargs"]
    found = resample_data_or_seg_to_shape(
        cropped,
        compute_new_shape(cropped.shape[1:], spacing, target),
        spacing,
        target,
        is_seg=False,
        order=1,
        order_z=of_image.get("order_z", 0),
        force_separate_z=of_image.get("force_separate_z"),
    )
    return np.asarray(np.clip(found, 0, 1), np.float32)


@dataclass(frozen=True)
class _Work:
    """What the cases of one configuration have in common: where they are read and written, and how."""

    plans_file: Path
    configuration: str
    reader: Any
    dataset_json: dict[str, Any]
    folder: Path


def _write_case(work: _Work, case: RawCase, map_file: Path | None, readers: dict[str, Path]) -> Problem | ReadersValues:
    plans = PlansManager(str(work.plans_file))
    configuration = plans.get_configuration(work.configuration)
    properties_file = work.plans_file.parent / configuration.data_identifier / f"{case.name}.pkl"
    assert case.label is not None
    try:
        label, properties = read_label(work.reader, case.label, None)
        stored: Stored = label.shape, properties
        if map_file is not None:
            confidence = read_confidence_map(work.reader, map_file, case.label, stored)
            found = resampled(confidence, load_pickle(str(properties_file)), plans, configuration)
            _save(found, work.folder / case.name, configuration)
        values = {}
        for name, file in readers.items():
            raw = read_reader(work.reader, file, label_values(work.dataset_json["labels"]), case.label, stored)
            values[name] = frozenset(np.unique(raw).tolist())
            preprocessor, images = configuration.preprocessor_class(verbose=False), list(map(str, case.images))
            _, drawn, _ = preprocessor.run_case(images, str(file), plans, configuration, work.dataset_json)
            _save(drawn.astype(np.int16), work.folder / READER_LABELS / name / case.name, configuration)
    except FileError as error:
        return error.problem
    except ValueError as error:
        return Problem(case.label, str(error))
    return values


def _save(array: NDArray[Any], target: Path, configuration: ConfigurationManager) -> None:
    """Write (1, Z, Y, X) in the blocks that nnU-Net chooses for its own cases."""
    blocks, chunks = comp_blosc2_params(array.shape, tuple(configuration.patch_size), array.itemsize)
    try:
        nnUNetDatasetBlosc2.save_seg(np.ascontiguousarray(array), str(target), chunks_seg=chunks, blocks_seg=blocks)
    except RuntimeError as error:  # blosc2 does not say why
        why = errno.ENOSPC if disk_usage(target.parent).free < array.nbytes else errno.EIO
        raise OSError(why, os.strerror(why), f"{target}.b2nd") from error


def _configurations(plans_file: Path, preprocessed: Path, wanted: Sequence[str]) -> dict[str, str]:
    """Data identifier → a configuration that trains on it."""
    if not plans_file.is_file():
        raise UserError(f"{plans_file} is missing; run nnUNetv2_plan_and_preprocess first, or name the plans with -p")
    plans = PlansManager(str(plans_file))
    unknown = [name for name in wanted if name not in plans.available_configurations]
    if unknown:
        raise UserError(
            f"{plans_file} has no configuration {unknown[0]}; it has {', '.join(plans.available_configurations)}"
        )
    chosen: dict[str, str] = {}
    for name in wanted or plans.available_configurations:
        identifier = plans.get_configuration(name).data_identifier
        if wanted or (preprocessed / identifier).is_dir():
            chosen.setdefault(identifier, name)
    if not chosen:
        raise UserError(
            f"{preprocessed} holds no preprocessed cases of {plans_file.stem}; run nnUNetv2_preprocess first"
        )
    return chosen


def _require_preprocessed(dataset: RawDataset, cases: Path) -> None:
    lacking = [case.name for case in dataset.cases if not (cases / f"{case.name}.pkl").is_file()]
    if lacking:
        raise UserError(
            f"{cases} lacks {counted(len(lacking), 'case')}, such as {lacking[0]}; run nnUNetv2_preprocess first"
        )
