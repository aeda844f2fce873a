"""Where the masks and images of the compared cases are."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.nnunet_files.folders import known_places
from nnunetv2_dale.nnunet_files.results.result_folder import ResultFolder

_SUMMARY_ALONE = "no surface metrics, no lesions and no fuzzy region, only what summary.json holds"


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
    """Find the files of every case, or none and the reasons.

    References are looked for in `references`, else where `summary.json` says: under that path, then in the folder of
    that name among nnU-Net's own, `$nnUNet_preprocessed/DATASET` and `$nnUNet_raw/DATASET`. Images are looked for in
    `images`, else in the folder that belongs to the references (imagesTs to labelsTs). Predictions lie beside
    `summary.json`.

    Returns:
        the files (empty where masks cannot be compared) and a sentence for each thing that is missing.
    Raises:
        UserError: a folder holds some predictions and lacks others, or a place that was named lacks a file.
    """
    without = [folder for folder in folders if not any(prediction_file(folder, name).is_file() for name in case_names)]
    if without:
        names = ", ".join(folder.name for folder in without)
        return [], [f"no predicted masks in {names}: {_SUMMARY_ALONE}"]
    place = folder_of_references(folders[0], case_names, references)
    if place is None:
        return [], [
            "reference masks were not found (give --references, or set nnUNet_preprocessed or nnUNet_raw): "
            + _SUMMARY_ALONE
        ]
    ending = folders[0].file_ending
    channels, missing = _images(folders[0], case_names, place, images)
    files = [
        CaseFiles(
            case=name,
            reference=_existing(place / (name + ending), "the reference"),
            predictions=tuple(_existing(prediction_file(folder, name), "the prediction") for folder in folders),
            images=channels.get(name, ()),
        )
        for name in case_names
    ]
    return files, missing


def prediction_file(folder: ResultFolder, name: str) -> Path:
    """Say where nnU-Net puts the prediction of a validated case: beside `summary.json`."""
    return folder.cases[name].summary_file.parent / (name + folder.file_ending)


def _existing(file: Path, what: str) -> Path:
    if not file.is_file():
        raise UserError(
            f"{file} is missing: {what} of a case that summary.json lists; put it there, or compare what summary.json "
            "holds alone (--summary_only)"
        )
    return file


def folder_of_references(folder: ResultFolder, case_names: Sequence[str], named: Path | None) -> Path | None:
    """Return the first place that holds the reference of any of the cases."""
    if named is not None:
        _existing(named / (case_names[0] + folder.file_ending), "the reference")
        return named
    places = _reference_places(folder, folder.cases[case_names[0]].reference_file)
    files = [name + folder.file_ending for name in case_names]
    return next((place for place in places if any((place / file).is_file() for file in files)), None)


def _reference_places(folder: ResultFolder, reference_file: str) -> Iterator[Path]:
    """As `summary.json` says; it may have been written on another machine, where nnU-Net's folders lay elsewhere."""
    yield Path(reference_file).parent
    parts = re.split(r"[\\/]", reference_file)
    said = parts[-2] if len(parts) > 1 else ""
    own = known_places(folder.dataset, "nnUNet_preprocessed", "nnUNet_raw")
    # nnU-Net's gt_segmentations are copies of labelsTr
    names = ["gt_segmentations", "labelsTr"] if said in ("gt_segmentations", "labelsTr") else [said]
    yield from (place / name for name in names if name for place in own)


def _images(
    folder: ResultFolder, case_names: Sequence[str], references: Path, named: Path | None
) -> tuple[dict[str, tuple[Path, ...]], list[str]]:
    """The channels of every case, or of none and why."""
    place = folder_of_images(folder, references, named)
    without = "no pictures of cases, and the fuzzy region comes from the reference's edges alone"
    if place is None:
        return {}, [f"images that belong to {references} were not found (give --images, or set nnUNet_raw): {without}"]
    channels = {name: channel_files(place, name, folder.file_ending) for name in case_names}
    absent = [name for name in case_names if not channels[name]]
    if absent and named is not None:
        raise UserError(
            f"{named / (absent[0] + '_0000' + folder.file_ending)} is missing; expected the images of every case"
        )
    if absent:
        return {}, [f"images of {counted(len(absent), 'case')}, such as {absent[0]}, are not in {place}: {without}"]
    return channels, []


def folder_of_images(folder: ResultFolder, references: Path, named: Path | None) -> Path | None:
    """Return the folder of the images that belong to the references, or None."""
    if named is not None and not named.is_dir():
        raise UserError(f"{named} is no folder; expected the dataset's images (imagesTr)")
    return named or next((place for place in _image_places(folder, references) if place.is_dir()), None)


def channel_files(folder: Path, name: str, ending: str) -> tuple[Path, ...]:
    """Return the image files of a case, one per channel, in their order; none where there are none."""
    return tuple(sorted(folder.glob(glob.escape(name) + "_[0-9][0-9][0-9][0-9]" + ending)))


def _image_places(folder: ResultFolder, references: Path) -> Iterator[Path]:
    """imagesTr for labelsTr, copies of it such as labelsTr_clean, and gt_segmentations; imagesTs for labelsTs."""
    if references.name == "gt_segmentations":
        name = "imagesTr"
    elif references.name.startswith("labels"):
        name = "images" + references.name.removeprefix("labels").partition("_")[0]
        yield references.parent / name
    else:
        return
    yield from (place / name for place in known_places(folder.dataset, "nnUNet_raw"))
