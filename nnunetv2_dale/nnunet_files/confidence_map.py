"""Maps of confidence, `confidenceTr/CASE.ENDING`: read with everything that may be wrong with one, and written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import SimpleITK
from numpy.typing import NDArray

from nnunetv2_dale.nnunet_files.confidence_table import MAPS
from nnunetv2_dale.nnunet_files.folders import files_by_case
from nnunetv2_dale.nnunet_files.geometry import NO_DEPTH, Stored, affine_of, require_same_grid
from nnunetv2_dale.nnunet_files.json_files import write_json
from nnunetv2_dale.nnunet_files.placing import spacing_file
from nnunetv2_dale.nnunet_files.problems import FileError, Problem
from nnunetv2_dale.nnunet_files.raw_dataset import RawDataset
from nnunetv2_dale.nnunet_files.volume_writing import write_nifti, write_volume, written_whole
from nnunetv2_dale.nnunet_files.volumes import Properties, read_values

if TYPE_CHECKING:
    from nnunetv2.imageio.base_reader_writer import BaseReaderWriter

_PICTURES, _PICTURE_OF_ONE = (".png", ".bmp"), 255  # such pictures hold whole numbers; 255 is a confidence of 1
_ROUNDING = 1e-5  # by which a map may leave [0, 1]; it is cut


def map_files(dataset: RawDataset, folder: str = MAPS) -> dict[str, Path]:
    """Case → its file in a folder beside `labelsTr`, of the cases that have one.

    Args:
        folder: its name, such as "ratersTr/anna".
    """
    return files_by_case(dataset.folder / folder, dataset.file_ending)


def name_problems(dataset: RawDataset, folder: str = MAPS) -> list[Problem]:
    """Files in a folder beside `labelsTr` that belong to no case of the dataset, or have another ending."""
    place, cases = dataset.folder / folder, {case.name for case in dataset.cases}
    of_cases = {file for case, file in map_files(dataset, folder).items() if case in cases}
    beside = {spacing_file(file) for file in of_cases}
    return [
        Problem(path, f"belongs to no case of the dataset; expected a name like {min(cases)}{dataset.file_ending}")
        for path in (sorted(place.iterdir()) if place.is_dir() else ())
        if path not in of_cases | beside and not path.name.startswith(".")
    ]


def read_confidence_map(reader: BaseReaderWriter, file: Path, label: Path, stored: Stored) -> NDArray[np.float32]:
    """Read a map of confidence.

    Returns:
        (Z, Y, X) in [0, 1]; a picture (PNG, BMP) holds 255 for 1.
    Raises:
        FileError: damaged or unreadable, NaN, values outside [0, 1], or not on the voxels of the label.
    """
    values, properties = read_values(reader, file)
    confidence = values.astype(np.float32)
    require_same_grid(file, (confidence.shape, properties), label, stored, "a map lies on the voxels of its label")
    if not np.isfinite(confidence).all() or _hides_nan(file):
        raise FileError(file, "holds NaN or infinite values; a confidence lies between 0 and 1")
    return _in_range(confidence, file)


def write_confidence_map(confidence: NDArray[Any], target: Path, properties: Properties) -> None:
    """Write a map (Z, Y, X) in [0, 1] as the dataset's reader reads it back.

    Args:
        target: its ending says in which format. 8-bit pictures round to 1/255.
    """
    confidence = np.asarray(confidence, np.float32)
    if "nibabel_stuff" in properties:
        with written_whole(target):
            write_nifti(confidence, affine_of(properties, confidence.shape), target)
    elif "sitk_stuff" in properties:
        stored = properties["sitk_stuff"]
        volume = SimpleITK.GetImageFromArray(confidence if len(stored["spacing"]) == 3 else confidence[0])
        volume.SetSpacing(stored["spacing"])
        volume.SetOrigin(stored["origin"])
        volume.SetDirection(stored["direction"])
        write_volume(volume, target)
    else:
        _write_picture(confidence, target, properties)


def _write_picture(confidence: NDArray[np.float32], target: Path, properties: Properties) -> None:
    import skimage.io
    import tifffile

    with written_whole(target):
        if target.name.lower().endswith(_PICTURES):
            whole = np.rint(confidence[0] * _PICTURE_OF_ONE).astype(np.uint8)
            skimage.io.imsave(str(target), whole, check_contrast=False)
        else:
            is_picture = properties["spacing"][0] == NO_DEPTH
            tifffile.imwrite(str(target), confidence[0] if is_picture else confidence, compression="zlib")
            if not is_picture:  # TIFF holds no voxel size, so nnU-Net reads it from a file beside
                write_json(target.with_suffix(".json"), {"spacing": list(properties["spacing"])})


def _in_range(confidence: NDArray[np.float32], file: Path) -> NDArray[np.float32]:
    if file.name.lower().endswith(_PICTURES):
        if confidence.max() == 1:
            raise FileError(file, "has 1 as its highest value; in a picture a confidence of 1 is written as 255")
        confidence = confidence / np.float32(_PICTURE_OF_ONE)
    low, high = float(confidence.min()), float(confidence.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise FileError(file, f"holds values from {low:g} to {high:g}; a confidence lies between 0 and 1")
    return np.clip(confidence, 0, 1)


def _hides_nan(file: Path) -> bool:
    """Whether a NIfTI file holds what ITK's reader makes 0 without a word."""
    if not file.name.lower().endswith((".nii", ".nii.gz")):
        return False
    stored: Any = nibabel.load(file)
    return not np.isfinite(np.asanyarray(stored.dataobj)).all()
