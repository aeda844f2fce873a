"""What intensities a class has, inside and just outside, learned from a few cases before all are measured.

A label fits its image where the intensities inside are those of the class and those around are not. That is measured
for the label as it is, and for the label moved by some steps: one that was moved against its image fits better
elsewhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nnunetv2_dale.audit.audit_task import AuditTask, CaseInputs
from nnunetv2_dale.audit.case_volumes import read_case, read_images
from nnunetv2_dale.commands.cases import run_cases
from nnunetv2_dale.masks.boxes import Box, box_around, boxes_of_values
from nnunetv2_dale.masks.overlap import Mask
from nnunetv2_dale.statistics.usual_values import Floats

BINS = 64
HU_RANGE = (-200.0, 400.0)  # of CT that is told apart
SAMPLED = 12  # cases from which the intensities are learned
RIM = 2  # voxels around a class that count as just outside
STEPS_OF_CLASS = 6.0  # that fit into a class of median size
MOST_STEPS = 3  # that a label is moved along each axis
MOST_VOXELS = 2000  # of a class that are looked at
Bins = NDArray[np.uint8]


@dataclass(frozen=True)
class Intensities:
    """What is known before cases are measured."""

    step_mm: float  # by which labels are moved
    # class key → (BINS,) log of how much more frequent each intensity is inside than just outside
    odds: Mapping[str, NDArray[np.float32]]


def steps(planar: bool) -> NDArray[np.int64]:
    """(V, 3) the moves along (x, y, z) that are tried, in steps; the middle one is none."""
    line = range(-MOST_STEPS, MOST_STEPS + 1)
    return np.array(list(itertools.product(line, line, [0] if planar else line)))


def learned(task: AuditTask, processes: int = 1) -> Intensities:
    """Look at a few cases of a dataset."""
    inside, outside = ({item.key: np.ones(BINS) for item in task.classes} for _ in range(2))
    lengths: dict[str, list[float]] = {item.key: [] for item in task.classes}
    jobs = [(inputs.case, (inputs, task)) for inputs in task.cases[:: -(-len(task.cases) // SAMPLED)]]
    for _, shown in run_cases(_shown, jobs, processes, "looking at intensities"):
        for key, (within, around, length) in shown.items():
            inside[key] += within
            outside[key] += around
            lengths[key].append(length)
    known = [float(np.median(each)) for each in lengths.values() if each]
    odds = {key: _log_odds(inside[key], outside[key]) for key in inside}
    return Intensities(float(np.median(known)) / STEPS_OF_CLASS if known else 1.0, odds)


def _shown(inputs: CaseInputs, task: AuditTask) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64], float]]:
    """Class → voxels of each bin inside and just outside, and the length of an edge of a box of its volume in mm."""
    volumes = read_case(inputs, task)
    label, spacing_mm = volumes.label, volumes.spacing_mm
    bins, boxes = binned(read_images(inputs, task, volumes)[0], task.is_ct), boxes_of_values(label)
    found = {}
    for item in task.classes:
        box = box_around([boxes[value] for value in item.values if value in boxes], label.shape, RIM)
        if box is not None:
            mask = np.isin(label[box], item.values)
            volume = np.count_nonzero(mask) * np.prod(spacing_mm[int(label.shape[0] == 1) :])
            within, around = (np.bincount(bins[box][each], minlength=BINS) for each in (mask, rim(mask)))
            found[item.key] = (within, around, float(volume) ** (1 / (2 if label.shape[0] == 1 else 3)))
    return found


def _log_odds(inside: Floats, outside: Floats) -> NDArray[np.float32]:
    smooth = [ndimage.gaussian_filter1d(each / each.sum(), 1.5) + 1e-4 for each in (inside, outside)]
    return np.asarray(np.log(smooth[0] / smooth[1]), np.float32)


def binned(image: NDArray[np.float32], is_ct: bool) -> Bins:
    """Every voxel's intensity as the number of its bin: Hounsfield units as they are, others by the image's own."""
    low, high = HU_RANGE if is_ct else np.percentile(image, [1, 99]).tolist()
    scaled = (image - low) * (BINS / max(high - low, 1e-6))
    return np.asarray(np.clip(scaled, 0, BINS - 1), np.uint8)


def rim(mask: Mask) -> Mask:
    """The voxels just outside of a mask."""
    structure = np.ones([3 if size > 1 else 1 for size in mask.shape], bool)
    return np.asarray(ndimage.binary_dilation(mask, structure, iterations=RIM) & ~mask)


def fit(mask: Mask, box: Box, bins: Bins, odds: NDArray[np.float32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """(V,) mean log odds inside minus just outside, for a label moved by each of V offsets in voxels (z, y, x)."""
    # The volume, as far as the moved label reaches; past the volume's end its last voxel counts.
    reach = np.abs(offsets).max(axis=0)
    low, high = (np.array([getattr(axis, end) for axis in box]) for end in ("start", "stop"))
    sides = zip(low - reach, high + reach, bins.shape, strict=True)
    window = bins[np.ix_(*(np.clip(np.arange(first, end), 0, size - 1) for first, end, size in sides))]
    values = odds[window].ravel()
    strides = np.array([window.shape[1] * window.shape[2], window.shape[2], 1])
    found = []
    for part in (mask, rim(mask)):
        voxels = np.argwhere(part)
        voxels = voxels[:: max(1, len(voxels) // MOST_VOXELS)] + reach
        places = (voxels @ strides)[None] + (offsets @ strides)[:, None]
        found.append(values.take(places).mean(axis=1) if len(voxels) else np.zeros(len(offsets), np.float32))
    return np.asarray(found[0] - found[1], np.float32)
