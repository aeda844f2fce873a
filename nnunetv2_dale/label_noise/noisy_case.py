"""One case: its Dice at an amount of noise, and its files in the noisy copy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.label_noise.agreement import Change, changed_fractions, changes, hd95_mm
from nnunetv2_dale.label_noise.noise_model import KINDS, NoiseModel
from nnunetv2_dale.masks.overlap import Mask, dice
from nnunetv2_dale.nnunet_files.geometry import axis_first, require_same_voxels, slice_axis
from nnunetv2_dale.nnunet_files.placing import Placement, place
from nnunetv2_dale.nnunet_files.problems import FileError, Problem, attempt
from nnunetv2_dale.nnunet_files.raw_dataset import RawCase
from nnunetv2_dale.nnunet_files.volume_writing import write_label
from nnunetv2_dale.nnunet_files.volumes import read_image, read_label
from nnunetv2_dale.pages.case_fuzziness import case_fuzziness


@dataclass(frozen=True)
class CaseJob:
    """What a worker needs to know of a case."""

    case: RawCase  # it has a label
    reader: Any  # nnU-Net's reader/writer
    allowed: frozenset[int]  # the label values of the dataset
    ignore_label: int | None
    model: NoiseModel | None  # the noise; None keeps the label clean
    scale: float = 0.0  # factor of the noise's amounts
    target: Path | None = None  # folder of the copy, where something is written
    placement: Placement = "copy"  # how images and clean labels get there

    @property
    def label_path(self) -> Path:
        """The clean label's file."""
        if self.case.label is None:
            raise ValueError(f"case {self.case.name} has no label")
        return self.case.label


@dataclass(frozen=True)
class CaseRow:
    """A line of the table: noisy against clean label. The fields are its columns."""

    case: str
    kind: str  # "" where the label stayed clean
    amount: float
    unit: str
    dice: float  # of all foreground together
    hd95_mm: float  # NaN where one of the two has no foreground
    voxels_foreground: int  # of the clean label
    voxels_added: int
    voxels_removed: int
    voxels_reclassified: int
    changed_fuzzy: float  # fraction of the voxels in the fuzzy region, m >= tau; NaN without such a region
    changed_elsewhere: float
    voxels_unlabelled: int

    @property
    def is_changed(self) -> bool:
        """Whether the noise changed any voxel; some kinds leave small or absent structures as they are."""
        changed = self.voxels_added + self.voxels_removed + self.voxels_reclassified + self.voxels_unlabelled
        return changed > 0


def check_label(job: CaseJob) -> list[Problem]:
    """Say what is wrong with the clean label's file."""
    problems: list[Problem] = []
    attempt(problems, job.label_path, lambda: read_label(job.reader, job.label_path, job.allowed))
    return problems


@dataclass(frozen=True)
class Effect:
    """What noise does to a label: Dice of all foreground together, noisy against clean."""

    is_changed: bool
    has_foreground: bool
    dice: float


def effect_of_noise(job: CaseJob) -> Effect:
    """Measure what the job's noise does at its scale."""
    clean, noisy, _ = _clean_and_noisy(job)
    before, after = (_foreground(label, job.ignore_label) for label in (clean, noisy))
    return Effect(not np.array_equal(clean, noisy), bool(before.any()), dice(before, after))


def write_case(job: CaseJob) -> CaseRow | Problem:
    """Write a case into the copy: images, clean and noisy label, map of changes; and compare the two labels.

    A label that does not change is the clean file, byte for byte.
    """
    assert job.target is not None
    clean, noisy, properties = _clean_and_noisy(job)
    try:
        image, of_image = read_image(job.reader, job.case.images)
        require_same_voxels(
            job.label_path, (clean.shape, properties), job.case.images[0], (image.shape[1:], of_image), "mend the label"
        )
    except FileError as error:
        return error.problem
    change = changes(clean, noisy, job.ignore_label)
    for path in job.case.images:
        place(path, job.target / "imagesTr" / path.name, job.placement)
    place(job.label_path, job.target / "labelsTr_clean" / job.label_path.name, job.placement)
    noisy_path = job.target / "labelsTr" / job.label_path.name
    if change.any():
        write_label(job.reader, noisy, noisy_path, properties)
    else:
        place(job.label_path, noisy_path)
    if noisy.max() > np.iinfo(np.uint8).max and not np.array_equal(job.reader.read_seg(str(noisy_path))[0][0], noisy):
        return Problem(job.label_path, "has labels above 255, which nnU-Net's writer for this dataset cannot write")
    write_label(job.reader, change, job.target / "labelsTr_changed" / job.label_path.name, properties)
    return _row(job, image, clean, noisy, change, _spacing_mm(properties))


def _row(
    job: CaseJob,
    image: NDArray[np.float32],
    clean: NDArray[np.int16],
    noisy: NDArray[np.int16],
    change: NDArray[np.uint8],
    spacing_mm: tuple[float, float, float],
) -> CaseRow:
    config, first = DaleConfig(), slice_axis(clean.shape)
    image = np.moveaxis(image, 1 + first, 1)
    clean, noisy, change = np.moveaxis(clean, first, 0), np.moveaxis(noisy, first, 0), np.moveaxis(change, first, 0)
    spacing_mm = axis_first(spacing_mm, first)
    m = case_fuzziness(image, clean, spacing_mm, config.patch_size, config.entropy_bins, job.ignore_label).combined()
    changed_fuzzy, changed_elsewhere = changed_fractions(change != Change.NONE, m >= config.fuzzy_threshold)
    kind, amount = ("", 0.0) if job.model is None else job.model.draw(job.case.name, job.scale)
    before, after = (_foreground(label, job.ignore_label) for label in (clean, noisy))
    return CaseRow(
        case=job.case.name,
        kind=kind,
        amount=amount,
        unit=KINDS[kind].unit if kind else "",
        dice=dice(before, after),
        hd95_mm=hd95_mm(before, after, spacing_mm),
        voxels_foreground=int(before.sum()),
        voxels_added=int((change == Change.ADDED).sum()),
        voxels_removed=int((change == Change.REMOVED).sum()),
        voxels_reclassified=int((change == Change.RECLASSIFIED).sum()),
        changed_fuzzy=changed_fuzzy,
        changed_elsewhere=changed_elsewhere,
        voxels_unlabelled=int((change == Change.UNLABELLED).sum()),
    )


def _clean_and_noisy(job: CaseJob) -> tuple[NDArray[np.int16], NDArray[np.int16], dict[str, Any]]:
    clean, properties = read_label(job.reader, job.label_path, job.allowed)
    if job.model is None:
        return clean, clean, properties
    return clean, job.model.corrupt(clean, _spacing_mm(properties), job.case.name, job.scale), properties


def _foreground(label: NDArray[np.int16], ignore_label: int | None) -> Mask:
    foreground: Mask = label > 0
    return foreground if ignore_label is None else foreground & (label != ignore_label)


def _spacing_mm(properties: dict[str, Any]) -> tuple[float, float, float]:
    z, y, x = (float(value) for value in properties["spacing"])
    return z, y, x
