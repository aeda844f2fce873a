"""One case as the folds see it: the label that they give together, and what they expect of it class by class."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.masks.overlap import dice
from nnunetv2_dale.nnunet_files.folders import files_by_case
from nnunetv2_dale.nnunet_files.npz_channels import npz_channels
from nnunetv2_dale.nnunet_files.raw_dataset import RawCase, RawDataset
from nnunetv2_dale.nnunet_files.volumes import Properties, read_image, read_label, reader_of
from nnunetv2_dale.pseudo_labels.expected_dice import HeldOut, overlap_with
from nnunetv2_dale.pseudo_labels.judges import Floats, Judges

TOUCHED = 0.05  # support from which a voxel has to do with a class


@dataclass(frozen=True)
class JudgedCase:
    """A case without a label."""

    label: NDArray[np.int16]  # (Z, Y, X), the most probable class
    support: Floats  # (K, Z, Y, X), mean probability of the folds
    properties: Properties  # of its image, for writing

    def overlaps(self, labels: Collection[int]) -> dict[int, tuple[float, bool]]:
        """Label value → `overlap_with` its support, and whether any voxel has it."""
        masks = {label: self.label == label for label in labels}
        return {label: (overlap_with(mask, self.support[label]), bool(mask.any())) for label, mask in masks.items()}

    def confidence(self, doubtful: Collection[int]) -> Floats:
        """(Z, Y, X) in [0, 1]: support of the given label where a doubtful class is given or supported, else 1."""
        given = np.take_along_axis(self.support, self.label[None].astype(np.int64), 0)[0]
        touched = np.isin(self.label, list(doubtful))
        for label in doubtful:
            touched |= self.support[label] >= TOUCHED
        return np.where(touched, np.clip(given, 0, 1), np.float32(1))


def judged(case: RawCase, judges: Sequence[Judges], dataset: RawDataset) -> JudgedCase:
    """Predict a case with every fold of every result folder."""
    properties: Properties = {}

    def said() -> Iterator[Floats]:
        for each in judges:
            reader = reader_of(dataset.dataset_json, case.images[0], each.folder.plans)
            image, read = read_image(reader, case.images)
            properties.update(read)
            yield from (each.say(fold, image, dict(read)) for fold in each.weights)

    return _together(said(), properties)


def given(case: str, folders: Sequence[Path], dataset: RawDataset, judges: Judges) -> JudgedCase:
    """A case of predictions that `nnUNetv2_predict --save_probabilities` has written, a folder for each network."""
    said: list[Floats] = []
    properties: Properties = {}
    for folder in folders:
        file, npz = folder / f"{case}{dataset.file_ending}", folder / f"{case}.npz"
        for each in (file, npz):
            if not each.is_file():
                raise UserError(f"{each} is missing; predict again with nnUNetv2_predict --save_probabilities")
        reader = reader_of(dataset.dataset_json, file, judges.folder.plans)
        label, properties = read_label(reader, file, dataset.label_values)
        said.append(np.stack(list(npz_channels(npz, label.shape, len(dataset.foreground_values) + 1))))
    return _together(said, properties)


def _together(said: Iterable[Floats], properties: Properties) -> JudgedCase:
    """Of the mean of what each says, one after the other: a fold of many classes takes gigabytes."""
    each = iter(said)
    support: Floats = next(each).astype(np.float32)
    number = 1
    for other in each:
        support += other
        number += 1
    support /= number
    return JudgedCase(support.argmax(0).astype(np.int16), support, properties)


def held_out(case: RawCase, fold: str, judges: Judges, dataset: RawDataset) -> list[HeldOut]:
    """Hold the prediction of the fold that held a labelled case out against its label.

    Neither ignored voxels count nor classes that nobody annotated in the case.
    """
    assert case.label is not None
    reader = reader_of(dataset.dataset_json, case.images[0], judges.folder.plans)
    image, properties = read_image(reader, case.images)
    alone = _together([judges.say(fold, image, dict(properties))], properties)
    truth, _ = read_label(reader, case.label, dataset.label_values)
    counted = truth != (-1 if dataset.ignore_label is None else dataset.ignore_label)
    classes, rows = judges.folder.cases[case.name].classes, []
    for label in dataset.foreground_values:
        if not classes[str(label)].annotated:
            continue
        found = (alone.label == label) & counted
        rows.append(
            HeldOut(
                case.name,
                fold,
                label,
                overlap_with(found, np.where(counted, alone.support[label], 0)),
                dice(found, truth == label),
                bool(found.any()),
            )
        )
    return rows


def cases_in(folders: Iterable[Path], ending: str) -> list[str]:
    """All cases that folders have predictions of."""
    names: set[str] = set()
    for folder in folders:
        found = files_by_case(folder, ending)
        if not found:
            raise UserError(f"found no predictions in {folder}; expected CASE{ending} and CASE.npz")
        names |= found.keys()
    return sorted(names)
