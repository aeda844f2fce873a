"""The audit's HTML page: the list of findings, the picture of the one that is looked at, and the decisions."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunetv2_dale.audit.audit_task import AuditTask
from nnunetv2_dale.audit.decisions import DecisionTable
from nnunetv2_dale.audit.distribution import Spread, distribution_figure, shown_classes
from nnunetv2_dale.audit.findings import Audit
from nnunetv2_dale.audit.maps import map_file
from nnunetv2_dale.pages.html_page import figure_data_uri, png_data_uri, render_page
from nnunetv2_dale.pages.private_content import Held

FINDINGS_A_MINUTE = 2  # that a person decides on
PictureFiles = Mapping[tuple[str, str, str], Path]


def render_audit(
    audit: Audit,
    table: DecisionTable,
    task: AuditTask,
    spread: Spread,
    pictures: PictureFiles,
    witnesses: Mapping[str, Sequence[str]],
    held: Held,
) -> str:
    """Render the page as text.

    Args:
        table: the decisions the page begins with; it writes the same table.
        held: without paths the page has no command lines of viewers; without pictures, give no `pictures`.
    """
    findings = list(_entries(audit, table, task, pictures, witnesses, held))
    context = {
        "title": f"Label audit of {audit.dataset}",
        "kicker": "which labels to look at first",
        "audit": audit,
        "findings": findings,
        "columns": table.columns,
        "kept": table.kept,
        "memory": memory_key(audit, table),
        "percent": percent,
        "without": sum(not case.findings for case in audit.cases),
        "holds": Held(bool(pictures), held.paths),
        "classes": _counted([item.name for item in task.classes], [found["class"] for found in findings]),
        "kinds": _counted([], [each.kind.replace("_", " ") for case in audit.cases for each in case.findings]),
        "minutes": -(-len(findings) // FINDINGS_A_MINUTE),
        "all_classes_shown": shown_classes(audit, task) == list(task.classes),
        "distribution": figure_data_uri(distribution_figure(audit, task, spread)),
    }
    return render_page("audit.html.j2", "nnunetv2_dale.audit", context)


def _entries(
    audit: Audit,
    table: DecisionTable,
    task: AuditTask,
    pictures: PictureFiles,
    witnesses: Mapping[str, Sequence[str]],
    held: Held,
) -> Iterator[dict[str, Any]]:
    """The findings as the page's script takes them."""
    inputs = {each.case: each for each in task.cases}
    pairs = [(case, found) for case in audit.cases for found in case.findings]
    for (case, found), line in zip(pairs, table.listed, strict=True):
        file = pictures.get((case.case, found.label, found.kind))
        files = inputs[case.case]
        yield {
            "case": case.case,
            "class": found.class_name,
            "label": found.label,
            "kind": found.kind,
            "percent": percent(found.score),
            "sentence": found.sentence,
            "voxel": ", ".join(map(str, found.voxel)),
            "world": ", ".join(f"{value:g}" for value in found.world_mm),
            "picture": png_data_uri(file.read_bytes()) if file else "",
            "commands": viewer_commands(files.images, files.label, case.case, bool(audit.referees))
            if held.paths
            else {},
            "memory": list(witnesses.get(case.case, ())),
            "line": line,
        }


def percent(score: float) -> str:
    """Return a chance as a reader takes it: an estimate is never certain."""
    if score > 0.99:
        return "over 99 %"
    return "under 1 %" if score < 0.01 else f"{100 * score:.0f} %"


def _counted(names: Sequence[str], found: Sequence[str]) -> list[tuple[str, int]]:
    """(name, how many findings), the most frequent first; names without any too."""
    return Counter(dict.fromkeys(names, 0) | Counter(found)).most_common()


def memory_key(audit: Audit, table: DecisionTable) -> str:
    """Name what the browser remembers decisions under: another one for every audit and table."""
    content = json.dumps([audit.to_json(), table.listed, table.kept])
    return f"nnunetv2_dale_audit {audit.dataset} {hashlib.sha256(content.encode()).hexdigest()[:16]}"


def viewer_commands(images: Sequence[Path], label: Path, case: str, with_networks: bool = True) -> dict[str, str]:
    """Return the command lines that open a case with its label and the referees' consensus; for the audit's folder."""
    if not images:
        return {}
    shown = [label, map_file(Path("maps"), case, "consensus")] if with_networks else [label]
    loads = [f"slicer.util.loadVolume({json.dumps(str(images[0]))})"]
    loads += [f"slicer.util.loadSegmentation({json.dumps(str(file))})" for file in shown]
    in_snap = (shlex.join(["itksnap", "-g", str(images[0]), "-s", str(file)]) for file in shown)
    return {
        "3D Slicer": shlex.join(["Slicer", "--python-code", "; ".join(loads)]),
        "ITK-SNAP": "   # then the networks': ".join(in_snap),
    }
