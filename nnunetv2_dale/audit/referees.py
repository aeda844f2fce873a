"""From result folders of nnU-Net to what is audited: every case, its label, and the networks that never saw it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunetv2_dale.audit.audit_task import AuditedClass, AuditTask, CaseInputs
from nnunetv2_dale.audit.crossing_regions import reads_back
from nnunetv2_dale.audit.held_out import is_held_out, refuse_seen_labels, remarks_on_origin
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.nnunet_files.folders import files_by_case
from nnunetv2_dale.nnunet_files.raw_dataset import RawDataset
from nnunetv2_dale.nnunet_files.results.case_files import (
    channel_files,
    folder_of_images,
    folder_of_references,
    prediction_file,
)
from nnunetv2_dale.nnunet_files.results.class_keys import class_labels, keys_of_names
from nnunetv2_dale.nnunet_files.results.not_annotated import open_classes
from nnunetv2_dale.nnunet_files.results.result_folder import ResultFolder
from nnunetv2_dale.nnunet_files.results.same_task import read_result_folders, shared_task
from nnunetv2_dale.nnunet_files.volumes import reader_of


def audit_task(
    paths: Sequence[Path],
    folds: Sequence[str] | None = None,
    references: Path | None = None,
    images: Path | None = None,
) -> AuditTask:
    """Find everything that is audited; no image is opened.

    Args:
        references: folder of the labels, of some cases at least; None looks in nnU-Net's own folders.
        images: folder of the images; None looks in `nnUNet_raw`; without any, there are no pictures.
    Raises:
        UserError: folders that hold no cross-validation of one dataset, or a file that is missing.
    """
    folders = read_result_folders(paths, folds, references)
    classes = shared_task(folders).classes
    first = folders[0]
    description = next((folder.dataset_json for folder in folders if folder.dataset_json), None)
    if description is None:
        raise UserError(f"{first.path / 'dataset.json'} is missing; the audit needs the names of the labels from it")
    names = sorted(set.union(*(set(folder.cases) for folder in folders)))
    audited = tuple(AuditedClass(item.key, item.name, class_labels(item.key)) for item in classes)
    place = references or folder_of_references(first, sorted(first.cases), None)
    if place is None:
        raise UserError(
            f"the labels of {first.path} were not found: set nnUNet_preprocessed or nnUNet_raw, or name their folder "
            "with --references"
        )
    for folder in folders:
        refuse_seen_labels(folder, place)
    without = [] if references is None else [name for name in names if not _label(place, name, first).is_file()]
    if len(without) == len(names):
        raise UserError(f"{_label(place, names[0], first)} is missing; expected the audited labels there")
    names = [name for name in names if name not in without]
    pictures = folder_of_images(first, place, images)
    cases = tuple(_case(name, folders, place, pictures) for name in names)
    dataset = RawDataset(place, dict(description), ())
    return AuditTask(
        dataset=first.dataset or "unnamed dataset",
        referees=tuple(folder.name for folder in folders),
        classes=audited,
        channels=_channels(folders),
        has_regions=any(len(item.values) > 1 for item in audited),
        ignore_label=dataset.ignore_label,
        label_values=dataset.label_values,
        is_ct=dataset.is_ct,
        reader=reader_of(description, cases[0].label, first.plans),
        cases=cases,
        missing=(*_missing(folders, place, cases, without), *remarks_on_origin(folders)),
        held_out=all(map(is_held_out, folders)),
        crossing_regions=_regions_cross(description, _channels(folders)),
        open_classes=open_classes(first.dataset, description, names, references),
    )


def _channels(folders: Sequence[ResultFolder]) -> tuple[str, ...]:
    """The class keys in the order of the networks' channels, which is the same in every folder."""
    described = {folder.path: channel_keys(folder.dataset_json["labels"]) for folder in folders if folder.dataset_json}
    (first, channels), *others = described.items()
    for path, keys in others:
        if keys != channels:
            raise UserError(
                f"{path / 'dataset.json'} lists the regions in the order {', '.join(keys)}, but "
                f"{first / 'dataset.json'} in {', '.join(channels)}; audit these folders one by one"
            )
    return channels


def _regions_cross(description: Mapping[str, Any], channels: Sequence[str]) -> bool:
    """Whether nnU-Net's label maps cannot hold the regions; see `probabilities`."""
    order = description.get("regions_class_order")
    regions = [class_labels(key) for key in channels]
    return (
        "0" not in channels
        and isinstance(order, list)
        and len(order) == len(regions)
        and not reads_back(regions, order)
    )


def channel_keys(labels: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the class keys in the order of nnU-Net's channels.

    Regions stand in the order of `dataset.json`, without the background; classes by value, "0" first.
    """
    keys = keys_of_names(labels).values()
    if any(len(class_labels(key)) > 1 for key in keys):
        return tuple(key for key in keys if key != "0")
    return tuple(sorted(set(keys), key=int))


def _case(name: str, folders: Sequence[ResultFolder], place: Path, pictures: Path | None) -> CaseInputs:
    judges = [folder for folder in folders if name in folder.cases]
    predictions, label = [prediction_file(folder, name) for folder in judges], _label(place, name, judges[0])
    for file, what, remedy in (
        *((file, "the prediction", "validate the fold again (nnUNetv2_train … --val)") for file in predictions),
        (label, "the label", "put it there, or name another folder with --references"),
    ):
        if not file.is_file():
            raise UserError(f"{file} is missing: {what} of a case that summary.json lists; {remedy}")
    probabilities = [file.parent / (name + ".npz") for file in predictions]
    return CaseInputs(
        case=name,
        fold=judges[0].cases[name].fold,
        label=label,
        referees=tuple(folder.name for folder in judges),
        predictions=tuple(predictions),
        probabilities=tuple(file if file.is_file() else None for file in probabilities),
        images=channel_files(pictures, name, judges[0].file_ending) if pictures else (),
    )


def _label(place: Path, name: str, folder: ResultFolder) -> Path:
    return place / (name + folder.file_ending)


def _missing(
    folders: Sequence[ResultFolder], place: Path, cases: Sequence[CaseInputs], without: Sequence[str]
) -> Iterator[str]:
    unseen = sorted(files_by_case(place, folders[0].file_ending).keys() - {each.case for each in cases})
    if unseen:
        folds = ", ".join(sorted({fold for folder in folders for fold in folder.folds}))
        yield (
            f"{counted(len(unseen), 'labelled case')} predicted in no fold that is at hand ({folds}), not audited: "
            f"{', '.join(unseen)}"
        )
    if without:
        names = ", ".join(without)
        yield f"{counted(len(without), 'case has', 'cases have')} no label in {place}, not audited: {names}"
    fewer = [each.case for each in cases if len(each.predictions) < len(folders)]
    if fewer:
        names = ", ".join(fewer)
        yield f"{counted(len(fewer), 'case was', 'cases were')} predicted in some of the result folders only: {names}"
    without = [each.case for each in cases if not each.images]
    if without:
        yield (
            f"no images of {counted(len(without), 'case')} (set nnUNet_raw, or give --images): no pictures of findings "
            "there, and the image cannot acquit right labels of hard cases"
        )
    for folder in folders:
        yield from (f"{folder.name}: {remark}" for remark in folder.remarks)
