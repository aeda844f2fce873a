"""The folds of a dataset, and which cases they keep clean."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nnunetv2.paths import nnUNet_preprocessed

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.atomic_output import new_file

Splits = list[dict[str, list[str]]]


def find_splits(dataset: Path, given: Path | None) -> Path | None:
    """The splits file of a dataset: the one given, else the one in use in `nnUNet_preprocessed`, else its own."""
    if given is not None:
        return given
    preprocessed = nnUNet_preprocessed.get()
    places = [Path(preprocessed) / dataset.name] if preprocessed else []
    return next((file for place in [*places, dataset] if (file := place / "splits_final.json").is_file()), None)


def read_splits(path: Path, cases: Collection[str]) -> Splits:
    """Read a splits_final.json.

    Raises:
        UserError: unreadable, of another form, or with names that the dataset does not have.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        splits = [{part: [str(name) for name in fold[part]] for part in ("train", "val")} for fold in content]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"expected a list of folds with train and val in {path}, but it cannot be read: {error!r}"
        ) from error
    unknown = sorted({name for fold in splits for names in fold.values() for name in names} - set(cases))
    if unknown:
        shown = ", ".join(unknown[:5]) + (" ..." if len(unknown) > 5 else "")
        raise UserError(f"{path} names {len(unknown)} cases that the dataset does not have: {shown}")
    return splits


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
    preprocessed = nnUNet_preprocessed.get()
    path = Path(preprocessed or "") / dataset.name / "splits_final.json"
    if splits is None or not preprocessed or path.exists():
        yield
        return
    with new_file(path) as unfinished:
        unfinished.write_text(json.dumps(splits, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        yield
