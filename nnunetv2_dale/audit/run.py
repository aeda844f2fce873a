"""One audit from result folders to its output folder; cut off, it goes on where it was."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nnunetv2_dale
from nnunetv2_dale.audit.audit_task import AuditTask, CaseInputs
from nnunetv2_dale.audit.case_volumes import kept_case
from nnunetv2_dale.audit.class_statements import class_statements
from nnunetv2_dale.audit.decision_files import KnownNames, not_among, read_lines, without_redrawn
from nnunetv2_dale.audit.decisions import (
    Decision,
    DecisionTable,
    Line,
    accepted_findings,
    cases_to,
    decision_table,
    decisions_in,
    write_template,
)
from nnunetv2_dale.audit.findings import Audit, Finding, write_csv
from nnunetv2_dale.audit.kept_evidence import all_evidence, kept_file
from nnunetv2_dale.audit.maps import has_maps, write_maps
from nnunetv2_dale.audit.page import PictureFiles, render_audit
from nnunetv2_dale.audit.pictures import write_pictures
from nnunetv2_dale.audit.referees import audit_task
from nnunetv2_dale.audit.scoring import LISTED_FROM, Judgement, expected_effort, rank_cases
from nnunetv2_dale.audit.units import remarks_on_units
from nnunetv2_dale.audit.witnesses import training_memory
from nnunetv2_dale.commands.cases import run_cases
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.atomic_output import naming, put_in_place
from nnunetv2_dale.nnunet_files.results.misplaced import misplaced_remarks
from nnunetv2_dale.pages.private_content import EVERYTHING, Held, without_paths

MOST_PICTURES = 150  # of the most suspicious findings: each is about 0.1 MB of the page
SMALLEST_AUDIT = 5


@dataclass(frozen=True)
class AuditSettings:
    """What is audited and how; see the command's help."""

    folds: tuple[str, ...] | None = None
    references: Path | None = None
    images: Path | None = None
    decisions: tuple[Path, ...] = ()
    processes: int = 1
    held: Held = EVERYTHING


def run_audit(paths: Sequence[Path], output: Path, settings: AuditSettings) -> Audit:
    """Audit and write the output folder.

    Work in progress lies beside it under `.unfinished_NAME` until all is done; an audit that is cut off uses it again.

    Args:
        output: does not exist, or may be replaced.
    Raises:
        UserError: input that cannot be audited; nothing is left behind.
    """
    task = audit_task(paths, settings.folds, settings.references, settings.images)
    known = KnownNames(frozenset(each.case for each in task.cases), {item.name: item.key for item in task.classes})
    earlier = read_lines(*settings.decisions, known=known)
    if len(task.cases) < SMALLEST_AUDIT:
        raise UserError(
            f"{paths[0]} holds predictions of {len(task.cases)} cases; the audit compares cases with each other and "
            f"needs at least {SMALLEST_AUDIT}"
        )
    output = output.resolve()
    work = output.with_name(".unfinished_" + output.name)
    goes_on = work.exists()
    try:
        with naming(output):
            return _audit(task, [Path(path) for path in paths], work, output, settings, earlier)
    except UserError:
        if not goes_on:
            shutil.rmtree(work, ignore_errors=True)
        raise


def _audit(
    task: AuditTask,
    paths: Sequence[Path],
    work: Path,
    output: Path,
    settings: AuditSettings,
    earlier: Sequence[Line],
) -> Audit:
    work.mkdir(parents=True, exist_ok=True)
    for leftover in work.rglob(".unfinished_*"):
        leftover.unlink()
    evidence = all_evidence(task, work / "measured", settings.processes)
    earlier, redrawn = without_redrawn(earlier, {each.case: each.checksum for each in evidence})
    decisions = decisions_in(earlier)
    accepted = accepted_findings(decisions)
    judged = rank_cases(evidence, task, accepted)
    misplaced = [file for each in evidence for file in each.misplaced]
    on_decisions = _remarks(task, earlier, redrawn)
    missing = (*task.missing, *misplaced_remarks(misplaced), *remarks_on_units(evidence), *on_decisions)
    audit = Audit(
        dataset=task.dataset,
        referees=task.referees,
        cases=tuple(each.audited for each in judged),
        expected=expected_effort([each.audited for each in judged]),
        settings={
            "nnunetv2_dale": nnunetv2_dale.__version__,
            "listed_from_score": LISTED_FROM,
            "probabilities": all(file is not None for inputs in task.cases for file in inputs.probabilities),
            "accepted_before": len(accepted),
            "held_out": task.held_out,
        },
        missing=missing if settings.held.paths else without_paths(missing, _folders_of(paths, task)),
        misplaced=tuple(misplaced),
        classes=class_statements(evidence, task),
    )
    _forget_other_audits(work, audit.to_json())
    to_fix = cases_to("fix", decisions)  # `apply` takes their drafts from the maps
    listed = [each for each in judged if each.audited.findings or each.audited.case in to_fix]
    pictures = _draw_all(task, listed, work, settings)
    table = decision_table(audit, earlier)
    page = render_audit(audit, table, task, evidence, pictures, training_memory(paths, task), settings.held)
    _finish(audit, table, page, work, output)
    return audit


