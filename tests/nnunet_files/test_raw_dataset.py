"""Reading a raw dataset's description and cases, and what is said when they are not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.folders import dataset_folder, environment_folder
from nnunetv2_dale.nnunet_files.raw_dataset import read_dataset


def _dataset(folder: Path, **changes: object) -> Path:
    (folder / "imagesTr").mkdir(parents=True)
    labels = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
    description = {"channel_names": {"0": "CT", "1": "PET"}, "labels": labels, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps({**description, **changes}))
    return folder


def test_cases_have_their_channels_and_labels(tmp_path: Path) -> None:
    folder = _dataset(tmp_path / "Dataset007_Two")
    (folder / "labelsTr").mkdir()
    for name in ("imagesTr/b_0000", "imagesTr/b_0001", "imagesTr/a_0000", "imagesTr/a_0001", "labelsTr/b"):
        (folder / f"{name}.nii.gz").touch()
    dataset = read_dataset(folder)
    assert [(case.name, len(case.images), case.label is None) for case in dataset.cases] == [
        ("a", 2, True),
        ("b", 2, False),
    ]
    assert dataset.label_values == {0, 1, 2, 3}
    assert dataset.foreground_values == (1, 2)
    assert dataset.ignore_label == 3
    assert dataset.is_ct


def test_missing_parts_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no training images"):
        read_dataset(_dataset(tmp_path / "Dataset001_Empty"))
    with pytest.raises(UserError, match=r"dataset.json cannot be read: there is no such file"):
        read_dataset(tmp_path / "Dataset002_None")
    (tmp_path / "Dataset001_Empty" / "dataset.json").write_text("{}")
    with pytest.raises(UserError, match="lacks labels and file_ending"):
        read_dataset(tmp_path / "Dataset001_Empty")
    monkeypatch.setenv("nnUNet_raw", f'"{tmp_path}"')
    with pytest.raises(UserError, match="quotation marks as part of the folder"):
        environment_folder("nnUNet_raw")
    monkeypatch.delenv("nnUNet_raw", raising=False)
    with pytest.raises(UserError, match="nnUNet_raw is not set"):
        environment_folder("nnUNet_raw")


def test_a_dataset_is_found_by_id_and_name(tmp_path: Path) -> None:
    for name in ("Dataset007_Two", "Dataset008_A", "Dataset008_B"):
        (tmp_path / name).mkdir()
    (tmp_path / "Dataset007_Two.zip").touch()  # the download, beside what was in it
    assert dataset_folder(tmp_path, "7") == dataset_folder(tmp_path, "Dataset007_Two") == tmp_path / "Dataset007_Two"
    for wanted, message in (("8", "several datasets"), ("9", "no dataset"), ("Two", "id from 1 to 999")):
        with pytest.raises(UserError, match=message):
            dataset_folder(tmp_path, wanted)


def test_a_case_named_for_a_date_has_the_channel_at_its_end(tmp_path: Path) -> None:
    folder = _dataset(tmp_path / "Dataset001_Dates", channel_names={"0": "CT"})
    for name in ("scan_2019.05_0000", "scan_2020.11_0000"):
        (folder / "imagesTr" / f"{name}.nii.gz").touch()
    assert [case.name for case in read_dataset(folder).cases] == ["scan_2019.05", "scan_2020.11"]


def test_a_case_with_a_gap_between_its_channels_is_named(tmp_path: Path) -> None:
    folder = _dataset(tmp_path / "Dataset007_Two")
    for name in ("a_0000", "a_0001", "b_0000", "b_0002"):
        (folder / f"imagesTr/{name}.nii.gz").touch()
    with pytest.raises(UserError, match="case b has channels 0000, 0002, but case a has channels 0000, 0001"):
        read_dataset(folder)
    (folder / "imagesTr/b_0002.nii.gz").unlink()
    with pytest.raises(UserError, match="case b has channel 0000, but case a has channels 0000, 0001"):
        read_dataset(folder)
    for name in ("a_0000", "b_0000"):
        (folder / f"imagesTr/{name}.nii.gz").unlink()
    (folder / "imagesTr/b_0001.nii.gz").touch()
    with pytest.raises(UserError, match="case a has the channels 0001; nnU-Net counts from 0000"):
        read_dataset(folder)


@pytest.mark.parametrize(
    "stray", ["imagesTr/c_0000.nii", "imagesTr/c.nii.gz", "labelsTr/c.mha", "imagesTr/c_0000.NII.GZ"]
)
def test_an_image_that_would_be_left_out_is_named(tmp_path: Path, stray: str) -> None:
    folder = _dataset(tmp_path / "Dataset007_Two")
    (folder / "labelsTr").mkdir()
    for name in ("imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "imagesTr/notes.txt", "imagesTr/._a_0000.nii.gz"):
        (folder / name).touch()
    (folder / "imagesTr/._a_0000.nii.gz").unlink()
    assert len(read_dataset(folder).cases) == 1
    (folder / stray).touch()
    with pytest.raises(UserError, match="would be left out: expected a name like CASE"):
        read_dataset(folder)
