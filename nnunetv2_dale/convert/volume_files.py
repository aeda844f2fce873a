"""3D datasets: NIfTI, NRRD and MHA volumes, with their geometry kept and checked against the label's."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK

from nnunetv2_dale.convert.described_classes import label_map_of, segment_names
from nnunetv2_dale.convert.label_values import merging_advice, to_labels
from nnunetv2_dale.convert.plan import CaseTargets, SourceCase
from nnunetv2_dale.nnunet_files.geometry import Grid, grid_difference, grid_of
from nnunetv2_dale.nnunet_files.problems import Problem, attempt
from nnunetv2_dale.nnunet_files.volume_reading import is_compressed_volume, require_whole
from nnunetv2_dale.nnunet_files.volume_writing import write_volume

_FILE_ENDING = ".nii.gz"


@dataclass(frozen=True)
class VolumeFormat:
    """Volumes with geometry, one file per channel, written as `.nii.gz`. Files that are right already are copied."""

    label_map: Mapping[int, int]  # value in the label file -> label
    # name -> label, for label files of 3D Slicer, whose values mean what their header says
    classes: Mapping[str, int] = field(default_factory=dict)
    mask_threshold: float | None = None  # see `to_labels`
    has_mask_options: bool = False  # the recipe has a flag for it, which a message may name

    def file_ending(self, cases: Sequence[SourceCase]) -> str:
        """Return `.nii.gz`."""
        return _FILE_ENDING

    def convert(self, case: SourceCase, targets: CaseTargets | None) -> list[Problem]:
        """Convert a case, see `CaseFormat.convert`."""
        problems: list[Problem] = []
        volumes = [attempt(problems, path, lambda path=path: read_image(path)) for path in case.images]  # type: ignore[misc]
        first = volumes[0]
        if first is not None:
            for path, other in zip(case.images[1:], volumes[1:], strict=True):
                difference = describe_difference(first, other) if other is not None else None
                if difference:
                    problems.append(Problem(path, f"does not lie on the first channel's grid: {difference}"))
        label = case.label
        labels = attempt(problems, label, lambda: self._read_labels(label, first)) if label is not None else None
        if targets is not None and not problems:
            for source, target in zip(case.images, targets.images, strict=bool(targets.images)):
                _write_unless_copied(source, target, None)
            if labels is not None and label is not None and targets.label is not None:
                _write_unless_copied(label, targets.label, labels)
        return problems

    def _read_labels(self, path: Path, image: SimpleITK.Image | None) -> SimpleITK.Image:
        """The labels on the image's grid, uint8 or uint16."""
        raw = read_volume(path)
        difference = describe_difference(image, raw) if image is not None else None
        if difference:
            raise ValueError(f"does not lie on its image's grid: {difference}")
        names = segment_names(raw) if self.classes else {}
        label_map = label_map_of(raw, names, self.classes) if names else self.label_map
        mask = SimpleITK.GetArrayViewFromImage(raw)
        try:
            found = to_labels(mask, label_map, threshold=self.mask_threshold, of_picture=False)
        except ValueError as error:
            raise ValueError(f"{error}{merging_advice(mask, label_map) if self.has_mask_options else ''}") from error
        labels = SimpleITK.GetImageFromArray(found)
        labels.CopyInformation(image if image is not None else raw)
        return labels


def read_volume(path: Path) -> SimpleITK.Image:
    """Read a scalar volume of three axes; a `ValueError` says what else it is."""
    require_whole(path)
    try:
        volume = SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("ITK ERROR: ") if str(error).strip() else "no reason"
        raise ValueError(f"cannot be read as a volume ({' '.join(reason.split())})") from error
    layers = volume.GetNumberOfComponentsPerPixel()
    if layers > 1 and segment_names(volume):
        raise ValueError(
            f"has {layers} layers of segments that overlap, and a label has one value per voxel; let each voxel belong "
            "to one segment in 3D Slicer"
        )
    if volume.GetDimension() != 3 or layers != 1:
        raise ValueError(
            f"has {volume.GetDimension()} axes and {layers} values per voxel; "
            "a volume of 3 axes with one value is expected"
        )
    return volume


def read_image(path: Path) -> SimpleITK.Image:
    """Read a volume whose intensities have to be finite (ITK, and with it nnU-Net, reads NaN in NIfTI as 0)."""
    volume = read_volume(path)
    if not np.all(np.isfinite(SimpleITK.GetArrayViewFromImage(volume))):
        raise ValueError("holds values that are not finite")
    return volume


def describe_difference(image: SimpleITK.Image, other: SimpleITK.Image) -> str | None:
    """Say how the grids of two volumes differ, or None where they agree.

    They agree if the sizes are equal and each corner lies within a tenth of a voxel of the other's: rounding in
    a header is tolerated as long as it moves no voxel.
    """
    if image.GetSize() != other.GetSize():
        return f"size {other.GetSize()} instead of {image.GetSize()}"
    found = grid_difference(_grid(other), _grid(image))
    if found is None:
        return None
    shown = []
    for name in found.differs:
        mine, theirs = (np.round(getattr(volume, f"Get{name.title()}")(), 4).tolist() for volume in (image, other))
        shown.append(f"{name} {theirs} instead of {mine}")
    return f"{', '.join(shown)}, up to {found.apart_mm:.3g} mm apart"


def _grid(volume: SimpleITK.Image) -> Grid | None:
    stored = {name.lower(): getattr(volume, f"Get{name}")() for name in ("Origin", "Direction", "Spacing")}
    return grid_of({"sitk_stuff": stored}, volume.GetSize()[::-1])


def _write_unless_copied(source: Path, target: Path, labels: SimpleITK.Image | None) -> None:
    """Copy `source` if its bytes are what is wanted, else write `labels`, or the source in the wanted file format."""
    same_format = source.name.lower().endswith(_FILE_ENDING) and is_compressed_volume(source)
    if labels is None:
        if same_format:
            shutil.copyfile(source, target)
        else:
            write_volume(SimpleITK.ReadImage(str(source)), target)
        return
    raw = SimpleITK.ReadImage(str(source))
    is_right = raw.GetPixelID() == labels.GetPixelID() and np.array_equal(
        SimpleITK.GetArrayViewFromImage(raw), SimpleITK.GetArrayViewFromImage(labels)
    )
    exact = all(getattr(raw, f"Get{n}")() == getattr(labels, f"Get{n}")() for n in ("Spacing", "Origin", "Direction"))
    if same_format and is_right and exact:
        shutil.copyfile(source, target)
    else:
        write_volume(labels, target)
