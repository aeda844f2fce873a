"""Maps and pictures of the listed cases; what is drawn already stays.

The picture of a finding has contours of the label and of the networks in the slices that hold most of it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from nnunetv2_dale.audit.audit_task import AuditTask, CaseInputs
from nnunetv2_dale.audit.case_volumes import CaseVolumes, kept_case, read_case, read_images
from nnunetv2_dale.audit.finding_part import finding_part, outlined, slices_with_most
from nnunetv2_dale.audit.findings import Finding
from nnunetv2_dale.audit.kept_evidence import kept_file
from nnunetv2_dale.audit.maps import has_maps, write_maps
from nnunetv2_dale.audit.page import PictureFiles
from nnunetv2_dale.audit.scoring import Judgement
from nnunetv2_dale.commands.cases import run_cases
from nnunetv2_dale.masks.boxes import box_of
from nnunetv2_dale.masks.overlap import Mask
from nnunetv2_dale.nnunet_files.atomic_output import new_file
from nnunetv2_dale.nnunet_files.geometry import NO_DEPTH
from nnunetv2_dale.pages.slice_display import display_range, draw_slice
from nnunetv2_dale.pages.view_of_patient import PlaneView, plane_views

HALF_WINDOW_VOXELS = 24
MARGIN_VOXELS = 8
MOST_PICTURES = 150  # of the most suspicious findings: each is about 0.1 MB of the page
LABEL, NETWORKS = "label", "networks"
Window = tuple[slice, slice]


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
    volumes = kept_case(kept) if task.referees else read_case(inputs, task)
    if not mapped:
        write_maps(volumes, inputs.case, task, judged.class_chances, judged.class_kinds, maps)
    if missing:
        write_pictures(volumes, inputs, task, missing)


def write_pictures(volumes: CaseVolumes, inputs: CaseInputs, task: AuditTask, findings: Mapping[Path, Finding]) -> None:
    """Draw the findings of a case, each into its PNG file."""
    image = read_images(inputs, task, volumes)[0]
    value_range = display_range(image[volumes.box], task.is_ct)
    for file, found in findings.items():
        figure = draw_finding(image, volumes, task, found, value_range)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None})
        with new_file(file, overwrite=True) as unfinished:
            unfinished.write_bytes(buffer.getvalue())


def draw_finding(
    image: NDArray[np.float32], volumes: CaseVolumes, task: AuditTask, found: Finding, value_range: tuple[float, float]
) -> Figure:
    """Draw in every plane the slice with most of the finding, near by; then the whole slice with its frame.

    R, L, A, P, S and I stand at the edges, but for a picture that has no place in a patient.
    """
    part = finding_part(volumes, found, task)
    corner = tuple(axis.start for axis in volumes.box)
    planar = image.shape[0] == 1
    photo = planar and volumes.spacing_mm[0] == NO_DEPTH
    sides = {LABEL: volumes.label} | ({NETWORKS: volumes.consensus} if task.referees else {})
    contours = {name: outlined(each, found, task) for name, each in sides.items()}
    slices = slices_with_most(part, corner, found.voxel)
    views = [None] * 3 if photo else plane_views(volumes.affine)
    planes = [
        _Plane(axis, slices[axis], _window(part, corner, axis, slices, image.shape), view)
        for axis, view in enumerate(views[: 1 if planar else 3])
    ]
    figure = Figure(figsize=(4.2 * len(planes) + 3.2, 4.6))
    panels = figure.subplots(1, len(planes) + 1, width_ratios=[4.2] * len(planes) + [3.2])
    handles = []
    for plane, axes in zip(planes, panels, strict=False):
        handles = plane.draw(axes, image, contours, volumes.spacing_mm, value_range)
        title = "near by" if planar or plane.view is None else f"{plane.view.name}, {'zyx'[plane.axis]} {plane.index}"
        axes.set_title(title, fontsize=14, loc="left")
    whole = replace(planes[0], window=(slice(None), slice(None)))
    whole.draw(panels[-1], image, contours, volumes.spacing_mm, value_range)
    panels[-1].add_patch(_frame(planes[0].window))
    panels[-1].set_title("whole slice", fontsize=14, loc="left")
    figure.legend(handles, list(contours), loc="lower center", ncols=2, frameon=False, fontsize=14)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.93, bottom=0.1, wspace=0.04)
    return figure


@dataclass(frozen=True)
class _Plane:
    """A slice along one axis, the part of it that is shown, and how it lies in the patient."""

    axis: int
    index: int
    window: Window
    view: PlaneView | None

    def draw(
        self,
        axes: Axes,
        image: NDArray[np.float32],
        contours: Mapping[str, NDArray[Any]],
        spacing_mm: tuple[float, ...],
        value_range: tuple[float, float],
    ) -> list[LineCollection]:
        others = [spacing_mm[each] for each in range(3) if each != self.axis]
        image, *outlines = (np.take(each, self.index, self.axis)[self.window] for each in (image, *contours.values()))
        handles = draw_slice(axes, image, others, dict(zip(contours, outlines, strict=True)), value_range)
        if self.view is not None:
            self.view.turn(axes)
        return handles


def _window(part: Mask, corner: tuple[int, ...], axis: int, slices: tuple[int, ...], shape: tuple[int, ...]) -> Window:
    """Where to look in a slice: all of the finding there, and at least `HALF_WINDOW_VOXELS` around its middle."""
    others = [each for each in range(3) if each != axis]
    box = box_of(np.take(part, slices[axis] - corner[axis], axis)) if part.any() else None
    if box is None:
        box = tuple(slice(slices[each] - corner[each], slices[each] - corner[each] + 1) for each in others)
    ends = []
    for place, each in zip(box, others, strict=True):
        middle = (place.start + place.stop - 1) // 2 + corner[each]
        half = max(HALF_WINDOW_VOXELS, (place.stop - place.start) // 2 + MARGIN_VOXELS)
        ends.append(slice(max(0, middle - half), min(shape[each], middle + half + 1)))
    return ends[0], ends[1]


def _frame(window: Window) -> Rectangle:
    rows, columns = window
    corner = (columns.start - 0.5, rows.start - 0.5)
    size = (columns.stop - columns.start, rows.stop - rows.start)
    return Rectangle(corner, *size, fill=False, edgecolor="white", linewidth=1.2, linestyle="--")
