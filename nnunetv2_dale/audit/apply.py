"""A new dataset from a person's decisions; the audited one stays as it is."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_dale.audit.decisions import Decision, cases_to, read_decisions
from nnunetv2_dale.audit.drafts import consensus_file, write_draft
from nnunetv2_dale.audit.findings import read_audit
from nnunetv2_dale.audit.hand_work import hand_work
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.atomic_output import new_folder
from nnunetv2_dale.nnunet_files.folders import SPLITS, dataset_folder, environment_folder
from nnunetv2_dale.nnunet_files.json_files import write_json
from nnunetv2_dale.nnunet_files.placing import place_folder, place_whole
from nnunetv2_dale.nnunet_files.problems import DatasetProblemsError, Problem
from nnunetv2_dale.nnunet_files.raw_dataset import RawCase, RawDataset, read_dataset
from nnunetv2_dale.nnunet_files.split_patients import FILE as PATIENTS
from nnunetv2_dale.nnunet_files.split_patients import known_patients
from nnunetv2_dale.nnunet_files.splits import Splits, find_splits, offered_splits, read_splits
from nnunetv2_dale.nnunet_files.target import DECIDED_COPY, Target


@dataclass(frozen=True)
class AppliedDecisions:
    """What was made: the dataset's folder and how many cases it has, lacks, and has to mend."""

    folder: Path
    cases: int
    excluded: int
    to_fix: int


def apply_decisions(file: Path, audit: Path, dataset: str, new_id: int, overwrite: bool = False) -> AppliedDecisions:
    """Copy a raw dataset without the excluded cases, with a draft for each label to fix, and its splits.

    A label to fix stays as it was in `labelsTr`, until a person mends it; the networks' consensus lies beside it in
    `drafts/CASE_draft_by_networks`, and `to_fix.csv` lists what was found.

    Args:
        file: decisions.csv.
        audit: folder with the audit's `maps` and `audit.json`.
        dataset: id or name of the audited dataset.
        new_id: of the new one; it keeps the name.
    Raises:
        UserError: what does not fit together, or a person's work in the dataset that is replaced; nothing is written.
    """
    raw = environment_folder("nnUNet_raw")
    source = read_dataset(dataset_folder(raw, dataset))
    target = Target(raw, new_id, source.folder.name.partition("_")[2], DECIDED_COPY)
    decisions = read_decisions(file)
    if not decisions:
        raise UserError(f"{file} holds no decision yet; fill in accept, fix or exclude")
    excluded, to_fix = set(cases_to("exclude", decisions)), cases_to("fix", decisions)
    names = [case.name for case in source.cases]
    _refuse(source, target, {each.case for each in decisions} - set(names), file)
    kept = [case for case in source.cases if case.name not in excluded]
    if not kept:
        raise UserError(f"{file} excludes every case of {source.folder}; a dataset needs some")
    drafts = {name: consensus_file(audit, name) for name in to_fix}
    splits = _splits(source, names, excluded, audit)
    patients = known_patients(source.folder)
    problems = target.problems(splits, overwrite)
    if not problems and target.folder.is_dir():
        problems = hand_work(source, target.folder, audit)
    if problems:
        raise DatasetProblemsError(problems, target.root)
    with offered_splits(target.folder, splits), new_folder(target.folder, overwrite) as folder:
        problems = _copy(source, kept, folder)
        if problems:
            raise DatasetProblemsError(problems, source.folder)
        for case in kept:
            if case.name in drafts:
                write_draft(source, case, drafts[case.name], folder)
        _write_table(
            folder / "to_fix.csv", [each for each in decisions if each.case in drafts and each.decision == "fix"]
        )
        shutil.copyfile(file, folder / "audit_decisions.csv")
        description = source.dataset_json | {"numTraining": len(kept)}
        write_json(folder / "dataset.json", description)
        if splits is not None:
            write_json(folder / SPLITS, splits)
        if patients is not None:
            of_kept = {case.name: patients[case.name] for case in kept if case.name in patients}
            write_json(folder / PATIENTS, of_kept)
    return AppliedDecisions(target.folder, len(kept), len(excluded), len(to_fix))


def _refuse(source: RawDataset, target: Target, unknown: Collection[str], file: Path) -> None:
    if "dataset" in source.dataset_json:
        raise UserError(
            f"{source.folder / 'dataset.json'} names its files one by one; expected the layout of imagesTr and labelsTr"
        )
    if source.folder.resolve() == target.folder.resolve():
        raise UserError(f"{source.folder} is the audited dataset itself; give another id with --new_id")
    if unknown:
        raise UserError(f"{file} decides on cases that {source.folder} does not have: {', '.join(sorted(unknown)[:5])}")


def _splits(source: RawDataset, names: Sequence[str], excluded: Collection[str], audit: Path) -> Splits | None:
    """The folds without the excluded cases: of the dataset, else as the audit saw them."""
    path = find_splits(source.folder, None)
    if path is not None:
        splits = read_splits(path, names)
    else:
        fold_of = {case.case: case.fold for case in read_audit(audit / "audit.json").cases}
        folds = sorted(set(fold_of.values()))
        if set(fold_of) != set(names) or len(folds) < 2:
            return None
        splits = [
            {
                "train": [name for name in names if fold_of[name] != fold],
                "val": [name for name in names if fold_of[name] == fold],
            }
            for fold in folds
        ]
    return [
        {part: [name for name in fold[part] if name not in excluded] for part in ("train", "val")} for fold in splits
    ]


def _copy(source: RawDataset, kept: Sequence[RawCase], folder: Path) -> list[Problem]:
    """Copy the cases and the test set; the files that are damaged."""
    problems: list[Problem] = []
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir()
    for case in kept:
        for image in case.images:
            problems += place_whole(image, folder / "imagesTr" / image.name)
        if case.label is not None:
            problems += place_whole(case.label, folder / "labelsTr" / case.label.name)
    for name in ("imagesTs", "labelsTs"):
        if (source.folder / name).is_dir():
            problems += place_folder(source.folder / name, folder / name)
    return problems


def _write_table(file: Path, decisions: Sequence[Decision]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("case", "label", "kind", "sentence"))
        writer.writerows((each.case, each.label, each.kind, each.sentence) for each in decisions)
