"""One audit from result folders to its output folder; cut off, it goes on where it was."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nnunetv2_dale
from nnunetv2_dale.audit.audit_task import AuditTask
from nnunetv2_dale.audit.decision_files import KnownNames, not_among, read_lines, without_redrawn
from nnunetv2_dale.audit.decisions import (
    Decision,
    DecisionTable,
    Line,
    accepted_findings,
    cases_to,
    decision_table,
    decisions_in,
    is_filled_in,
    write_lines,
)
from nnunetv2_dale.audit.findings import Audit, read_audit, write_csv
from nnunetv2_dale.audit.held_out import training_memory
from nnunetv2_dale.audit.maps import NAMES
from nnunetv2_dale.audit.measured import measure_all
from nnunetv2_dale.audit.page import render_audit
from nnunetv2_dale.audit.pictures import draw_all
from nnunetv2_dale.audit.scoring import LISTED_FROM, expected_effort
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.atomic_output import (
    is_empty_folder,
    naming,
    put_in_place,
    refuse_existing,
    refuse_irreplaceable,
)
from nnunetv2_dale.pages.private_content import EVERYTHING, Held, without_paths

SMALLEST_AUDIT = 5


@dataclass(frozen=True)
class AuditSettings:
    """How is audited; see the command's help."""

    decisions: tuple[Path, ...] = ()
    processes: int = 1
    held: Held = EVERYTHING


def check_output(output: Path, overwrite: bool, decisions: Sequence[Path]) -> None:
    """Replace only an audit, only when asked, and nothing that a person did with it."""
    refuse_existing(output, overwrite=True)  # an audit that may not be replaced has its own sentence
    refuse_irreplaceable(output)
    if not os.path.lexists(output) or is_empty_folder(output):
        return
    if not (output / "audit.json").is_file():
        raise UserError(f"{output} is there and holds no audit; give another place with -o")
    read_audit(output / "audit.json")
    if not overwrite:
        raise UserError(f"{output} already holds an audit; give another place with -o, or --overwrite to replace it")
    mine = output / "decisions.csv"
    given = mine.resolve() in [file.resolve() for file in decisions]
    if mine.is_file() and not given and any(map(is_filled_in, read_lines(mine))):
        raise UserError(f"{mine} holds decisions that would be lost; move it, or give it with --decisions")
    foreign = [str(path) for path in _not_of_the_audit(output)]
    if foreign:
        raise UserError(f"{', '.join(foreign[:5])} would be lost with the old audit; move that to another folder")


def _not_of_the_audit(output: Path) -> list[Path]:
    """What others put into an audit's folder: tables of decisions under another name, labels they work on."""
    own = {"audit.json", "audit.html", "audit.csv", "decisions.csv", "maps"}
    maps = tuple(f"_{name}.nii.gz" for name in NAMES)
    found = [path for path in output.iterdir() if path.name not in own]
    found += [path for path in (output / "maps").glob("*") if not path.name.endswith(maps)]
    return sorted(path for path in found if not path.name.startswith("."))  # a file browser's own


def run_audit(task: AuditTask, paths: Sequence[Path], output: Path, settings: AuditSettings) -> Audit:
    """Audit and write the output folder.

    Work in progress lies beside it under `.unfinished_NAME` until all is done; an audit that is cut off uses it again.

    Args:
        paths: the result folders; none of a dataset before any training.
        output: does not exist, or may be replaced.
    Raises:
        UserError: input that cannot be audited; nothing is left behind.
    """
    known = KnownNames(frozenset(each.case for each in task.cases), {item.name: item.key for item in task.classes})
    earlier = read_lines(*settings.decisions, known=known)
    if len(task.cases) < SMALLEST_AUDIT:
        held = f"{paths[0]} holds predictions of" if paths else f"{task.dataset} has labels of"
        raise UserError(
            f"{held} {len(task.cases)} cases; the audit compares cases with each other and needs at least "
            f"{SMALLEST_AUDIT}"
        )
    output = output.resolve()
    work = output.with_name(".unfinished_" + output.name)
    goes_on = work.exists()
    try:
        with naming(output):
            return _audit(task, paths, work, output, settings, earlier)
    except UserError:
        if not goes_on:
            shutil.rmtree(work, ignore_errors=True)
        raise


def _audit(
    task: AuditTask, paths: Sequence[Path], work: Path, output: Path, settings: AuditSettings, earlier: Sequence[Line]
) -> Audit:
    work.mkdir(parents=True, exist_ok=True)
    for leftover in work.rglob(".unfinished_*"):
        leftover.unlink()
    measured = measure_all(task, work / "measured", settings.processes)
    earlier, redrawn = without_redrawn(earlier, measured.checksums)
    decisions = decisions_in(earlier)
    accepted = accepted_findings(decisions)
    judged = measured.judge(accepted)
    missing = (*task.missing, *measured.remarks, *_remarks(task, earlier, redrawn))
    npz = bool(task.referees) and all(file is not None for inputs in task.cases for file in inputs.probabilities)
    audit = Audit(
        dataset=task.dataset,
        referees=task.referees,
        cases=tuple(each.audited for each in judged),
        expected=expected_effort([each.audited for each in judged]),
        settings={
            "nnunetv2_dale": nnunetv2_dale.__version__,
            "listed_from_score": LISTED_FROM,
            "probabilities": npz,
            "accepted_before": len(accepted),
            "held_out": task.held_out,
        },
        missing=missing if settings.held.paths else without_paths(missing, _folders_of(paths, task)),
        misplaced=measured.misplaced,
        classes=measured.classes,
    )
    _forget_other_audits(work, audit.to_json())
    to_fix = cases_to("fix", decisions)  # `apply` takes their drafts from the maps
    listed = [each for each in judged if each.audited.findings or each.audited.case in to_fix]
    pictures = draw_all(task, listed, work, settings.processes, settings.held.pictures)
    table = decision_table(audit, earlier)
    memory = training_memory(paths, task) if paths else {}
    page = render_audit(audit, table, task, measured.spread, pictures, memory, settings.held)
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
    others = not state.is_file() or state.read_text() != now
    for name in ("maps", "pictures"):
        if others:
            shutil.rmtree(work / name, ignore_errors=True)
        (work / name).mkdir(exist_ok=True)
    state.write_text(now)


def _folders_of(paths: Sequence[Path], task: AuditTask) -> set[Path]:
    files = {file for case in task.cases for file in (case.label, *case.predictions, *case.images)}
    return {*paths, *(folder for path in paths for folder in path.absolute().parents), *(file.parent for file in files)}


def _finish(audit: Audit, table: DecisionTable, page: str, work: Path, output: Path) -> None:
    (work / "audit.json").write_text(audit.to_json(), encoding="utf-8")
    (work / "audit.html").write_text(page, encoding="utf-8")
    write_csv(audit, work / "audit.csv")
    write_lines(table.columns, (*table.listed, *table.kept), work / "decisions.csv")
    for name in ("measured", "pictures", *([] if audit.referees else ["maps"])):
        shutil.rmtree(work / name)
    put_in_place(work, output)
