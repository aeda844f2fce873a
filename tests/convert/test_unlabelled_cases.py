"""`nnUNetv2_dale_convert unlabelled`: images of one's own as cases that hold the ignore label."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from nnunetv2_dale.preprocessing import main

from tests.convert.fixtures import save_volume

SHAPE = (3, 6, 7)


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`nnUNet_raw` with six labelled cases of two channels, and a folder of two images without labels."""
    for name in ("raw", "preprocessed", "results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    folder = tmp_path / "raw/Dataset027_Hearts"
    for number in range(6):
        for channel in range(2):
            save_volume(folder / f"imagesTr/c{number}_000{channel}.nii.gz", np.full(SHAPE, number, np.float32))
        save_volume(
            folder / f"labelsTr/c{number}.nii.gz", np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(np.uint8) % 3
        )
    for name, value in {"new": 50.0, "other": 60.0}.items():
        for channel in range(2):
            path = tmp_path / f"imagesUn/{name}_000{channel}.nii.gz"
            save_volume(path, np.full((4, 5, 6), value + channel, np.float32), spacing=(1.0, 1.5, 2.0))
    labels = {"background": 0, "whole": [1, 2], "core": 2}
    description = {"channel_names": {"0": "MR", "1": "T2"}, "labels": labels, "regions_class_order": [1, 2]}
    text = json.dumps({**description, "numTraining": 6, "file_ending": ".nii.gz"})
    (folder / "dataset.json").write_text(text)
    return tmp_path / "raw"


def _add(raw: Path, *flags: str) -> int:
    words = ["unlabelled", "-d", "27", "-i", str(raw.parent / "imagesUn"), "--new_id", "127", "-np", "1"]
    return main([*words, *flags])


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_unlabelled_images_become_cases_that_train_in_every_fold(raw: Path) -> None:
    source = _files(raw / "Dataset027_Hearts")
    assert _add(raw) == 0
    copy = raw / "Dataset127_Hearts"
    copied = _files(copy)
    assert {name: copied[name] for name in source if name != "dataset.json"} == {
        name: content for name, content in source.items() if name != "dataset.json"
    }
    for name in ("new", "other"):
        label, image = (
            SimpleITK.ReadImage(str(copy / file))
            for file in (f"labelsTr/{name}.nii.gz", f"imagesTr/{name}_0001.nii.gz")
        )
        assert (SimpleITK.GetArrayFromImage(label) == 3).all()
        assert label.GetSize() == image.GetSize()
        assert label.GetSpacing() == pytest.approx(image.GetSpacing())
        assert label.GetOrigin() == pytest.approx(image.GetOrigin())
    described = json.loads(copied["dataset.json"])
    assert described["labels"] == {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
    assert described["numTraining"] == 8
    splits = json.loads(copied["splits_final.json"])
    assert sorted(case for fold in splits for case in fold["val"]) == [f"c{number}" for number in range(6)]
    assert all({"new", "other"} < set(fold["train"]) for fold in splits)
    assert json.loads((raw.parent / "preprocessed/Dataset127_Hearts/splits_final.json").read_text()) == splits
    assert _add(raw) == 2
    assert _add(raw, "--overwrite") == 0
    assert _files(copy) == copied


def test_the_datasets_own_folds_and_ignore_label_are_kept(raw: Path) -> None:
    folder = raw / "Dataset027_Hearts"
    description = json.loads((folder / "dataset.json").read_text())
    description["labels"] = {"background": 0, "a": 1, "b": 2, "ignore": 3}
    (folder / "dataset.json").write_text(json.dumps(description))
    splits = [{"train": [f"c{number}" for number in range(4)], "val": ["c4", "c5"]}]
    (folder / "splits_final.json").write_text(json.dumps(splits))
    assert _add(raw) == 0
    copy = raw / "Dataset127_Hearts"
    assert json.loads((copy / "dataset.json").read_text())["labels"] == description["labels"]
    expected = [{"train": ["c0", "c1", "c2", "c3", "new", "other"], "val": ["c4", "c5"]}]
    assert json.loads((copy / "splits_final.json").read_text()) == expected


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda folder: (folder / "new_0001.nii.gz").unlink(), "case other has channels 0000, 0001"),
        (lambda folder: [path.unlink() for path in folder.glob("*_0001.nii.gz")], "has 1 channels instead of 2"),
        (lambda folder: [path.unlink() for path in folder.iterdir()], "found no images"),
        (lambda folder: (folder / "scan.nrrd").touch(), "scan.nrrd: would be left out"),
        (lambda folder: (folder / "new_0000.nii.gz").write_bytes(b"no image"), "new_0000.nii.gz: is damaged"),
        (lambda folder: [p.rename(folder / p.name.replace("new", "c3")) for p in folder.glob("new*")], "case c3 is in"),
    ],
)
def test_images_that_the_dataset_cannot_take_are_named(raw: Path, change, sentence, capsys) -> None:
    change(raw.parent / "imagesUn")
    assert _add(raw) == 2
    assert sentence in capsys.readouterr().err
    assert not (raw / "Dataset127_Hearts").exists()
