"""A raw dataset of nnU-Net as it lies in `nnUNet_raw`: its cases, its labels, its reader."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.nnunet_files.dataset_description import read_description
from nnunetv2_dale.nnunet_files.file_names import PICTURE_ENDINGS, VOLUME_ENDINGS, odd_channels
from nnunetv2_dale.nnunet_files.folders import dataset_folder, environment_folder
from nnunetv2_dale.nnunet_files.problems import Problem, refuse_problems
from nnunetv2_dale.nnunet_files.volumes import label_values, reader_of


@dataclass(frozen=True)
class RawCase:
    """One training case: its name, an image file per channel, and its label file, or None where there is none."""

    name: str
    images: tuple[Path, ...]
    label: Path | None


@dataclass(frozen=True)
class RawDataset:
    """One dataset folder of `nnUNet_raw` and the training cases in it, in the order of their names."""

    folder: Path
    dataset_json: dict[str, Any]
    cases: tuple[RawCase, ...]

    @property
    def file_ending(self) -> str:
        """The ending of image and label files, with its dot."""
        return str(self.dataset_json["file_ending"])

    @property
    def ignore_label(self) -> int | None:
        """The value that nnU-Net leaves out of the loss, or None."""
        ignore = self.dataset_json["labels"].get("ignore")
        return None if ignore is None else int(ignore)

    @property
    def ignore_label_or_next(self) -> int:
        """The ignore label, or the value that a new one gets: nnU-Net wants it to be the last."""
        return max(self.label_values) + 1 if self.ignore_label is None else self.ignore_label

    def with_ignore_label(self) -> dict[str, Any]:
        """Return dataset.json with the ignore label among its labels."""
        return {**self.dataset_json, "labels": {**self.dataset_json["labels"], "ignore": self.ignore_label_or_next}}

    @property
    def label_values(self) -> frozenset[int]:
        """Every value a label file may hold: background, classes or members of regions, and the ignore label."""
        return label_values(self.dataset_json["labels"])

    @property
    def foreground_values(self) -> tuple[int, ...]:
        """The label values without background and ignore label, ascending."""
        return tuple(sorted(self.label_values - {0, self.ignore_label}))

    @property
    def is_ct(self) -> bool:
        """Whether the first channel is declared as CT, by which nnU-Net normalises in Hounsfield units."""
        names = self.dataset_json.get("channel_names") or self.dataset_json.get("modality") or {}
        return str(names.get("0", names.get(0, ""))).lower() == "ct"

    def reader(self) -> Any:
        """Return the nnU-Net reader/writer that dataset.json asks for or the file ending implies."""
        return reader_of(self.dataset_json, self.cases[0].images[0] if self.cases else None)


def read_raw(name_or_id: str) -> RawDataset:
    """Read the dataset of `nnUNet_raw` that `-d` names."""
    return read_dataset(dataset_folder(environment_folder("nnUNet_raw"), name_or_id))


def read_dataset(folder: Path) -> RawDataset:
    """Read dataset.json and list the training cases.

    Raises:
        UserError: dataset.json is missing or is not one, there are no training images, or an image has no file.
    """
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

    description = read_description(folder / "dataset.json")
    ending, numbered = str(description["file_ending"]), "dataset" not in description
    images, labels = folder / "imagesTr", folder / "labelsTr"
    if numbered and not images.is_dir():
        raise UserError(f"expected training images in {images}; it is not a folder")
    if numbered:
        cases = _cases_in(images, labels, ending)
    else:
        listed = get_filenames_of_train_images_and_targets(str(folder), json.loads(json.dumps(description)))
        cases = [_case(name, files["images"], files["label"]) for name, files in sorted(listed.items())]
    if not cases:
        raise UserError(f"found no training images in {folder}; expected imagesTr/CASE_0000{ending}")
    problems = [Problem(path, "missing image") for case in cases for path in case.images if not path.is_file()]
    problems += _file_problems(images, labels, cases, ending, numbered)
    refuse_problems(problems, folder)
    return RawDataset(folder, description, tuple(cases))


def unlabelled_cases(folder: Path, dataset: RawDataset) -> tuple[RawCase, ...]:
    """List the images of a folder as cases of a dataset: of its file ending, with its channels, without labels.

    Raises:
        UserError: no images, or some that the dataset could not take.
    """
    if not folder.is_dir():
        raise UserError(f"expected images in {folder}; it is not a folder")
    cases = _cases_in(folder, None, dataset.file_ending)
    if not cases:
        raise UserError(f"found no images in {folder}; expected CASE_0000{dataset.file_ending}, as in imagesTr")
    problems = _file_problems(folder, None, cases, dataset.file_ending, numbered=True)
    wanted, known = len(dataset.cases[0].images), {case.name for case in dataset.cases}
    for case in cases:
        if case.name in known:
            problems.append(Problem(folder, f"case {case.name} is in {dataset.folder.name} already"))
        if case.images and len(case.images) != wanted:
            problems.append(
                Problem(folder, f"case {case.name} has {counted(len(case.images), 'channel')} instead of {wanted}")
            )
    refuse_problems(problems, folder)
    return tuple(cases)


def _cases_in(images: Path, labels: Path | None, ending: str) -> list[RawCase]:
    """Cases by the names of their images, CASE_0000."""
    from nnunetv2.utilities.utils import create_paths_fn, get_identifiers_from_splitted_dataset_folder

    files = sorted(path.name for path in images.iterdir() if path.name.endswith(ending))
    names = get_identifiers_from_splitted_dataset_folder(str(images), ending)
    return [
        _case(str(name), create_paths_fn(str(images), files, ending, name), labels and labels / f"{name}{ending}")
        for name in names
    ]


def require_labels(dataset: RawDataset) -> None:
    """Raise one `UserError` that names every image without a label and every label without an image."""
    folder, known = dataset.folder / "labelsTr", {case.label for case in dataset.cases}
    problems = [Problem(case.images[0], "image without a label") for case in dataset.cases if case.label is None]
    labels = sorted(folder.glob(f"*{dataset.file_ending}")) if folder.is_dir() else []
    problems += [Problem(path, "label without an image") for path in labels if path not in known]
    refuse_problems(problems, dataset.folder)


def _file_problems(
    images: Path, labels: Path | None, cases: Sequence[RawCase], ending: str, numbered: bool
) -> list[Problem]:
    problems = [Problem(images, f"case {case.name!r} has no _0000 image") for case in cases if not case.images]
    problems += _left_out(images, labels, ending, cases) if numbered else []
    return problems + _channel_problems(images, cases, ending, numbered)


def _channel_problems(images: Path, cases: Sequence[RawCase], ending: str, numbered: bool) -> list[Problem]:
    """Cases that lack a channel; where files are numbered, their numbers count from 0 without a gap."""
    channels = {}
    for case in cases:
        ends = [re.search(r"_(\d{4})$", path.name.removesuffix(ending)) for path in case.images]
        known = [int(end[1]) for end in ends if end is not None]
        channels[case.name] = known if numbered and len(known) == len(ends) else list(range(len(case.images)))
    odd = odd_channels(channels)
    name, numbers = next(iter(channels.items()))
    if not odd and numbers != list(range(len(numbers))):
        shown = ", ".join(f"{number:04d}" for number in numbers)
        odd = {name: f"case {name} has the channels {shown}; nnU-Net counts from 0000 without a gap"}
    return [Problem(images, what) for what in odd.values()]


def _left_out(images: Path, labels: Path | None, ending: str, cases: Sequence[RawCase]) -> list[Problem]:
    """Images and labels that nnU-Net would pass over: named for another file format, or without a channel number."""
    known = {
        path.name for case in cases for path in case.images if re.fullmatch(r".*_\d{4}", path.name[: -len(ending)])
    }
    found = {path for path in images.iterdir() if path.name not in known}
    if labels is not None and labels.is_dir():
        found |= {path for path in labels.iterdir() if not path.name.endswith(ending)}
    endings = PICTURE_ENDINGS if ending in PICTURE_ENDINGS else VOLUME_ENDINGS
    return [
        Problem(path, f"would be left out: expected a name like {example}{ending}")
        for path in sorted(found)
        for example in ["CASE_0000" if path.parent == images else "CASE"]
        if path.name.lower().endswith(endings) and not path.name.startswith(".")
    ]


def _case(name: str, images: list[str], label: Path | str | None) -> RawCase:
    there = None if label is None or not Path(label).is_file() else Path(label)
    return RawCase(name, tuple(map(Path, images)), there)
