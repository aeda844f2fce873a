"""Maps of a case in the image's geometry: where its label is suspect, how far displaced, what the referees say."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nnunetv2_dale.audit.audit_task import AuditTask
from nnunetv2_dale.audit.case_volumes import CaseVolumes
from nnunetv2_dale.audit.components import compare_objects
from nnunetv2_dale.audit.evidence import class_boxes
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.masks.overlap import Mask
from nnunetv2_dale.masks.surface import surface_pair
from nnunetv2_dale.nnunet_files.atomic_output import new_file
from nnunetv2_dale.nnunet_files.problems import FileError
from nnunetv2_dale.nnunet_files.volume_reading import require_whole
from nnunetv2_dale.nnunet_files.volume_writing import write_nifti

NAMES = ("suspicion", "displacement", "consensus")


def map_file(folder: Path, case: str, name: str) -> Path:
    """Say where a map lies: CASE_suspicion.nii.gz, and the others of `NAMES`."""
    return folder / f"{case}_{name}.nii.gz"


def read_map(file: Path, shape: Sequence[int]) -> NDArray[Any]:
    """Read a map, (Z, Y, X).

    Raises:
        UserError: it is missing, damaged or of another shape than its label.
    """
    try:
        require_whole(file)
    except FileError as error:
        raise UserError(f"{error}; audit again") from error
    array = np.asarray(nibabel.Nifti1Image.from_filename(file).dataobj).transpose(2, 1, 0).copy()
    if array.shape != shape:
        raise UserError(f"{file} has the shape {array.shape}, but its label has {shape}; audit again")
    return array


def has_maps(folder: Path, case: str) -> bool:
    """Say whether all maps of a case are written."""
    return all(map_file(folder, case, name).is_file() for name in NAMES)


def write_maps(
    volumes: CaseVolumes,
    case: str,
    task: AuditTask,
    chances: Mapping[str, float],
    kinds: Mapping[str, Collection[str]],
    folder: Path,
) -> None:
    """Write the three maps of a case.

    Args:
        chances: class key → chance that the label is wrong there.
    """
    for name, array in (
        ("suspicion", suspicion_map(volumes, task, chances, kinds)),
        ("displacement", displacement_map(volumes, task)),
        ("consensus", volumes.consensus),
    ):
        with new_file(map_file(folder, case, name), overwrite=True) as unfinished:
            write_nifti(array, volumes.affine, unfinished)


def suspicion_map(
    volumes: CaseVolumes, task: AuditTask, chances: Mapping[str, float], kinds: Mapping[str, Collection[str]]
) -> NDArray[np.float32]:
    """Return the chance that the label of each voxel is wrong, (Z, Y, X) in [0, 1].

    Of each class |y − s|, y the label and s the referees' support, times the chance that the label of this class is
    wrong in this case; the highest of all classes. Within one voxel of the border a difference counts only where the
    whole border lies that way: on the outside of a label that is too wide, the inside of one too narrow, both of one
    that is shifted.
    """
    result = np.zeros(volumes.label.shape, np.float32)
    for item, box in class_boxes(volumes, task.classes).items():
        label, referees = (np.isin(each[box], item.values) for each in (volumes.label, volumes.consensus))
        wrong = np.abs(label - volumes.support_of(item, box))
        found = kinds.get(item.key, ()) or kinds.get("", ())
        if not {"wider", "shifted", "other_case", "flipped"} & set(found):
            wrong[label & ~referees & _dilated(referees)] = 0
        if not {"narrower", "shifted", "other_case", "flipped"} & set(found):
            wrong[referees & ~label & _dilated(label)] = 0
        wrong[label == referees] = 0
        inside = result[box]
        np.maximum(inside, wrong * np.float32(chances.get(item.key, 0.0)), out=inside)
    return result


def displacement_map(volumes: CaseVolumes, task: AuditTask) -> NDArray[np.float32]:
    """Say how far, in mm, the label's border lies outside (+) or inside (−) of the referees'; (Z, Y, X), 0 off the
    border.

    At the outermost voxels of each class that both have. A voxel with several faces shows the farthest.
    """
    result = np.zeros(volumes.label.shape, np.float32)
    for item, box in class_boxes(volumes, task.classes).items():
        objects = compare_objects(volumes.label[box], volumes.consensus[box], item.values, {})
        pair = surface_pair(objects.label_common, objects.referees_common, volumes.spacing_mm)
        if pair is None:
            continue
        order = np.argsort(np.abs(pair.first_mm), kind="stable")  # of equal places the last one written counts
        result[box][tuple(pair.first.inside[order].T)] = pair.first_mm[order]
    return result


def _dilated(mask: Mask) -> Mask:
    return np.asarray(ndimage.binary_dilation(mask))
