"""Maps and pictures of the listed cases, several cases at once; what is drawn already stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from nnunetv2_dale.audit.audit_task import AuditTask, CaseInputs
from nnunetv2_dale.audit.case_volumes import kept_case, label_alone
from nnunetv2_dale.audit.findings import Finding
from nnunetv2_dale.audit.kept_evidence import kept_file
from nnunetv2_dale.audit.maps import has_maps, write_maps
from nnunetv2_dale.audit.page import PictureFiles
from nnunetv2_dale.audit.pictures import write_pictures
from nnunetv2_dale.audit.scoring import Judgement
from nnunetv2_dale.commands.cases import run_cases

MOST_PICTURES = 150  # of the most suspicious findings: each is about 0.1 MB of the page


def draw_all(task: AuditTask, listed: Sequence[Judgement], work: Path, processes: int, pictures: bool) -> PictureFiles:
    """Draw maps of every listed case, pictures of the most suspicious findings: (case, class key, kind) → PNG file.

    Without a network there is nothing to map.
    """
    inputs = {each.case: each for each in task.cases}
    found = [(each.audited.case, finding) for each in listed for finding in each.audited.findings]
    found = found[: MOST_PICTURES if pictures else 0]
    files = [work / "pictures" / f"{number:03d}.png" for number in range(len(found))]
    jobs = []
    for each in listed:
        case = inputs[each.audited.case]
        shown = {file: finding for file, (name, finding) in zip(files, found, strict=True) if name == case.case}
        kept = kept_file(work / "measured", case)
        jobs.append((case.case, (case, kept, task, each, shown if case.images else {}, work / "maps")))
    for _ in run_cases(_draw, jobs, processes, "writing maps and pictures"):
        pass
    drawn = zip(files, found, strict=True)
    return {(case, finding.label, finding.kind): file for file, (case, finding) in drawn if file.is_file()}


def _draw(
    inputs: CaseInputs, kept: Path, task: AuditTask, judged: Judgement, shown: Mapping[Path, Finding], maps: Path
) -> None:
    """Maps and pictures of a case, from what was kept of its files; those that are there stay."""
    missing = {file: finding for file, finding in shown.items() if not file.is_file()}
    mapped = not task.referees or has_maps(maps, inputs.case)
    if mapped and not missing:
        return
    volumes = kept_case(kept) if task.referees else label_alone(inputs, task)
    if not mapped:
        write_maps(volumes, inputs.case, task, judged.class_chances, judged.class_kinds, maps)
    if missing:
        write_pictures(volumes, inputs, task, missing)
