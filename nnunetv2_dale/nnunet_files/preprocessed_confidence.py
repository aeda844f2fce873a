"""What people know about labels, as a training reads it: beside nnU-Net's preprocessed cases, never the raw dataset.

`nnUNetv2_dale_confidence preprocess` writes, for each configuration, in the preprocessed dataset's folder:

| `<data identifier>_confidence/…` | holds |
|---|---|
| `CASE.b2nd` | (1, Z, Y, X) float32 in [0, 1] on the grid of the preprocessed image; without a file: 1 |
| `readers/READER/CASE.b2nd` | (1, Z, Y, X) int16, a reader's label as nnU-Net preprocesses labels (−1 outside) |
| `confidence.csv` | a copy of the raw dataset's table, where it has one |
| `confidence.json` | the checksum of each raw file that this was made from, and how nnU-Net had cropped the images |
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from batchgenerators.utilities.file_and_folder_operations import load_pickle
from numpy.typing import NDArray

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.confidence_table import (
    MAPS,
    READERS,
    TABLE,
    ConfidenceTable,
    has_confidence,
    read_confidence_table,
)
from nnunetv2_dale.nnunet_files.folders import known_places
from nnunetv2_dale.nnunet_files.json_files import read_json_object

MADE_FROM, READER_LABELS = "confidence.json", "readers"


@dataclass(frozen=True)
class PreprocessedConfidence:
    """What is given of one configuration's cases."""

    folder: Path  # `<data identifier>_confidence`
    table: ConfidenceTable  # weights of cases, and the classes not annotated in them
    readers: tuple[str, ...]  # names of the readers whose labels are drawn at each visit; mostly none

    def map_file(self, case: str) -> Path | None:
        """The map of a case; None where it has none: a confidence of 1 everywhere."""
        file = self.folder / f"{case}.b2nd"
        return file if file.is_file() else None

    def reader_files(self, case: str) -> tuple[Path, ...]:
        """The labels of a case by its readers, in the order of `readers`; none where nobody but the label has it."""
        files = (self.folder / READER_LABELS / reader / f"{case}.b2nd" for reader in self.readers)
        return tuple(file for file in files if file.is_file())


def confidence_folder(dataset: Path, data_identifier: str) -> Path:
    """Where a configuration's confidence lies: beside its cases, as nnU-Net takes every file among them for a case.

    Args:
        data_identifier: nnU-Net's name of a configuration's preprocessed cases, such as "nnUNetPlans_2d".
    """
    return dataset / f"{data_identifier}_confidence"


def read_preprocessed_confidence(
    dataset: Path, data_identifier: str, labels: Mapping[str, Any], plans: str = "nnUNetPlans"
) -> PreprocessedConfidence | None:
    """What is given of a configuration's cases; None where nothing is.

    Args:
        dataset: the preprocessed dataset's folder; the raw one of its name is looked at where `nnUNet_raw` has it.
        plans: identifier, for the command in a message.
    Raises:
        UserError: the raw dataset has confidence that is not preprocessed, or other than what was preprocessed; or the
            cases were preprocessed anew, to another shape.
    """
    folder = confidence_folder(dataset, data_identifier)
    number = dataset.name.partition("_")[0].removeprefix("Dataset").lstrip("0")
    command = f"nnUNetv2_dale_confidence preprocess -d {number} --overwrite"
    command += "" if plans == "nnUNetPlans" else f" -p {plans}"
    raw = next((place for place in known_places(dataset.name, "nnUNet_raw") if place.is_dir()), None)
    made = made_from(folder)
    if made is None:
        if raw is not None and has_confidence(raw):
            raise UserError(f"{raw} has confidence of its labels that is not in {folder} yet; run: {command}")
        return None
    if raw is not None and made.get("raw", {}) != raw_checksums(raw):
        what = f"run: {command}" if has_confidence(raw) else f"it has none now: remove {folder}"
        raise UserError(f"{folder} was not made from what {raw} holds now; {what}")
    readers = sorted(path.name for path in folder.glob(f"{READER_LABELS}/*") if path.is_dir())
    found = PreprocessedConfidence(folder, read_confidence_table(folder, labels), tuple(readers))
    _require_images_as_they_were(found, made.get("crops", {}), dataset / data_identifier, command)
    return found


def made_from(folder: Path) -> dict[str, Any] | None:
    """What a configuration's confidence was made from: "raw", of `raw_checksums`, and "crops", case → `crop_of`.

    None where there is no confidence.

    Raises:
        UserError: a damaged file.
    """
    file = folder / MADE_FROM
    return read_json_object(file, f"remove {folder}, preprocess again") if file.is_file() else None


def crop_of(properties: Mapping[str, Any]) -> list[Any]:
    """What of nnU-Net's properties of a preprocessed case says which voxels it holds, as JSON keeps it."""
    shape, box = properties["shape_before_cropping"], properties["bbox_used_for_cropping"]
    return [[int(size) for size in shape], [[int(end) for end in axis] for axis in box]]


def read_preprocessed_map(file: Path) -> NDArray[np.float32]:
    """A map as `nnUNetv2_dale_confidence preprocess` wrote it, (Z, Y, X)."""
    import blosc2

    return np.asarray(blosc2.open(str(file), mode="r")[0], np.float32)


def raw_checksums(dataset: Path) -> dict[str, str]:
    """File, relative to a raw dataset's folder → CRC-32 of its bytes, of all that says how far labels are trusted."""
    files = [dataset / TABLE, *(path for name in (MAPS, READERS) for path in (dataset / name).rglob("*"))]
    return {
        path.relative_to(dataset).as_posix(): file_checksum(path)
        for path in sorted(files)
        if path.is_file() and not path.name.startswith(".")
    }


def file_checksum(file: Path) -> str:
    """CRC-32 of a file's bytes, eight hexadecimal digits."""
    return f"{zlib.crc32(file.read_bytes()):08x}"


def _require_images_as_they_were(
    found: PreprocessedConfidence, crops: Mapping[str, Any], cases: Path, command: str
) -> None:
    import blosc2

    for case, crop in crops.items():
        properties = cases / f"{case}.pkl"
        if properties.is_file() and crop_of(load_pickle(str(properties))) != crop:
            raise UserError(f"{properties} was preprocessed anew, and cropped elsewhere; run: {command}")
    for file in sorted(found.folder.rglob("*.b2nd")):
        label = cases / f"{file.stem}_seg.b2nd"
        if label.is_file() and blosc2.open(str(file), mode="r").shape != blosc2.open(str(label), mode="r").shape:
            raise UserError(f"{file} has not the shape of {label}, which was preprocessed anew; run: {command}")
