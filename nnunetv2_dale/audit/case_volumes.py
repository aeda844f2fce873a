"""One case in memory: its label, what the referees find together, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.audit.audit_task import AuditedClass, AuditTask, CaseInputs
from nnunetv2_dale.audit.crossing_regions import label_map_of
from nnunetv2_dale.masks.boxes import box_around, box_of
from nnunetv2_dale.nnunet_files.atomic_output import new_file
from nnunetv2_dale.nnunet_files.geometry import affine_of, grid_difference, grid_of, require_same_voxels
from nnunetv2_dale.nnunet_files.npz_channels import npz_channels
from nnunetv2_dale.nnunet_files.results.misplaced import Misplaced, misplaced_file
from nnunetv2_dale.nnunet_files.volumes import Properties, label_checksum, read_image, read_label

Labels = NDArray[np.uint8] | NDArray[np.int16]


@dataclass(frozen=True)
class CaseVolumes:
    """All arrays are (Z, Y, X) of the label file; 2D images have Z = 1. Ignored voxels are background in all."""

    label: Labels  # the given label map
    consensus: Labels  # the class that most referees give; a tie goes to the first
    # class key → share of the referees that find the class in a voxel (with `.npz`: their mean probability), in 1/255,
    # in `box`; empty where a single referee says yes or no. "" is any class. See `support_of`.
    support: dict[str, NDArray[np.uint8]]
    box: tuple[slice, ...]  # the part of the volume that holds all foreground, with a margin; `support` has this shape
    spacing_mm: tuple[float, ...]  # of the axes
    affine: NDArray[np.float64]  # from voxel (x, y, z) to RAS+ mm
    misplaced: tuple[Misplaced, ...] = ()  # the predictions that are stored elsewhere than the label
    checksum: str = ""  # of the label as its file has it

    def support_of(self, item: AuditedClass, box: tuple[slice, ...]) -> NDArray[np.float32]:
        """Return the referees' support of a class in [0, 1], in a part of the foreground's box.

        That of a single referee without `.npz` is 0 or 1.
        """
        if item.key not in self.support:
            return np.isin(self.consensus[box], item.values).astype(np.float32)
        inner = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, self.box, strict=True))
        return self.support[item.key][inner].astype(np.float32) / np.float32(255)


MARGIN_VOXELS = 3
_REMEDY = "validate again (nnUNetv2_train … --val), or give the labels it was trained with (--references)"


def read_case(inputs: CaseInputs, task: AuditTask) -> CaseVolumes:
    """Read the label and every referee's prediction; without referees the label stands for their consensus too.

    Raises:
        UserError: a file that cannot be read, values the dataset does not have, or shapes and spacings that differ.
    """
    label, properties, checksum = _labels(inputs.label, task)
    grid = grid_of(properties, label.shape)
    predictions, misplaced = [], []
    for referee, file, npz in zip(inputs.referees, inputs.predictions, inputs.probabilities, strict=True):
        prediction, others, _ = _labels(file, task)
        require_same_voxels(file, (prediction.shape, others), inputs.label, (label.shape, properties), _REMEDY)
        apart = grid_difference(grid_of(others, prediction.shape), grid)
        misplaced += misplaced_file(inputs.case, referee, file, apart)
        predictions.append(label_map_of(file, npz, label.shape, task) if task.crossing_regions else prediction)
    ignored = None if task.ignore_label is None else label == task.ignore_label
    if ignored is not None:
        for each in (label, *predictions):
            each[ignored] = 0
    boxes = [box for each in (label, *predictions) if (box := box_of(each > 0)) is not None]
    box = box_around(boxes, label.shape, MARGIN_VOXELS) or tuple(slice(0, size) for size in label.shape)
    consensus = predictions[0] if predictions else label
    if len(predictions) > 1:
        consensus = np.zeros_like(label)
        consensus[box] = _majority([each[box] for each in predictions])
    files = [file for file in inputs.probabilities if file is not None]
    all_soft = bool(files) and len(files) == len(predictions)
    support = _mean_probabilities(files, task, label.shape, box) if all_soft else {}
    if len(predictions) > 1:
        voted = (item for item in task.judged if item.key not in support)
        support |= {item.key: _votes([each[box] for each in predictions], item) for item in voted}
    if ignored is not None:
        for share in support.values():
            share[ignored[box]] = 0
    return CaseVolumes(
        label=label,
        consensus=consensus,
        support=support,
        box=box,
        spacing_mm=tuple(float(step) for step in properties["spacing"]),
        affine=affine_of(properties, label.shape),
        misplaced=tuple(misplaced),
        checksum=checksum,
    )


def read_images(inputs: CaseInputs, task: AuditTask, volumes: CaseVolumes) -> NDArray[np.float32]:
    """Read the images (C, Z, Y, X) of a case."""
    images, properties = read_image(task.reader, inputs.images)
    of_label = volumes.label.shape, {"spacing": volumes.spacing_mm}
    remedy = "give the images that belong to the labels" + (" (--images)" if task.referees else "")
    require_same_voxels(inputs.images[0], (images.shape[1:], properties), inputs.label, of_label, remedy)
    return images


def keep_case(volumes: CaseVolumes, file: Path) -> None:
    """Write what was read of a case as `.npz`: the foreground's box, and where it lies."""
    with new_file(file, overwrite=True) as unfinished:
        np.savez_compressed(
            unfinished,
            label=volumes.label[volumes.box],
            consensus=volumes.consensus[volumes.box],
            support=np.array(list(volumes.support.values()), np.uint8),
            keys=np.array(list(volumes.support), str),
            shape=volumes.label.shape,
            box=[(axis.start, axis.stop) for axis in volumes.box],
            spacing_mm=volumes.spacing_mm,
            affine=volumes.affine,
        )


