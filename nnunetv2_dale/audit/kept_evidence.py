"""Measure every case, several at once; what is measured is kept, so that an audit that was cut off goes on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from nnunetv2_dale.audit.audit_task import AuditTask, CaseInputs
from nnunetv2_dale.audit.evidence import CaseEvidence, evidence_of
from nnunetv2_dale.commands.cases import run_cases
from nnunetv2_dale.nnunet_files.atomic_output import new_file
from nnunetv2_dale.nnunet_files.json_files import record_of

EVIDENCE_VERSION = 8  # of what is kept: counts up when `CaseEvidence` or what is measured changes


def all_evidence(task: AuditTask, kept: Path, processes: int) -> list[CaseEvidence]:
    """Return the evidence of every case, in the order of the task.

    Args:
        kept: folder of what was measured before; a file there counts while its case's files have not changed.
    """
    kept.mkdir(parents=True, exist_ok=True)
    files = {inputs.case: kept_file(kept, inputs).with_suffix(".json") for inputs in task.cases}
    jobs = [
        (inputs.case, (inputs, task, files[inputs.case])) for inputs in task.cases if not files[inputs.case].is_file()
    ]
    for _ in run_cases(_measure, jobs, processes, "measuring cases"):
        pass
    return [record_of(CaseEvidence, json.loads(files[inputs.case].read_text())) for inputs in task.cases]


def kept_file(folder: Path, inputs: CaseInputs) -> Path:
    """Say where the volumes of a case are kept once it was measured, under a name that changes with its files."""
    return folder / f"{_state_of(inputs)}.npz"


def _measure(inputs: CaseInputs, task: AuditTask, target: Path) -> None:
    evidence = evidence_of(inputs, task, target.with_suffix(".npz"))
    with new_file(target, overwrite=True) as unfinished:
        unfinished.write_text(json.dumps(asdict(evidence)))


def _state_of(inputs: CaseInputs) -> str:
    """Names a case's files with their sizes and times: another prediction or label is measured again."""
    files = [
        inputs.label,
        *inputs.predictions,
        *(file for file in inputs.probabilities if file is not None),
        *inputs.images,
    ]
    described = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(json.dumps([EVIDENCE_VERSION, inputs.case, described]).encode()).hexdigest()[:32]
