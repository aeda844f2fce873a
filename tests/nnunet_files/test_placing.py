"""A 3D TIFF keeps its voxel size wherever a command puts it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from nnunetv2.imageio.tif_reader_writer import Tiff3DIO

from nnunetv2_dale.label_noise.cli import main as corrupt_labels
from nnunetv2_dale.nnunet_files.placing import Placement, place, place_folder, spacing_file

SPACING = [5.0, 0.5, 0.5]


def save(file: Path, voxels: np.ndarray, described_by: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(file, voxels)
    (file.parent / described_by).write_text(json.dumps({"spacing": SPACING}))


def spacings(dataset: Path, case: str) -> list[list[float]]:
    reader = Tiff3DIO()
    of_labels = [reader.read_seg(str(dataset / name / f"{case}.tif"))[1] for name in ("labelsTr", "labelsTr_clean")]
    image = reader.read_images([str(dataset / "imagesTr" / f"{case}_0000.tif")])[1]
    return [list(each["spacing"]) for each in (image, *of_labels)]


@pytest.mark.parametrize("link", [[], ["--link", "hard"]])
def test_a_noisy_copy_keeps_the_voxel_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: list[str]) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)
    source = tmp_path / "Dataset777_Tiff"
    for number in range(2):
        label = np.zeros((8, 24, 24), np.uint8)
        label[2:6, 6:16, 6 + number : 16] = 1
        save(source / f"imagesTr/c{number}_0000.tif", (label * 50.0).astype(np.float32), f"c{number}.json")
        save(source / f"labelsTr/c{number}.tif", label, f"c{number}.json")
    described = {"labels": {"background": 0, "organ": 1}, "channel_names": {"0": "MRI"}, "file_ending": ".tif"}
    described |= {"numTraining": 2, "overwrite_image_reader_writer": "Tiff3DIO"}
    (source / "dataset.json").write_text(json.dumps(described))
    flags = ["--kind", "dilate", "--amount", "1", "--fraction", "0.5", "-np", "1", *link]
    assert corrupt_labels(["-d", "777", "--new_id", "778", *flags]) == 0
    for case in ("c0", "c1"):
        assert spacings(tmp_path / "Dataset778_Tiff", case) == [SPACING] * 3


@pytest.mark.parametrize("placement", ["copy", "hard", "symbolic"])
def test_channels_share_one_file(tmp_path: Path, placement: Placement) -> None:
    for channel in range(2):
        save(tmp_path / "a" / f"case_0001_000{channel}.tiff", np.zeros((2, 3, 4), np.uint8), "case_0001.json")
    place_folder(tmp_path / "a", tmp_path / "whole", placement)
    (tmp_path / "each").mkdir()
    for file in sorted((tmp_path / "a").glob("*.tiff")):
        place(file, tmp_path / "each" / file.name, placement)
    for folder in ("whole", "each"):
        names = [path.name for path in sorted((tmp_path / folder).iterdir())]
        assert names == ["case_0001.json", "case_0001_0000.tiff", "case_0001_0001.tiff"]
    assert spacing_file(tmp_path / "a" / "case_0002_0000.tiff") is None