def kept_case(file: Path) -> CaseVolumes:
    """Return what `keep_case` wrote, but for the checksum and what is told of misplaced files."""
    with np.load(file) as kept:
        shape, box = tuple(kept["shape"]), tuple(slice(*map(int, ends)) for ends in kept["box"])
        label, consensus = (np.zeros(shape, kept["label"].dtype) for _ in range(2))
        label[box], consensus[box] = kept["label"], kept["consensus"]
        support = dict(zip(kept["keys"].tolist(), kept["support"], strict=True))
        return CaseVolumes(label, consensus, support, box, tuple(kept["spacing_mm"].tolist()), kept["affine"])


def checksum_text(labels: NDArray[np.int16]) -> str:
    """Return checksum of a label, as `audit.json` and decisions.csv have it: no spreadsheet takes it for a number."""
    return f"crc32:{label_checksum(labels)}"


def _labels(file: Path, task: AuditTask) -> tuple[Labels, Properties, str]:
    """A label map in little memory, with its checksum."""
    labels, properties = read_label(task.reader, file, task.label_values)
    checksum = checksum_text(labels)
    return (labels.astype(np.uint8) if max(task.label_values) < 256 else labels), properties, checksum


def _majority(predictions: Sequence[Labels]) -> Labels:
    """The most frequent value of each voxel; a tie goes to the first referee's."""
    winner, most = predictions[0].copy(), sum((each == predictions[0]).astype(np.uint8) for each in predictions)
    for number, candidate in enumerate(predictions[1:], start=1):
        votes = sum((each == candidate).astype(np.uint8) for each in predictions)
        better = votes > most
        winner[better] = predictions[number][better]
        most = np.maximum(most, votes)
    return winner


def _mean_probabilities(
    files: Sequence[Path], task: AuditTask, shape: Sequence[int], box: tuple[slice, ...]
) -> dict[str, NDArray[np.uint8]]:
    """Class key → mean of all files, one channel of them at a time; any class is what is not background."""
    support = {}
    audited = {item.key for item in task.classes}
    channels = zip(*(npz_channels(file, shape, len(task.channels)) for file in files), strict=True)
    for key, each in zip(task.channels, channels, strict=True):
        if key not in audited and not task.whole:
            continue
        total = np.zeros([axis.stop - axis.start for axis in box], np.float32)
        for channel in each:
            total += channel[box]
        mean = total / np.float32(len(files))
        share = _in_255ths(1 - mean if key == "0" else mean)
        if key in audited:
            support[key] = share
        if task.whole and "0" not in task.channels:
            support[""] = np.maximum(share, support.get("", share))
        elif key == "0":
            support[""] = share
    return support


def _votes(predictions: Sequence[Labels], item: AuditedClass) -> NDArray[np.uint8]:
    total = np.zeros(predictions[0].shape, np.float32)
    for each in predictions:
        total += np.isin(each, item.values)
    return _in_255ths(total / np.float32(len(predictions)))


def _in_255ths(share: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
