"""All cases of an audit measured: by networks, or without."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_dale.audit.audit_task import AuditTask
from nnunetv2_dale.audit.class_statements import ClassStatement, class_statements
from nnunetv2_dale.audit.distribution import Spread, displacements, volumes
from nnunetv2_dale.audit.kept_evidence import all_evidence
from nnunetv2_dale.audit.scoring import Accepted, Judgement, rank_cases
from nnunetv2_dale.audit.units import remarks_on_units
from nnunetv2_dale.audit.without_network.intensities import learned
from nnunetv2_dale.audit.without_network.judging import rank_records
from nnunetv2_dale.audit.without_network.measuring import measure
from nnunetv2_dale.commands.cases import run_cases
from nnunetv2_dale.nnunet_files.results.misplaced import Misplaced, misplaced_remarks


@dataclass(frozen=True)
class Measured:
    """What was measured of all cases, and how it is judged: by networks, or without."""

    checksums: Mapping[str, str]  # case → checksum of its label
    judge: Callable[[Accepted], list[Judgement]]  # (accepted) → ranked cases
    classes: tuple[ClassStatement, ...]
    spread: Spread  # of the page's figure
    misplaced: tuple[Misplaced, ...] = ()
    remarks: tuple[str, ...] = ()


def measure_all(task: AuditTask, kept: Path, processes: int) -> Measured:
    """Measure every case; what an audit that was cut off goes on with is kept in the folder `kept`."""
    return (_by_networks if task.referees else _without_network)(task, kept, processes)


def _by_networks(task: AuditTask, kept: Path, processes: int) -> Measured:
    evidence = all_evidence(task, kept, processes)
    misplaced = tuple(file for each in evidence for file in each.misplaced)
    return Measured(
        {each.case: each.checksum for each in evidence},
        lambda accepted: rank_cases(evidence, task, accepted),
        class_statements(evidence, task),
        displacements(evidence, task),
        misplaced,
        (*misplaced_remarks(misplaced), *remarks_on_units(evidence)),
    )


def _without_network(task: AuditTask, kept: Path, processes: int) -> Measured:
    kept.mkdir(exist_ok=True)
    known = learned(task, processes)
    jobs = [(inputs.case, (inputs, task, known)) for inputs in task.cases]
    records = [record for _, record in run_cases(measure, jobs, processes, "measuring cases")]
    return Measured(
        {each.case: each.checksum for each in records},
        lambda accepted: rank_records(records, task, known.step_mm, accepted)[0],
        rank_records(records, task, known.step_mm)[1],
        volumes(records),
    )
