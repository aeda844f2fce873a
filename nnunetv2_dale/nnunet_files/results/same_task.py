"""Whether result folders may be compared at all: same dataset, classes and references; and which cases they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.results.class_keys import keys_of_names
from nnunetv2_dale.nnunet_files.results.result_folder import ResultFolder, read_result_folder
from nnunetv2_dale.nnunet_files.results.summary_file import CaseResult


@dataclass(frozen=True)
class ClassName:
    """A foreground class or region: its key in nnU-Net's `summary.json` and its name in `dataset.json`."""

    key: str
    name: str


@dataclass(frozen=True)
class ExcludedCase:
    """A case that is left out because not every folder holds it."""

    case: str
    missing_from: tuple[str, ...]


@dataclass(frozen=True)
class SharedTask:
    """What the folders have in common. `case_names` are in every folder, in alphabetical order."""

    dataset: str | None
    classes: tuple[ClassName, ...]
    case_names: tuple[str, ...]
    excluded: tuple[ExcludedCase, ...]


def read_result_folders(
    paths: Sequence[Path], folds: Iterable[str] | None = None, references: Path | None = None
) -> list[ResultFolder]:
    """Read folders that stand beside each other, each once and under a name of its own.

    Folders of one name (two result roots) are told apart by as much of their path as that takes.

    Args:
        references: see `open_classes`.
    """
    folders = [read_result_folder(path, folds, references) for path in paths]
    places = [folder.path for folder in folders]
    twice = [path for path in places if places.count(path) > 1]
    if twice:
        raise UserError(f"{twice[0]} was given twice; give different result folders")
    depth = 1
    while len({path.parts[-depth:] for path in places}) < len(places):
        depth += 1
    return [replace(folder, name="/".join(folder.path.parts[-depth:])) for folder in folders]


def shared_task(folders: Sequence[ResultFolder]) -> SharedTask:
    """Check that the folders answer the same question, and pair their cases by name.

    Raises:
        UserError: different datasets, classes, labels or references, or no case that every folder holds.
    """
    first = folders[0]
    for other in folders[1:]:
        _same_dataset(first, other)
        _same_classes(first, other)
    everywhere = set.intersection(*(set(folder.cases) for folder in folders))
    if not everywhere:
        raise UserError(
            f"{first.path} and {folders[-1].path} have no case in common; compare folders of the same dataset and folds"
        )
    names = tuple(sorted(everywhere))
    for other in folders[1:]:
        for name in names:
            _same_reference(first.cases[name], other.cases[name])
    all_names = sorted(set.union(*({*folder.cases, *folder.unlisted_cases} for folder in folders)))
    excluded = tuple(
        ExcludedCase(name, tuple(folder.name for folder in folders if name not in folder.cases))
        for name in all_names
        if name not in everywhere
    )
    dataset = next((folder.dataset for folder in folders if folder.dataset), None)
    return SharedTask(dataset, _class_names(folders), names, excluded)


def _same_dataset(first: ResultFolder, other: ResultFolder) -> None:
    if first.dataset and other.dataset and first.dataset != other.dataset:
        raise UserError(
            f"{other.path} is of {other.dataset}, but {first.path} is of {first.dataset}; "
            "compare result folders of one dataset"
        )


def _same_classes(first: ResultFolder, other: ResultFolder) -> None:
    if set(first.class_keys) != set(other.class_keys):
        raise UserError(
            f"{other.path} has classes {', '.join(other.class_keys)}, but {first.path} has "
            f"{', '.join(first.class_keys)}; compare folders with the same label set"
        )
    mine, theirs = _labels(first.dataset_json), _labels(other.dataset_json)
    if mine and theirs and mine != theirs:
        raise UserError(
            f"{other.path / 'dataset.json'} has labels {theirs}, but {first.path / 'dataset.json'} has {mine}; "
            "compare folders with the same label set"
        )


def _same_reference(first: CaseResult, other: CaseResult) -> None:
    for key, mine in first.classes.items():
        theirs = other.classes[key]
        for what, a, b in (
            (f"class {key} of {{}} voxels", mine.n_reference, theirs.n_reference),
            ("{} voxels", mine.n_voxels, theirs.n_voxels),
        ):
            if a is not None and b is not None and a != b:
                raise UserError(
                    f"{other.summary_file} was made with another reference for case {first.name}: {what.format(b)}, "
                    f"but {what.format(a)} in {first.summary_file}"
                )


def _labels(dataset_json: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in dataset_json.get("labels", {}).items() if name != "ignore"}


def _class_names(folders: Sequence[ResultFolder]) -> tuple[ClassName, ...]:
    """Names from the first `dataset.json` at hand; without one, the key is the name."""
    labels = next((_labels(folder.dataset_json) for folder in folders if folder.dataset_json), {})
    names = {key: name for name, key in keys_of_names(labels).items()}
    return tuple(ClassName(key, names.get(key, f"class {key}")) for key in folders[0].class_keys)
