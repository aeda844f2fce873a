"""A CT-like abdomen in Hounsfield units, with true labels and the noisy ones a reader might have drawn.

Everything is a pure function of a seed. `make_phantom` makes one case in memory; `write_phantom_dataset` writes as many
as wanted as an nnU-Net raw dataset, with nothing to download.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK
from nnunetv2.dataset_conversion.generate_dataset_json import generate_dataset_json
from scipy.ndimage import gaussian_filter

from nnunetv2_dale.demo.anatomy import LABELS, FloatArray, draw_patient
from nnunetv2_dale.demo.boundary_noise import move_boundaries
from nnunetv2_dale.nnunet_files.atomic_output import new_folder
from nnunetv2_dale.nnunet_files.json_files import write_json
from nnunetv2_dale.nnunet_files.volume_writing import write_volume

DEFAULT_SHAPE = (24, 96, 128)
DEFAULT_SPACING_MM = (5.0, 2.8, 2.8)
NOISE_HU = 14.0
WANDER_MM = 1.8
WIDE_MM = 5.6  # how much further out the second reader draws every boundary
LESION_EDGE_DOUBLING = 0.012  # edge width (of the half field) at which the boundary of a lesion wanders twice as far


@dataclass(frozen=True)
class Phantom:
    """One case; all arrays are (z, y, x)."""

    image_hu: npt.NDArray[np.int16]  # air is about -1000, bone up to about 500
    clean_label: npt.NDArray[np.uint8]  # the truth, values of `anatomy.LABELS`
    noisy_label: npt.NDArray[np.uint8]  # the truth with moved boundaries, for training


def make_phantom(
    seed: int | Sequence[int],
    shape: Sequence[int] = DEFAULT_SHAPE,
    spacing_mm: Sequence[float] = DEFAULT_SPACING_MM,
    noise_hu: float = NOISE_HU,
    boundary_noise_mm: float = WANDER_MM,
    wider_mm: float = 0.0,
) -> Phantom:
    """Make one case.

    The anatomy is stretched to fill the grid, so small grids hold every class too.

    Args:
        seed: equal seeds (and equal other arguments) give equal cases.
        shape: voxels along z, y and x; at least 8 x 32 x 32, so that every class has room.
        spacing_mm: distance of voxels along z, y and x.
        noise_hu: standard deviation of the image noise in the middle of the body.
        boundary_noise_mm: how far organ boundaries wander in the noisy labels (standard deviation); those of lesions
            wander further, by as much as their edges are gradual. 0 leaves the labels clean.
        wider_mm: how much further out the reader of this case draws every boundary.
    Raises:
        ValueError: a grid too small, or a spacing that is not positive.
    """
    if len(shape) != 3 or any(size < least for size, least in zip(shape, (8, 32, 32), strict=True)):
        raise ValueError(f"a phantom needs a shape (z, y, x) of at least (8, 32, 32) voxels, got {tuple(shape)}")
    if len(spacing_mm) != 3 or min(spacing_mm) <= 0:
        raise ValueError(f"spacing must be three positive distances in mm (z, y, x), got {tuple(spacing_mm)}")
    if min(noise_hu, boundary_noise_mm, wider_mm) < 0:
        raise ValueError(f"noise cannot be negative, got {noise_hu} HU, {boundary_noise_mm} mm and {wider_mm} mm wider")
    anatomy_rng, scanner_rng, reader_rng = np.random.default_rng(seed).spawn(3)
    patient = draw_patient(shape, anatomy_rng)
    wander_mm = boundary_noise_mm * (1 + patient.lesion_edge / LESION_EDGE_DOUBLING)
    noisy = move_boundaries(patient.label, spacing_mm, wander_mm, reader_rng, wider_mm)
    return Phantom(scan(patient.image_hu, noise_hu, scanner_rng), patient.label, noisy)


def scan(anatomy_hu: FloatArray, noise_hu: float, rng: np.random.Generator) -> npt.NDArray[np.int16]:
    """Make of the anatomy what a scanner does: blur in all directions, then noise with the grain of a reconstruction.

    Args:
        anatomy_hu: (z, y, x).
        noise_hu: standard deviation in the middle of the field; it falls to half of that towards the rim.
        rng: where the noise comes from.
    """
    blurred = gaussian_filter(anatomy_hu, sigma=(0.45, 0.6, 0.6))
    white = rng.standard_normal(anatomy_hu.shape, dtype=np.float32)
    grain = gaussian_filter(white, (0, 0.6, 0.6)) - 0.5 * gaussian_filter(white, (0, 1.8, 1.8))
    y, x = (np.linspace(-1, 1, size, dtype=np.float32) for size in anatomy_hu.shape[1:])
    towards_the_middle = 0.5 + 0.5 * np.exp(-2 * (y[:, None] ** 2 + x[None, :] ** 2))
    noisy = blurred + noise_hu * towards_the_middle * grain / grain.std()
    image: npt.NDArray[np.int16] = np.clip(np.rint(noisy), -1024, 3071).astype(np.int16)
    return image


def write_phantom_dataset(
    folder: Path,
    *,
    dataset_id: int = 998,
    name: str = "DalePhantom",
    training_cases: int = 10,
    validation_cases: int = 0,
    test_cases: int = 4,
    seed: int = 0,
    shape: Sequence[int] = DEFAULT_SHAPE,
    spacing_mm: Sequence[float] = DEFAULT_SPACING_MM,
    on_case: Callable[[str], object] = lambda case: None,
) -> Path:
    """Write an nnU-Net raw dataset of phantoms, complete or not at all.

    `imagesTr`, `labelsTr` and `imagesTs` are nnU-Net's; `labelsTr_clean` and `labelsTs` hold the truth. `labelsTr` is
    noisy, but for the validation cases; a part of the training cases is a second reader's, who draws wider everywhere.
    Case k is the same whatever the number of cases.

    Args:
        folder: nnU-Net's raw folder; the dataset becomes the sub-folder `DatasetXXX_Name` of it.
        training_cases, validation_cases, test_cases: how many, in this order.
        seed, shape, spacing_mm: see `make_phantom`.
        on_case: called with each case's name when it is written, for a progress bar.
    Returns:
        the dataset's folder.
    Raises:
        UserError: the dataset exists.
    """
    target = Path(folder) / f"Dataset{dataset_id:03d}_{name}"
    with new_folder(target) as unfinished:
        wide = []
        for index in range(training_cases + validation_cases + test_cases):
            case, is_noisy = case_name(index), index < training_cases
            is_wide = is_noisy and index % 5 in (2, 4)
            wide += [case] if is_wide else []
            errors_mm = (WANDER_MM if is_noisy else 0.0, WIDE_MM if is_wide else 0.0)
            phantom = make_phantom((seed, index), shape, spacing_mm, NOISE_HU, *errors_mm)
            files: dict[str, npt.NDArray[Any]] = {
                f"imagesTs/{case}_0000": phantom.image_hu,
                f"labelsTs/{case}": phantom.clean_label,
            }
            if index < training_cases + validation_cases:
                labels = {f"labelsTr/{case}": phantom.noisy_label, f"labelsTr_clean/{case}": phantom.clean_label}
                files = {f"imagesTr/{case}_0000": phantom.image_hu, **labels}
            for file, array in files.items():
                image = SimpleITK.GetImageFromArray(array)
                image.SetSpacing([float(value) for value in reversed(spacing_mm)])
                (unfinished / file).parent.mkdir(exist_ok=True)
                write_volume(image, unfinished / f"{file}.nii.gz")
            on_case(case)
        generate_dataset_json(
            str(unfinished),
            channel_names={0: "CT"},
            labels=LABELS,
            num_training_cases=training_cases + validation_cases,
            file_ending=".nii.gz",
            dataset_name=name,
            description="Synthetic abdominal CT; labelsTr has moved boundaries and two readers, labelsTr_clean and "
            "labelsTs have the truth.",
            license="CC0-1.0",
            converted_by="nnunetv2_dale.demo.phantom",
        )
        grid = {"shape": [int(size) for size in shape], "spacing_mm": [float(distance) for distance in spacing_mm]}
        noise = {"noise_hu": NOISE_HU, "boundary_noise_mm": WANDER_MM, "wide_mm": WIDE_MM, "drawn_wide": wide}
        drawn_with = {"seed": seed, **grid, **noise}
        write_json(unfinished / "phantom.json", drawn_with)
    return target


def case_name(index: int) -> str:
    """Return the name of a case by its number."""
    return f"phantom_{index:03d}"