def _remarks(task: AuditTask, earlier: Sequence[Line], redrawn: Sequence[Decision]) -> list[str]:
    """On decisions that were given and do not count here."""
    listed = ", ".join(f"{each.case}: {each.in_words}" for each in redrawn)
    elsewhere = not_among(earlier, {each.case for each in task.cases})
    remarks = {
        f"decided on a label that was drawn anew since, and asked again: {listed}": redrawn,
        f"decisions on cases that are not audited here stay in decisions.csv: {', '.join(elsewhere)}": elsewhere,
    }
    return [remark for remark, cause in remarks.items() if cause]


def _forget_other_audits(work: Path, content: str) -> None:
    """Maps and pictures of an audit that was cut off count only for the same findings."""
    state = work / "measured" / "state"
    now = hashlib.sha256(content.encode()).hexdigest()
    if not state.is_file() or state.read_text() != now:
        for name in ("maps", "pictures"):
            shutil.rmtree(work / name, ignore_errors=True)
        state.write_text(now)
    for name in ("maps", "pictures"):
        (work / name).mkdir(exist_ok=True)


def _folders_of(paths: Sequence[Path], task: AuditTask) -> set[Path]:
    files = {file for case in task.cases for file in (case.label, *case.predictions, *case.images)}
    return {*paths, *(folder for path in paths for folder in path.absolute().parents), *(file.parent for file in files)}


def _draw_all(task: AuditTask, listed: Sequence[Judgement], work: Path, settings: AuditSettings) -> PictureFiles:
    """Maps of every listed case, pictures of the most suspicious findings: (case, class key, kind) → PNG file."""
    inputs = {each.case: each for each in task.cases}
    found = [(each.audited.case, finding) for each in listed for finding in each.audited.findings]
    found = found[: MOST_PICTURES if settings.held.pictures else 0]
    files = [work / "pictures" / f"{number:03d}.png" for number in range(len(found))]
    jobs = []
    for each in listed:
        case = inputs[each.audited.case]
        shown = {file: finding for file, (name, finding) in zip(files, found, strict=True) if name == case.case}
        kept = kept_file(work / "measured", case)
        jobs.append((case.case, (case, kept, task, each, shown if case.images else {}, work / "maps")))
    for _ in run_cases(_draw, jobs, settings.processes, "writing maps and pictures"):
        pass
    drawn = zip(files, found, strict=True)
    return {(case, finding.label, finding.kind): file for file, (case, finding) in drawn if file.is_file()}


def _draw(
    inputs: CaseInputs, kept: Path, task: AuditTask, judged: Judgement, shown: Mapping[Path, Finding], maps: Path
) -> None:
    """Maps and pictures of a case, from what was kept of its files; those that are there stay."""
    missing = {file: finding for file, finding in shown.items() if not file.is_file()}
    if has_maps(maps, inputs.case) and not missing:
        return
    volumes = kept_case(kept)
    if not has_maps(maps, inputs.case):
        write_maps(volumes, inputs.case, task, judged.class_chances, judged.class_kinds, maps)
    if missing:
        write_pictures(volumes, inputs, task, missing)


def _finish(audit: Audit, table: DecisionTable, page: str, work: Path, output: Path) -> None:
    (work / "audit.json").write_text(audit.to_json(), encoding="utf-8")
    (work / "audit.html").write_text(page, encoding="utf-8")
    write_csv(audit, work / "audit.csv")
    write_template(table, work / "decisions.csv")
    for name in ("measured", "pictures"):
        shutil.rmtree(work / name)
    put_in_place(work, output)
