"""A new dataset from a person's decisions; the audited one stays as it is."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_dale.audit.case_volumes import checksum_text
from nnunetv2_dale.audit.confidence_of_audit import write_confidence_of
from nnunetv2_dale.audit.decision_files import KnownNames, read_lines, without_redrawn
from nnunetv2_dale.audit.decisions import Decision, Line, cases_to, columns_of, decisions_in, overruled, write_lines
from nnunetv2_dale.audit.drafts import consensus_file, hand_work, write_draft
from nnunetv2_dale.audit.findings import Audit, read_audit
from nnunetv2_dale.commands.command_line import UserError, first_of
from nnunetv2_dale.commands.csv_table import write_table
from nnunetv2_dale.nnunet_files.confidence_table import copy_confidence
from nnunetv2_dale.nnunet_files.json_files import write_json
from nnunetv2_dale.nnunet_files.placing import place_cases, place_folder
from nnunetv2_dale.nnunet_files.problems import Problem, refuse_problems
from nnunetv2_dale.nnunet_files.raw_dataset import RawCase, RawDataset, read_raw
from nnunetv2_dale.nnunet_files.results.class_keys import keys_of_names
from nnunetv2_dale.nnunet_files.splits import Splits, new_dataset, splits_by_fold, splits_in_use, without_cases
from nnunetv2_dale.nnunet_files.target import DECIDED_COPY, Target
from nnunetv2_dale.nnunet_files.volumes import read_label


@dataclass(frozen=True)
class AppliedDecisions:
    """What was made: the dataset's folder, how many cases it has, lacks and has to mend, and what else to know."""

    folder: Path
    cases: int
    excluded: int
    to_fix: int
    remarks: tuple[str, ...]


def apply_decisions(
    files: Sequence[Path], audit: Path, dataset: str, new_id: int, overwrite: bool = False, confidence: bool = False
) -> AppliedDecisions:
    """Copy a raw dataset without the excluded cases, with a draft for each label to fix, and its splits.

    A label to fix stays as it was in `labelsTr`, until a person mends it; the networks' consensus lies beside it in
    `drafts/CASE_draft_by_networks`, and `to_fix.csv` lists what was found.

    Args:
        files: tables of decisions, one per person who decided; taken together.
        audit: folder with the audit's `maps` and `audit.json`.
        confidence: write what the audit found as confidence, for a training that takes it; excluded cases stay, with
            weight 0.
    Raises:
        UserError: what does not fit together, or a person's work in the dataset that is replaced; nothing is written.
    """
    source = read_raw(dataset)
    target = Target.of_copy(source, new_id, DECIDED_COPY)
    audited = read_audit(audit / "audit.json")
    lines = _decided(files, source, audited, audit / "audit.json", confidence)
    decisions = decisions_in(lines)
    excluded, to_fix = set(cases_to("exclude", decisions)), cases_to("fix", decisions)
    left_out: set[str] = set() if confidence else excluded
    kept = [case for case in source.cases if case.name not in left_out]
    if not kept:
        raise UserError(f"{_named(files)} excludes every case of {source.folder}; a dataset needs some")
    # without a network there is nothing to start from
    drafts = {name: consensus_file(audit, name) for name in to_fix} if audited.referees else {}
    splits, remarks = _splits(source, left_out, audited)
    problems = target.problems(splits, overwrite)
    if not problems and target.folder.is_dir():
        problems = hand_work(source, target.folder, audit)
    refuse_problems(problems, target.root)
    with new_dataset(source.folder, target.folder, splits, overwrite, left_out) as folder:
        refuse_problems(_copy(source, kept, to_fix, folder), source.folder)
        for case in kept:
            if case.name in drafts:
                write_draft(source, case, drafts[case.name], folder)
        if confidence:
            write_confidence_of(audited, audit, source, decisions, folder)
        _write_tables(files, lines, [each for each in decisions if each.case in to_fix], folder)
        write_json(folder / "dataset.json", source.dataset_json | {"numTraining": len(kept)})
    remarks = (*overruled(decisions), *remarks)
    return AppliedDecisions(target.folder, len(kept), len(excluded), len(to_fix), remarks)


