"""What one case shows of its label by itself: a small record, with which cases are compared.

Places are in the patient: (x, y, z) in mm, RAS+, as the file's header has it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.nnunet_files.geometry import NO_DEPTH

Floats = NDArray[np.float64]
Voxel = tuple[int, int, int]


@dataclass(frozen=True)
class Part:
    """A connected part of a class: its size, one of its voxels (z, y, x), and its middle."""

    voxels: int
    voxel: Voxel
    middle_mm: Floats


@dataclass(frozen=True)
class Share:
    """How many voxels of a class are so, and one of them; None without any."""

    voxels: int
    voxel: Voxel | None


@dataclass(frozen=True)
class ClassRecord:
    """One class of one case that has it."""

    voxels: int  # its size
    parts: tuple[Part, ...]  # the largest first; those a single voxel apart from others left out
    corners_mm: Floats  # (2, 3) lowest and highest place of the largest part
    cut: bool  # whether it ends where the scan ends, so that more of it may lie outside
    constant: Share  # where the image is constant around: padding
    outside: Share  # outside of the body, in what surrounds it
    contrast: float  # of its border (`border_contrast`); NaN without a border
    # (P, P, P or 1) the image around the middle of its largest part, along x, y and z in steps of some mm
    around: NDArray[np.float32]
    # (V,) how well the label fits the image, moved by each of `intensities.steps` (`intensities.fit`)
    fits: NDArray[np.float32]

    @property
    def middle_mm(self) -> Floats:
        """Of its largest part."""
        return self.parts[0].middle_mm


@dataclass(frozen=True)
class CaseRecord:
    """One case."""

    case: str
    checksum: str
    spacing_mm: tuple[float, ...]
    affine: Floats
    shape: tuple[int, ...]
    classes: dict[str, ClassRecord]  # key → record, of the classes that the label has
    body_mm: Floats  # the middle of what is bright in the image
    corners_mm: Floats  # (2, 3) lowest and highest place of the image

    @property
    def planar(self) -> bool:
        return self.shape[0] == 1

    @property
    def length(self) -> str:
        """The unit of a length: a picture has no mm."""
        return "px" if self.planar and self.spacing_mm[0] == NO_DEPTH else "mm"
