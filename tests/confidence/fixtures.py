"""A tiny raw dataset, preprocessed by nnU-Net, to which tests add what people know about its labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK

from tests.datasets import CASES, NnunetFolders, preprocess, write_phantoms

NAME = "Dataset950_Known"


@dataclass(frozen=True)
class Study:
    """The dataset's two folders."""

    folders: NnunetFolders

    @property
    def raw(self) -> Path:
        return self.folders.raw / NAME

    @property
    def preprocessed(self) -> Path:
        return self.folders.preprocessed / NAME

    def read(self, place: str, case: str = CASES[0]) -> np.ndarray:
        """(Z, Y, X) of `labelsTr`, or of another folder; of `imagesTr` the first channel."""
        channel = "_0000" if place == "imagesTr" else ""
        return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(self.raw / place / f"{case}{channel}.nii.gz")))

    def write(self, place: str, array: np.ndarray, case: str = CASES[0], spacing: float | None = None) -> Path:
        """Write a map or a label on the voxels of the case's label; `spacing` widens those."""
        path = self.raw / place / f"{case}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = SimpleITK.GetImageFromArray(array)
        image.CopyInformation(SimpleITK.ReadImage(str(self.raw / "labelsTr" / path.name)))
        if spacing is not None:
            image.SetSpacing([spacing] * 3)
        SimpleITK.WriteImage(image, str(path))
        return path

    def write_image(self, array: np.ndarray, case: str = CASES[0]) -> None:
        path = str(self.raw / "imagesTr" / f"{case}_0000.nii.gz")
        image = SimpleITK.GetImageFromArray(array)
        image.CopyInformation(SimpleITK.ReadImage(path))
        SimpleITK.WriteImage(image, path)


def write_study(root: Path) -> None:
    """Make it, without confidence; the first case's image is 0 at a side, where nnU-Net crops it."""
    folders = NnunetFolders(root)
    write_phantoms(folders, NAME)
    made = Study(folders)
    image = made.read("imagesTr")
    image[:, :7], image[:, :, 35:] = 0, 0
    made.write_image(image)
    preprocess(folders, NAME, ("2d", "3d_fullres", "3d_lowres"))