def _decided(
    files: Sequence[Path], source: RawDataset, audited: Audit, audit_file: Path, confidence: bool
) -> list[Line]:
    """What was decided, on labels that are still the audited ones; as confidence an audit says something by itself."""
    names = frozenset(case.name for case in source.cases)
    lines = read_lines(*files, known=KnownNames(names, keys_of_names(source.dataset_json["labels"])))
    decided = {each.case for each in decisions_in(lines)}
    if not decided and not confidence:
        raise UserError(f"{_named(files)} holds no decision yet; fill in accept, fix or exclude")
    if not decided and not audited.referees and not any(each.kind == "not_annotated" for each in audited.classes):
        raise UserError(
            f"{audit_file} is of an audit without networks, which has no maps of suspicion; decide in {_named(files)}, "
            "or audit a cross-validation"
        )
    require_audited(audited, audit_file, source, names if confidence else decided)
    unknown = sorted(decided - names)
    if unknown:
        raise UserError(
            f"{_named(files)} decides on cases that {source.folder} does not have: {', '.join(unknown[:5])}"
        )
    current, redrawn = without_redrawn(lines, {each.case: each.checksum for each in audited.cases})
    if redrawn:
        cases = ", ".join(first_of(sorted({each.case for each in redrawn})))
        raise UserError(
            f"decisions are on other labels than those of {audit_file} ({cases}); decide on them again, in the table "
            "of that audit"
        )
    return current


def _named(files: Sequence[Path]) -> str:
    return ", ".join(map(str, files))


def _splits(source: RawDataset, excluded: Collection[str], audited: Audit) -> tuple[Splits | None, Sequence[str]]:
    """The folds without the excluded cases, of the dataset, else as the audit saw them; what to tell about them."""
    names = [case.name for case in source.cases]
    splits = splits_in_use(source.folder, names)
    if splits is None:
        fold_of = {case.case: case.fold for case in audited.cases}
        folds = sorted(set(fold_of.values()), key=lambda fold: (len(fold), fold))  # 10 after 9
        if set(fold_of) != set(names) or len(folds) < 2:
            return None, ()
        splits = splits_by_fold(names, [{name for name in names if fold_of[name] == fold} for fold in folds])
    left, remarks = without_cases(splits, excluded)
    return (left, remarks) if left else (None, [*remarks, "no fold is left; nnU-Net makes its own"])


def _copy(source: RawDataset, kept: Sequence[RawCase], to_fix: Collection[str], folder: Path) -> list[Problem]:
    """Copy the cases and the test set; the files that are damaged. A label that is mended is no reader's."""
    problems = place_cases(kept, folder)
    for name in ("imagesTs", "labelsTs"):
        if (source.folder / name).is_dir():
            problems += place_folder(source.folder / name, folder / name)
    return problems + copy_confidence(source, {case.name for case in kept}, folder, to_fix)


def _write_tables(files: Sequence[Path], lines: Sequence[Line], of_drafts: Sequence[Decision], folder: Path) -> None:
    """What is to be fixed; and the decisions: the table as it came, or several taken together."""
    columns = ("case", "label", "kind", "sentence", "who", "comment")
    rows = ([getattr(each, name) for name in columns] for each in of_drafts if each.decision == "fix")
    write_table(folder / "to_fix.csv", columns, rows)
    if len(files) == 1:
        shutil.copyfile(files[0], folder / DECIDED_COPY)
    else:
        write_lines(columns_of(lines), lines, folder / DECIDED_COPY)


def require_audited(audit: Audit, file: Path, source: RawDataset, decided: Collection[str]) -> None:
    """Compare names and some labels; an audit of an earlier version has no checksums of them.

    Args:
        decided: cases whose labels have to be the audited ones: a person decided on them, or the audit's maps are used.
    """
    if audit.dataset != source.folder.name:
        raise UserError(f"{file} is of {audit.dataset}, not of {source.folder.name}; give the audited dataset with -d")
    names = {case.name for case in source.cases}
    absent = sorted(each.case for each in audit.cases if each.case not in names)
    if absent:
        raise UserError(
            f"{source.folder} lacks cases of {file}, {len(absent)} in number ({', '.join(first_of(absent))}); give the "
            "audited dataset, or audit again"
        )
    then = {each.case: each.checksum for each in audit.cases if each.checksum and each.case in decided}
    changed = [case.name for case in source.cases if case.name in then and _checksum(source, case) != then[case.name]]
    if changed:
        raise UserError(
            f"labels in {source.folder} are not those that were audited, {len(changed)} in number "
            f"({', '.join(first_of(changed))}); put them back, or audit again with --decisions"
        )


def _checksum(source: RawDataset, case: RawCase) -> str:
    return "" if case.label is None else checksum_text(read_label(source.reader(), case.label, source.label_values)[0])
