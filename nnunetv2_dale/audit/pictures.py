"""The picture of a finding: contours of the label and of the referees, near by in three slices, and the whole slice."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from nnunetv2_dale.audit.audit_task import AuditTask, CaseInputs
from nnunetv2_dale.audit.case_volumes import CaseVolumes
from nnunetv2_dale.audit.findings import Finding
from nnunetv2_dale.nnunet_files.atomic_output import new_file
from nnunetv2_dale.nnunet_files.geometry import require_same_voxels
from nnunetv2_dale.nnunet_files.volumes import read_image
from nnunetv2_dale.pages.slice_display import display_range, draw_slice

PLANES = ("axial", "coronal", "sagittal")
HALF_WINDOW_VOXELS = 24
LABEL, NETWORKS = "label", "networks"


def write_pictures(volumes: CaseVolumes, inputs: CaseInputs, task: AuditTask, findings: Mapping[Path, Finding]) -> None:
    """Draw the findings of a case, each into its PNG file.

    Raises:
        UserError: an image that cannot be read, or of another shape than the label.
    """
    image, properties = read_image(task.reader, inputs.images)
    of_label = volumes.label.shape, {"spacing": volumes.spacing_mm}
    remedy = "give the images that belong to the labels (--images)"
    require_same_voxels(inputs.images[0], (image.shape[1:], properties), inputs.label, of_label, remedy)
    value_range = display_range(image[0][volumes.box], task.is_ct)
    for file, found in findings.items():
        figure = draw_finding(image[0], volumes, task, found, value_range)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None})
        with new_file(file, overwrite=True) as unfinished:
            unfinished.write_bytes(buffer.getvalue())


def draw_finding(
    image: NDArray[np.float32],
    volumes: CaseVolumes,
    task: AuditTask,
    found: Finding,
    value_range: tuple[float, float],
) -> Figure:
    """Zooms on the finding in every plane, then the whole axial slice with the zoom's frame.

    Args:
        image: (Z, Y, X).
    """
    values = [value for item in task.classes if found.label in ("", item.key) for value in item.values]
    masks = {LABEL: np.isin(volumes.label, values), NETWORKS: np.isin(volumes.consensus, values)}
    planes = PLANES[:1] if image.shape[0] == 1 else PLANES
    figure = Figure(figsize=(4.2 * len(planes) + 3.2, 4.6))
    panels = figure.subplots(1, len(planes) + 1, width_ratios=[4.2] * len(planes) + [3.2])
    windows = _windows(found.voxel, image.shape)
    handles = []
    for axis, (plane, axes) in enumerate(zip(planes, panels, strict=False)):
        handles = _draw(axes, image, masks, volumes.spacing_mm, axis, found.voxel, windows, value_range)
        axes.set_title(plane if len(planes) > 1 else "near by", fontsize=12, loc="left")
    whole = [slice(None)] * 3
    _draw(panels[-1], image, masks, volumes.spacing_mm, 0, found.voxel, whole, value_range)
    _, rows, columns = windows
    frame = Rectangle(
        (columns.start - 0.5, rows.start - 0.5),
        columns.stop - columns.start,
        rows.stop - rows.start,
        fill=False,
        edgecolor="white",
        linewidth=1.2,
        linestyle="--",
    )
    panels[-1].add_patch(frame)
    panels[-1].set_title("whole slice", fontsize=12, loc="left")
    figure.legend(handles, [LABEL, NETWORKS], loc="lower center", ncols=2, frameon=False, fontsize=12)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.93, bottom=0.1, wspace=0.04)
    return figure


def _draw(
    axes: Axes,
    image: NDArray[np.float32],
    masks: dict[str, NDArray[np.bool_]],
    spacing_mm: Sequence[float],
    axis: int,
    voxel: Sequence[int],
    window: Sequence[slice],
    value_range: tuple[float, float],
) -> list[LineCollection]:
    """One plane: the slice at the voxel along `axis`, cut to the window along the two others."""
    cut = tuple(voxel[each] if each == axis else window[each] for each in range(3))
    others = [spacing_mm[each] for each in range(3) if each != axis]
    handles = draw_slice(axes, image[cut], others, {name: mask[cut] for name, mask in masks.items()}, value_range)
    if axis:  # slices are stacked from the feet up
        axes.invert_yaxis()
    return handles


def _windows(voxel: Sequence[int], shape: Sequence[int]) -> list[slice]:
    return [
        slice(max(0, middle - HALF_WINDOW_VOXELS), min(size, middle + HALF_WINDOW_VOXELS + 1))
        for middle, size in zip(voxel, shape, strict=True)
    ]
