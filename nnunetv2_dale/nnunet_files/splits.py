"""The folds of a dataset, and which cases they keep clean."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.atomic_output import new_file, new_folder
from nnunetv2_dale.nnunet_files.folders import SPLITS, known_places, splits_of
from nnunetv2_dale.nnunet_files.json_files import json_text, read_json, write_json
from nnunetv2_dale.nnunet_files.split_patients import FILE, known_patients

Splits = list[dict[str, list[str]]]


def splits_in_use(dataset: Path, cases: Collection[str], given: Path | None = None) -> Splits | None:
    """Read the splits file given, else that in `nnUNet_preprocessed`, else the dataset's own; None without any.

    Raises:
        UserError: as `read_splits`.
    """
    places = [*known_places(dataset.name, "nnUNet_preprocessed"), dataset]
    path = given or next((file for place in places if (file := place / SPLITS).is_file()), None)
    return None if path is None else read_splits(path, cases)


def read_splits(path: Path, cases: Collection[str] | None = None) -> Splits:
    """Read a splits_final.json.

    Args:
        cases: of the dataset; None takes every name.
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
        shown = ", ".join(unknown[:5]) + (" ..." if len(unknown) > 5 else "")
        raise UserError(f"{path} names {len(unknown)} cases that the dataset does not have: {shown}")
    return splits


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
    """Return the union of the validation cases of some folds.

    Raises:
        UserError: a fold that there is not.
    """
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

    Args:
        without: cases of `source` that the new dataset lacks.
    Raises:
        UserError: the target may not be replaced, or the table of patients is damaged.
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
            write_json(folder / FILE, {case: patient for case, patient in patients.items() if case not in without})
