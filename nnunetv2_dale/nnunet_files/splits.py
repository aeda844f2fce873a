"""The folds of a dataset, and the patient of each case: no fold may have one on both sides."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError, first_of
from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.commands.csv_table import read_keyed_table
from nnunetv2_dale.nnunet_files.atomic_output import new_file, new_folder
from nnunetv2_dale.nnunet_files.folders import SPLITS, known_places, splits_of
from nnunetv2_dale.nnunet_files.json_files import json_text, read_json, read_json_object, write_json

Splits = list[dict[str, list[str]]]
PATIENTS = "splits_patients.json"


def splits_in_use(dataset: Path, cases: Collection[str], given: Path | None = None) -> Splits | None:
    """Read the splits file given, else that in `nnUNet_preprocessed`, else the dataset's own; None without any."""
    places = [*known_places(dataset.name, "nnUNet_preprocessed"), dataset]
    path = given or next((file for place in places if (file := place / SPLITS).is_file()), None)
    return None if path is None else read_splits(path, cases)


def read_splits(path: Path, cases: Collection[str] | None = None) -> Splits:
    """Read a splits_final.json.

    Raises:
        UserError: unreadable, of another form, or with names that the dataset does not have.
    """
    content = read_json(path)
    try:
        splits = [{part: [str(name) for name in fold[part]] for part in ("train", "val")} for fold in content]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is no split of nnU-Net: expected a list of folds, each with train and val") from error
    named = {name for fold in splits for names in fold.values() for name in names}
    unknown = [] if cases is None else sorted(named - set(cases))
    if unknown:
        shown = ", ".join(first_of(unknown))
        raise UserError(f"{path} names {counted(len(unknown), 'case')} that the dataset does not have: {shown}")
    return splits


def splits_by_fold(names: Sequence[str], validated: Sequence[Collection[str]]) -> Splits:
    """Return the folds that validated these cases, each: all others were trained on."""
    return [
        {"train": [name for name in names if name not in val], "val": [name for name in names if name in val]}
        for val in validated
    ]


def lacking_part(fold: Mapping[str, Sequence[str]]) -> str | None:
    """Return "training" or "validation" where a fold has no such case: nnU-Net ends in a traceback on it. Else None."""
    return next((word for part, word in (("train", "training"), ("val", "validation")) if not fold[part]), None)


def without_cases(splits: Splits, cases: Collection[str]) -> tuple[Splits, list[str]]:
    """Return folds without some cases, and a sentence for each fold that is left out because it lacks a part then."""
    kept, remarks = [], []
    for number, fold in enumerate(splits):
        left = {part: [name for name in names if name not in cases] for part, names in fold.items()}
        lacking = lacking_part(left)
        if lacking is None:
            kept.append(left)
        else:
            remarks.append(f"fold {number} has no {lacking} case any more and is left out")
    if remarks and kept:
        numbers = f"s are numbered 0 to {len(kept) - 1}" if len(kept) > 1 else " is fold 0"
        remarks.append(f"the other fold{numbers} now")
    return kept, remarks


def validation_cases(splits: Splits, folds: Sequence[int]) -> frozenset[str]:
    """Return the union of the validation cases of some folds."""
    for fold in folds:
        if not 0 <= fold < len(splits):
            raise UserError(f"there is no fold {fold}: the splits have folds 0 to {len(splits) - 1}")
    return frozenset(name for fold in folds for name in splits[fold]["val"])


@contextmanager
def new_dataset(
    source: Path, target: Path, splits: Splits | None, overwrite: bool, without: Collection[str] = ()
) -> Iterator[Path]:
    """Yield a folder that becomes `target` when the block ends: with its folds, and the patients of `source`.

    The folds go where nnU-Net looks for them too, unless there are some. They are written before the block: the dataset
    appears with its folds or not at all.
    """
    patients, place = known_patients(source), splits_of(target.name)
    with ExitStack() as both:
        if splits is not None and place is not None and not place.exists():
            both.enter_context(new_file(place)).write_text(json_text(splits), encoding="utf-8")
        folder = both.enter_context(new_folder(target, overwrite))
        yield folder
        if splits is not None:
            write_json(folder / SPLITS, splits)
        if patients is not None:
            write_json(folder / PATIENTS, {case: patient for case, patient in patients.items() if case not in without})


def read_patients(table: Path, cases: Sequence[str]) -> dict[str, str]:
    """Return case -> patient, from a table with the columns `case` and `patient`; it may have more cases than these.

    Raises:
        UserError: no such table, other columns, a case that is listed twice or has no patient.
    """
    rows = read_keyed_table(table, "case", ["patient"], cases)
    without = [case for case in cases if not rows.get(case, {}).get("patient")]
    if without:
        raise UserError(f"{table} has no patient for {len(without)} of {len(cases)} cases, such as {without[0]}")
    return {case: row["patient"] for case, row in rows.items()}


def read_split_patients(folders: Sequence[Path]) -> dict[str, str] | None:
    """Return case -> patient, from the first of `folders` that holds the table; None where none does."""
    file = next((file for folder in folders if (file := folder / PATIENTS).is_file()), None)
    return None if file is None else {case: str(patient) for case, patient in read_json_object(file).items()}


def known_patients(dataset: Path) -> dict[str, str] | None:
    """Return case -> patient of a raw dataset, from beside the splits in use, else from its folder; None if unknown."""
    return read_split_patients([*known_places(dataset.name, "nnUNet_preprocessed"), dataset])


def shared_patient(splits: Sequence[Mapping[str, Sequence[str]]], patients: Mapping[str, str]) -> str | None:
    """Return what is wrong with a split that has cases of one patient on both sides of a fold; None where no fold has.

    Cases without a known patient are patients of their own.
    """
    for number, fold in enumerate(splits):
        training = {patients[case]: case for case in fold["train"] if case in patients}
        for case in fold["val"]:
            if patients.get(case) in training:
                patient = patients[case]
                return f"fold {number} trains on {training[patient]} and validates on {case}, both of patient {patient}"
    return None
