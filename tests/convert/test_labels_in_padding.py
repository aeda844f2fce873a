"""Labels beyond the scan: counted, and told while the dataset is made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from nnunetv2_dale.preprocessing import main

from nnunetv2_dale.convert.case_conversion import labelled_padding
from tests.datasets import write_volume


def scan(shape: tuple[int, ...] = (8, 10, 12)) -> np.ndarray:
    return np.random.default_rng(0).normal(50, 10, shape).astype(np.int16)


def test_only_slices_of_one_value_at_an_end_are_padding() -> None:
    image, labelled = scan(), np.zeros((8, 10, 12), bool)
    image[6:] = image[:, :, 0] = -1024  # two slices at one end, one at another
    image[3, :, 1:] = 7  # constant, but inside of the scan
    labelled[2:8, 4, 4], labelled[3, 2, :2] = True, True
    assert labelled_padding(image, labelled) == 2 + 1


@pytest.mark.parametrize(("image", "count"), [(scan(), 0), (np.full((8, 10, 12), 3), 960)])
def test_all_or_nothing(image: np.ndarray, count: int) -> None:
    assert labelled_padding(image, np.ones(image.shape, bool)) == count


def test_convert_names_the_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    for number in range(3):
        image, label = scan(), np.zeros((8, 10, 12), np.uint8)
        image[6:] = -1024
        label[2:6, 3:6, 3:6] = 1
        if number == 1:
            label[6, 3:6, 3:6] = 1
        write_volume(image, tmp_path / "own" / "imagesTr" / f"case{number}.nii.gz")
        write_volume(label, tmp_path / "own" / "labelsTr" / f"case{number}.nii.gz")
    flags = ["--new_id", "501", "--classes", "organ", "--channels", "CT", "-np", "1"]
    assert main(["nifti_pairs", "-i", str(tmp_path / "own"), *flags]) == 0
    (told,) = [record.getMessage() for record in caplog.records if "padding" in record.getMessage()]
    assert "case1 (9 voxels)" in told
    assert "case0" not in told
