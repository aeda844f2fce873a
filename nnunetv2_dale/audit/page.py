"""The audit's HTML page: the list of findings, the picture of the one that is looked at, and the decisions."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnunetv2_dale.audit.audit_task import AuditTask
from nnunetv2_dale.audit.decisions import DecisionTable
from nnunetv2_dale.audit.evidence import CaseEvidence
from nnunetv2_dale.audit.findings import Audit
from nnunetv2_dale.audit.maps import map_file
from nnunetv2_dale.pages.html_page import OKABE_ITO, figure_data_uri, png_data_uri, render_page

PictureFiles = Mapping[tuple[str, str, str], Path]
MOST_CLASSES = 12  # in the figure of distributions


def render_audit(
    audit: Audit,
    table: DecisionTable,
    task: AuditTask,
    evidence: Sequence[CaseEvidence],
    pictures: PictureFiles,
    witnesses: Mapping[str, Sequence[str]],
) -> str:
    """The page as text.

    Args:
        table: the decisions the page begins with; it writes the same table.
        pictures: (case, class key, kind) → PNG.
        witnesses: case → sentences of the trainings' own memory.
    """
    inputs = {each.case: each for each in task.cases}
    findings = [
        {
            "case": case.case,
            "class": found.class_name,
            "label": found.label,
            "kind": found.kind,
            "percent": f"{100 * found.score:.0f} %",
            "sentence": found.sentence,
            "voxel": ", ".join(map(str, found.voxel)),
            "world": ", ".join(f"{value:g}" for value in found.world_mm),
            "picture": png_data_uri(file.read_bytes())
            if (file := pictures.get((case.case, found.label, found.kind)))
            else "",
            "commands": viewer_commands(inputs[case.case].images, inputs[case.case].label, case.case),
            "memory": list(witnesses.get(case.case, ())),
            "line": line,
        }
        for (case, found), line in zip(
            ((case, found) for case in audit.cases for found in case.findings), table.listed, strict=True
        )
    ]
    context = {
        "title": f"Label audit of {audit.dataset}",
        "kicker": "which labels to look at first",
        "audit": audit,
        "findings": findings,
        "columns": table.columns,
        "kept": table.kept,
        "memory": memory_key(audit, table),
        "without": sum(not case.findings for case in audit.cases),
        "summary": _summary(audit),
        "distribution": figure_data_uri(distribution_figure(audit, task, evidence)),
    }
    return render_page("audit.html.j2", "nnunetv2_dale.audit", context)


def memory_key(audit: Audit, table: DecisionTable) -> str:
    """Under which the browser remembers what is decided on the page: another one for every audit and table."""
    content = json.dumps([audit.to_json(), table.listed, table.kept])
    return f"nnunetv2_dale_audit {audit.dataset} {hashlib.sha256(content.encode()).hexdigest()[:16]}"


def viewer_commands(images: Sequence[Path], label: Path, case: str) -> dict[str, str]:
    """The command lines that open a case with its label and the referees' consensus; run in the audit's folder."""
    if not images:
        return {}
    consensus = map_file(Path("maps"), case, "consensus")
    loads = [f"slicer.util.loadVolume({json.dumps(str(images[0]))})"]
    loads += [f"slicer.util.loadSegmentation({json.dumps(str(file))})" for file in (label, consensus)]
    return {
        "3D Slicer": shlex.join(["Slicer", "--python-code", "; ".join(loads)]),
        "ITK-SNAP": shlex.join(["itksnap", "-g", str(images[0]), "-s", str(label)])
        + "   # then the networks': "
        + shlex.join(["itksnap", "-g", str(images[0]), "-s", str(consensus)]),
    }


def distribution_figure(audit: Audit, task: AuditTask, evidence: Sequence[CaseEvidence]) -> Any:
    """Mean displacement of every case in each class; cases with a finding in the class stand out."""
    from matplotlib.figure import Figure

    suspects = {(case.case, found.label) for case in audit.cases for found in case.findings}
    classes = task.classes[:MOST_CLASSES]
    figure = Figure(figsize=(9, 1.1 + 0.55 * len(classes)))
    axes = figure.subplots()
    rng = np.random.default_rng(0)
    for row, item in enumerate(classes):
        shown = [(case, each) for case in evidence if (each := case.classes[item.key].displacement) is not None]
        heights = row + rng.uniform(-0.22, 0.22, len(shown))
        suspect = np.array([bool({(case.case, item.key), (case.case, "")} & suspects) for case, _ in shown], dtype=bool)
        means = np.array([each.mean_mm for _, each in shown])
        axes.plot(means[~suspect], heights[~suspect], "o", color=OKABE_ITO[0], markersize=3, alpha=0.5)
        axes.plot(means[suspect], heights[suspect], "D", color=OKABE_ITO[1], markersize=5)
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.set_yticks(range(len(classes)), [item.name for item in classes])
    axes.invert_yaxis()
    axes.set_xlabel("label narrower than the networks  ←  mean displacement of the border (mm)  →  wider")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _summary(audit: Audit) -> str:
    expected = audit.expected
    found = sum(len(case.findings) for case in audit.cases)
    referees = len(audit.referees)
    held = (
        f"{len(audit.cases)} cases were held against {referees} result folder{'s' if referees > 1 else ''}, whose "
        "networks had not seen their labels"
    )
    if not expected["judged_cases"]:
        return f"{held}; none of them could be judged."
    return (
        f"{held}. {found} findings are listed. About {expected['wrong_cases']:g} labels are expected to be wrong; the "
        f"first {expected['cases_for_80_percent']} cases should hold 80 % of them."
    )
