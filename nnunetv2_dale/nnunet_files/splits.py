"""The folds of a dataset, and which cases they keep clean."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.atomic_output import new_file
from nnunetv2_dale.nnunet_files.folders import SPLITS, known_places, splits_of
from nnunetv2_dale.nnunet_files.json_files import json_text, read_json

Splits = list[dict[str, list[str]]]


def find_splits(dataset: Path, given: Path | None) -> Path | None:
    """The splits file of a dataset: the one given, else the one in use in `nnUNet_preprocessed`, else its own."""
    if given is not None:
        return given
    places = [*known_places(dataset.name, "nnUNet_preprocessed"), dataset]
    return next((file for place in places if (file := place / SPLITS).is_file()), None)


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
    """ "training" or "validation" where a fold has no such case: nnU-Net ends in a traceback on it. Else None."""
    return next((word for part, word in (("train", "training"), ("val", "validation")) if not fold[part]), None)


def without_cases(splits: Splits, cases: Collection[str]) -> tuple[Splits, list[str]]:
    """The folds without some cases, and a sentence for each fold that is left out because it lacks a part then."""
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
    """The union of the validation cases of some folds.

    Raises:
        UserError: a fold that there is not.
    """
    for fold in folds:
        if not 0 <= fold < len(splits):
            raise UserError(f"there is no fold {fold}: the splits have folds 0 to {len(splits) - 1}")
    return frozenset(name for fold in folds for name in splits[fold]["val"])


@contextmanager
def offered_splits(dataset: Path, splits: Splits | None) -> Iterator[None]:
    """Put splits_final.json where nnU-Net looks for it when the block has ended, unless there is one already.

    It is written before the block: a dataset that is made there appears with its folds or not at all.
    """
    path = splits_of(dataset.name)
    if splits is None or path is None or path.exists():
        yield
        return
    with new_file(path) as unfinished:
        unfinished.write_text(json_text(splits), encoding="utf-8")
        yield
