"""Read one case and measure its record."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from nnunetv2_dale.audit.audit_task import AuditedClass, AuditTask, CaseInputs
from nnunetv2_dale.audit.case_volumes import CaseVolumes, read_case, read_images
from nnunetv2_dale.audit.without_network.intensities import RIM, Intensities, binned, fit, steps
from nnunetv2_dale.audit.without_network.records import CaseRecord, ClassRecord, Part, Share, Voxel
from nnunetv2_dale.case_trust.border_contrast import border_contrast
from nnunetv2_dale.masks.boxes import Box, box_around, boxes_of_values, connected_parts
from nnunetv2_dale.masks.overlap import Mask
from nnunetv2_dale.statistics.usual_values import Floats

MOST_PARTS = 20
AROUND = 11  # points along each axis of what is kept of the image around a class
COARSE = 96  # voxels along an axis, at which the body is looked for
DARK = 0.3  # of what parts dark from bright in MR, below which it is air
MOSTLY = 0.5  # share of a class's last slice, beyond which there is air where the scan ends
GAP = 2  # voxels from a part to the next, up to which they belong together
REACH = 3  # voxels around the labels in which `border_contrast` looks


def measure(inputs: CaseInputs, task: AuditTask, known: Intensities) -> CaseRecord:
    """Read label and image of a case and measure them."""
    volumes = read_case(inputs, task)
    return record_of(inputs.case, volumes, read_images(inputs, task, volumes), task, known)


def record_of(
    case: str, volumes: CaseVolumes, image: NDArray[np.float32], task: AuditTask, known: Intensities
) -> CaseRecord:
    """Measure the label of a case and its image (C, Z, Y, X)."""
    seen, shape = _Seen(volumes, image, task.is_ct, known), volumes.label.shape
    boxes = boxes_of_values(volumes.label)
    contrasts = seen.contrasts(box_around(boxes.values(), shape, REACH), max(task.label_values) + 1)
    classes = {}
    for item in task.classes:
        box = box_around([boxes[value] for value in item.values if value in boxes], shape)
        if box is not None:
            classes[item.key] = seen.record(item, box, contrasts)
    ends = np.array([[0, 0, 0], np.array(shape) - 1])
    return CaseRecord(
        case=case,
        checksum=volumes.checksum,
        spacing_mm=volumes.spacing_mm,
        affine=volumes.affine,
        shape=shape,
        classes=classes,
        body_mm=_world(volumes.affine, seen.body),
        corners_mm=np.sort(_world(volumes.affine, ends), axis=0),
    )


class _Seen:
    """A label and its image, with what is seen of the whole image."""

    def __init__(self, volumes: CaseVolumes, image: NDArray[np.float32], is_ct: bool, known: Intensities) -> None:
        self.label, self.affine, self.image, self.known = volumes.label, volumes.affine, image, known
        self.to_voxels = np.linalg.inv(self.affine)
        moves = steps(self.label.shape[0] == 1) * known.step_mm
        self.offsets = np.rint((moves @ self.to_voxels[:3, :3].T)[:, ::-1]).astype(np.int64)
        self.coarse = np.array([-(-size // COARSE) for size in self.label.shape])
        self.bins = binned(image[0], is_ct)
        self.surrounding, self.body = _body(image[0], is_ct, self.coarse)

    def contrasts(self, box: Box | None, count: int) -> Floats:
        """Value → contrast of its border, NaN where there is none."""
        if box is None:
            return np.full(count, np.nan)
        channels = self.image[(slice(None), *box)]
        spread = channels.std(axis=tuple(range(1, channels.ndim)), keepdims=True)
        images = torch.from_numpy(np.ascontiguousarray(channels / np.where(spread > 0, spread, 1)))[None]
        labels = torch.from_numpy(self.label[box].astype(np.int64))[None, None]
        summed, faces = border_contrast(images, labels, None, count)
        found = (summed / faces.clamp_min(1))[0].double()
        return np.asarray(torch.where(faces[0] > 0, found, torch.nan).numpy())

    def record(self, item: AuditedClass, box: Box, contrasts: Floats) -> ClassRecord:
        corner = np.array([axis.start for axis in box])
        mask = np.isin(self.label[box], item.values)
        wide = box_around([box], self.label.shape, RIM) or box
        image = self.image[0][box]
        found = _separate_parts(mask)
        parts = tuple(self._part(part, corner + [axis.start for axis in window]) for window, part in found[:MOST_PARTS])
        window = found[0][0]
        low, high = (corner + [getattr(axis, end) for axis in window] for end in ("start", "stop"))
        borders = contrasts[list(item.values)]
        return ClassRecord(
            voxels=int(np.count_nonzero(mask)),
            parts=parts,
            corners_mm=np.sort(_world(self.affine, np.array([low, high - 1])), axis=0),
            cut=any(self._is_cut(mask, box, axis) for axis in range(3) if self.label.shape[axis] > 1),
            constant=_share(mask & _constant(image), corner),
            outside=_share(mask & self._air(box), corner),
            contrast=float(np.nanmean(borders)) if np.isfinite(borders).any() else float("nan"),
            around=self._around(parts[0].middle_mm),
            fits=fit(np.isin(self.label[wide], item.values), wide, self.bins, self.known.odds[item.key], self.offsets),
        )

    def _air(self, box: Box) -> Mask:
        """What surrounds the body, in a box of the image."""
        coarse = (np.arange(axis.start, axis.stop) // step for axis, step in zip(box, self.coarse, strict=True))
        return self.surrounding[np.ix_(*coarse)]

    def _is_cut(self, mask: Mask, box: Box, axis: int) -> bool:
        """Whether a class ends where the scan ends: at the border of the image, or in full width before air."""
        size, step, sides = self.label.shape[axis], int(self.coarse[axis]), box[axis]
        if sides.start == 0 or sides.stop == size:
            return True
        areas = mask.sum(axis=tuple(other for other in range(3) if other != axis))
        for end, place in ((0, max(sides.start - step, 0)), (-1, min(sides.stop - 1 + step, size - 1))):
            beyond = np.take(self._air((*box[:axis], slice(place, place + 1), *box[axis + 1 :])), 0, axis)
            if areas[end] >= np.median(areas) and beyond[np.take(mask, end, axis)].mean() > MOSTLY:
                return True
        return False

    def _part(self, part: Mask, corner: NDArray[np.int64]) -> Part:
        voxels = np.argwhere(part)
        middle = voxels.mean(axis=0)
        nearest = voxels[np.argmin(((voxels - middle) ** 2).sum(axis=1))]
        return Part(len(voxels), _voxel(nearest + corner), _world(self.affine, middle + corner))

    def _around(self, middle_mm: Floats) -> NDArray[np.float32]:
        line = (np.arange(AROUND) - AROUND // 2) * self.known.step_mm
        depth = line if self.label.shape[0] > 1 else line[AROUND // 2 : AROUND // 2 + 1]
        points = np.stack(np.meshgrid(line, line, depth, indexing="ij")).reshape(3, -1) + middle_mm[:, None]
        places = (self.to_voxels[:3, :3] @ points + self.to_voxels[:3, 3:])[::-1]
        values = ndimage.map_coordinates(self.image[0], places, np.float32, order=1, mode="nearest")
        return np.asarray(values.reshape(AROUND, AROUND, len(depth)))


def _separate_parts(mask: Mask) -> list[tuple[Box, Mask]]:
    """The connected parts, the largest first; one that is a single voxel apart from another is no part of its own.

    A contour that is rounded to voxels breaks up at thin tips.
    """
    found = sorted(connected_parts(mask), key=lambda each: -np.count_nonzero(each[1]))
    separate = found[:1]
    for box, part in found[1 : MOST_PARTS + 1]:
        wide = box_around([box], mask.shape, GAP) or box
        mine = np.zeros_like(mask[wide])
        mine[tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, wide, strict=True))] = part
        if not (ndimage.maximum_filter(mine, 2 * GAP + 1) & mask[wide] & ~mine).any():
            separate.append((box, part))
    return separate


def _body(image: NDArray[np.float32], is_ct: bool, steps: NDArray[np.int64]) -> tuple[Mask, Floats]:
    """(what surrounds the body, on a grid of these steps; middle (z, y, x) of the bright voxels)."""
    coarse = image[tuple(slice(None, None, step) for step in steps)]
    threshold = _otsu(coarse)
    bright = coarse > threshold
    air = coarse <= (threshold if is_ct else coarse.min() + DARK * (threshold - coarse.min()))
    parts, _ = ndimage.label(air)
    rims = [np.take(parts, [0, -1], axis) for axis in range(3) if parts.shape[axis] > 1]
    touching = np.unique(np.concatenate([each.ravel() for each in rims]))
    middle = np.argwhere(bright).mean(axis=0) if bright.any() else (np.array(coarse.shape) - 1) / 2
    return np.isin(parts, touching[touching > 0]), middle * steps


def _otsu(values: NDArray[np.float32]) -> float:
    """The threshold between two groups of intensities, extreme ones left out."""
    return float(threshold_otsu(np.clip(values, *np.percentile(values, [0.5, 99.5])).ravel(), nbins=128))


def _constant(image: NDArray[np.float32]) -> Mask:
    """Where a voxel and its neighbours along every axis are equal."""
    size = [3 if axis > 1 else 1 for axis in image.shape]
    return np.asarray(ndimage.maximum_filter(image, size) == ndimage.minimum_filter(image, size))


def _share(mask: Mask, corner: NDArray[np.int64]) -> Share:
    voxels = np.argwhere(mask)
    return Share(len(voxels), _voxel(voxels[len(voxels) // 2] + corner) if len(voxels) else None)


def _voxel(place: NDArray[np.int64]) -> Voxel:
    return int(place[0]), int(place[1]), int(place[2])


def _world(affine: Floats, places: NDArray[np.floating] | NDArray[np.integer]) -> Floats:
    """(z, y, x) in voxels to (x, y, z) in mm, RAS+."""
    return np.asarray(places[..., ::-1] @ affine[:3, :3].T + affine[:3, 3])
