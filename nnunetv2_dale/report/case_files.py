"""Where the masks and images of the compared cases are."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.report.result_folder import ResultFolder


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case. `predictions` has one file per result folder; `images` one per channel, or none."""

    case: str
    reference: Path
    predictions: tuple[Path, ...]
    images: tuple[Path, ...]


def find_case_files(
    folders: Sequence[ResultFolder],
    case_names: Sequence[str],
    references: Path | None = None,
    images: Path | None = None,
) -> tuple[list[CaseFiles], list[str]]:
    """The files of every case, or none and the reasons.

    References are looked for in `references`, else in nnU-Net's `$nnUNet_preprocessed/DATASET/gt_segmentations` and
    `$nnUNet_raw/DATASET/labelsTr`, else where `summary.json` says; images in `images`, else in
    `$nnUNet_raw/DATASET/imagesTr`. Predictions lie beside `summary.json`.

    Returns:
        the files (empty where masks cannot be compared) and a sentence for each thing that is missing.
    Raises:
        UserError: a folder holds some predictions and lacks others, or a place that was named lacks a file.
    """
    without = [folder for folder in folders if not _has_any_prediction(folder, case_names)]
    if without:
        names = ", ".join(folder.name for folder in without)
        return [], [
            f"no predicted masks in {names}: no surface metrics and no fuzzy region, only what summary.json holds"
        ]
    place = folder_of_references(folders[0], case_names[0], references)
    if place is None:
        return [], [
            "reference masks were not found (give --references, or set nnUNet_preprocessed or nnUNet_raw): "
            "no surface metrics and no fuzzy region, only what summary.json holds"
        ]
    ending = folders[0].file_ending
    image_folder, missing = folder_of_images(folders[0], images)
    channels = {name: channel_files(image_folder, name, ending) for name in case_names} if image_folder else {}
    absent = [name for name in case_names if image_folder and not channels[name]]
    if absent and images is not None:
        raise UserError(f"{images / (absent[0] + '_0000' + ending)} is missing; expected the images of every case")
    if absent:
        channels, missing = {}, [f"images of {len(absent)} cases, such as {absent[0]}, are not in {image_folder}"]
    files = [
        CaseFiles(
            case=name,
            reference=_existing(place / (name + ending), "the reference"),
            predictions=tuple(_prediction(folder, name) for folder in folders),
            images=channels.get(name, ()),
        )
        for name in case_names
    ]
    return files, missing


def prediction_file(folder: ResultFolder, name: str) -> Path:
    """Where nnU-Net puts the prediction of a validated case: beside `summary.json`."""
    return folder.cases[name].summary_file.parent / (name + folder.file_ending)


def _has_any_prediction(folder: ResultFolder, case_names: Sequence[str]) -> bool:
    return any(prediction_file(folder, name).is_file() for name in case_names)


def _prediction(folder: ResultFolder, name: str) -> Path:
    return _existing(prediction_file(folder, name), "the prediction")


def _existing(file: Path, what: str) -> Path:
    if not file.is_file():
        raise UserError(
            f"{file} is missing: {what} of a case that summary.json lists; put it there, or compare what summary.json "
            "holds alone (--summary-only)"
        )
    return file


def folder_of_references(folder: ResultFolder, example: str, named: Path | None) -> Path | None:
    """The folder of the references, or None; see `find_case_files`.

    Args:
        example: a case that must be there.
        named: the folder that the user named.
    """
    file_name = example + folder.file_ending
    if named is not None:
        _existing(named / file_name, "the reference")
        return named
    candidates = []
    if folder.dataset:
        for variable, inside in (("nnUNet_preprocessed", "gt_segmentations"), ("nnUNet_raw", "labelsTr")):
            if os.environ.get(variable):
                candidates.append(Path(os.environ[variable]) / folder.dataset / inside)
    candidates.append(Path(folder.cases[example].reference_file).parent)
    return next((place for place in candidates if (place / file_name).is_file()), None)


def folder_of_images(folder: ResultFolder, named: Path | None) -> tuple[Path | None, list[str]]:
    """The folder of the images, or None and a sentence that says so; see `find_case_files`."""
    if named is not None:
        if not named.is_dir():
            raise UserError(f"{named} is no folder; expected the dataset's images (imagesTr)")
        return named, []
    raw = os.environ.get("nnUNet_raw")  # noqa: SIM112 (nnU-Net's own name)
    if raw and folder.dataset and (Path(raw) / folder.dataset / "imagesTr").is_dir():
        return Path(raw) / folder.dataset / "imagesTr", []
    return None, [
        "images were not found (give --images, or set nnUNet_raw): no pictures of cases, and the fuzzy region comes "
        "from the reference's edges alone"
    ]


def channel_files(folder: Path, name: str, ending: str) -> tuple[Path, ...]:
    """The image files of a case, one per channel, in their order; none where there are none."""
    return tuple(sorted(folder.glob(glob.escape(name) + "_[0-9][0-9][0-9][0-9]" + ending)))
