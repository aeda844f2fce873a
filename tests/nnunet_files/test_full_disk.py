"""A disk that fills up while a dataset is written: one sentence, and nothing under a final name.

The limit of a file's size stands for the full disk; ITK writes a cut NIfTI file there and reports no error.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from nnunetv2_dale.preprocessing import main as convert

from nnunetv2_dale.commands.command_line import PLACE_ERRORS
from nnunetv2_dale.label_noise.cli import main as corrupt_labels
from nnunetv2_dale.nnunet_files.volume_writing import write_volume, written_whole
from nnunetv2_dale.preview.cli import main as preview
from tests.datasets import NnunetFolders, write_raw_dataset
from tests.datasets import write_volume as save_volume
from tests.nnunet_files.fixtures import full_after

NOISE = np.random.default_rng(0).integers(0, 250, (12, 40, 40)).astype(np.uint8)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_a_volume_that_is_not_written_whole_is_an_error(tmp_path: Path, ending: str) -> None:
    volume = SimpleITK.GetImageFromArray(NOISE)
    write_volume(volume, tmp_path / f"whole{ending}")
    with full_after(4096), pytest.raises(OSError, match="could not be written"):
        write_volume(volume, tmp_path / f"cut{ending}")


@pytest.fixture
def raw(nnunet_folders: NnunetFolders) -> Path:
    """`nnUNet_raw` with a dataset whose labels are larger than its images."""
    write_raw_dataset(nnunet_folders.raw / "Dataset004_Full", {"a": NOISE % 2}, {"a": [NOISE * 0]})
    return nnunet_folders.raw


def test_a_noisy_copy_leaves_nothing(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = (raw / "Dataset004_Full/labelsTr/a.nii.gz").stat().st_size
    noise = ["-d", "4", "--new_id", "904", "--kind", "shift", "--amount", "0", "-np", "1", "--link", "symbolic"]
    for limit in (100, size - 100):
        with full_after(limit):
            assert corrupt_labels(noise) == 2
        told = f"stopped: {raw / 'Dataset904_Full'}: (File too large|could not be written whole)"
        assert re.search(told, capsys.readouterr().err)
        assert [path.name for path in raw.iterdir()] == ["Dataset004_Full"]


def test_a_conversion_leaves_nothing(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "source"
    for name in ("imagesTr/a", "labelsTr/a"):
        save_volume(NOISE % 2, source / f"{name}.mha")
    with full_after(1024):
        flags = ["--classes", "a", "--channels", "MR", "-np", "1"]
        assert convert(["nifti_pairs", "-i", str(source), "-d", "5", *flags]) == 2
    assert f"stopped: {raw / 'Dataset005_Converted'}: could not be written" in capsys.readouterr().err
    assert [path.name for path in raw.iterdir()] == ["Dataset004_Full"]


def test_a_noisy_copy_without_its_folds_leaves_nothing(raw: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folds go to the disk of the preprocessed data, which fills up first."""
    folds = raw.parent / "folds.json"
    folds.write_text(json.dumps([{"train": ["a"], "val": []}] * 500))
    noise = ["-d", "4", "--new_id", "904", "--kind", "shift", "--amount", "1", "-np", "1", "--splits", str(folds)]
    with full_after(20000):
        assert corrupt_labels(noise) == 2
    place = raw.parent / "preprocessed/Dataset904_Full/splits_final.json"
    assert f"stopped: {place}: File too large; nothing half-written" in capsys.readouterr().err
    assert [path.name for path in raw.iterdir()] == ["Dataset004_Full"]
    assert list((raw.parent / "preprocessed").iterdir()) == []
    assert corrupt_labels(noise) == 0
    assert len(json.loads(place.read_text())) == 500


def test_folds_by_patient_are_written_everywhere_or_nowhere(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`splits_patients.json` is the smaller file here, so it is the folds that find the disk full."""
    for name in "bcdef":
        for place in ("imagesTr/{}_0000", "labelsTr/{}"):
            file = raw / "Dataset004_Full" / (place.format(name) + ".nii.gz")
            file.symlink_to(raw / "Dataset004_Full" / (place.format("a") + ".nii.gz"))
    table = raw.parent / "patients.csv"
    table.write_text("case,patient\n" + "".join(f"{name},{name}\n" for name in "abcdef"))
    (raw.parent / "preprocessed/Dataset004_Full").mkdir()
    before = sorted(raw.parent.rglob("*"))
    words = ["splits", "-d", "4", "--patients", str(table)]
    with full_after(100):
        assert convert(words) == 2
    assert "splits_final.json: File too large; nothing half-written" in capsys.readouterr().err
    assert sorted(raw.parent.rglob("*")) == before
    assert convert(words) == 0
    made = {str(path.relative_to(raw.parent)) for path in set(raw.parent.rglob("*")) - set(before)}
    files = ("splits_final.json", "splits_patients.json")
    assert made == {f"{place}/Dataset004_Full/{file}" for place in ("raw", "preprocessed") for file in files}


def test_pictures_appear_together(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert preview(["-d", "4", "-o", str(tmp_path / "first")]) == 0
    words = ["-d", "4", "-o", str(tmp_path / "new/pictures"), "--html"]
    with full_after((tmp_path / "first/a.png").stat().st_size):  # not enough for the page, which holds the picture
        assert preview(words) == 2
    assert f"stopped: {tmp_path / 'new/pictures/index.html'}: File too large" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert preview(words) == 0
    assert {path.name for path in (tmp_path / "new/pictures").iterdir()} == {"a.png", "index.html"}


def test_a_library_that_fails_without_a_number_is_an_error_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="encoder error") as told, written_whole(tmp_path / "a.png"):
        raise OSError("encoder error -2 when writing image file")  # as Pillow says that the disk is full
    assert told.value.errno in PLACE_ERRORS
