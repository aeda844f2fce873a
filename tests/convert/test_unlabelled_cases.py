"""`nnUNetv2_dale_convert unlabelled`: images of one's own as cases that hold the ignore label."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from nnunetv2_dale.preprocessing import main

from tests.datasets import NnunetFolders, change_description, files_in, write_raw_dataset, write_volume

SHAPE = (3, 6, 7)


@pytest.fixture
def raw(nnunet_folders: NnunetFolders) -> Path:
    """`nnUNet_raw` with six labelled cases of two channels, and a folder of two images without labels."""
    label = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(np.uint8) % 3
    images = {f"c{number}": [np.full(SHAPE, number, np.float32)] * 2 for number in range(6)}
    write_raw_dataset(
        nnunet_folders.raw / "Dataset027_Hearts",
        dict.fromkeys(images, label),
        images,
        channel_names={"0": "MR", "1": "T2"},
        labels={"background": 0, "whole": [1, 2], "core": 2},
        regions_class_order=[1, 2],
    )
    for name, value in {"new": 50.0, "other": 60.0}.items():
        for channel in range(2):
            path = nnunet_folders.root / f"imagesUn/{name}_000{channel}.nii.gz"
            write_volume(np.full((4, 5, 6), value + channel, np.float32), path, spacing_zyx=(2.0, 1.5, 1.0))
    return nnunet_folders.raw


def _add(raw: Path, *flags: str) -> int:
    words = ["unlabelled", "-d", "27", "-i", str(raw.parent / "imagesUn"), "--new_id", "127", "-np", "1"]
    return main([*words, *flags])


def test_unlabelled_images_become_cases_that_train_in_every_fold(raw: Path) -> None:
    (raw / "Dataset027_Hearts" / "confidence.csv").write_text("case,weight\nc1,0.5\n")  # a copy keeps what is known
    source = files_in(raw / "Dataset027_Hearts")
    assert _add(raw) == 0
    copy = raw / "Dataset127_Hearts"
    copied = files_in(copy)
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
    assert files_in(copy) == copied


def test_the_datasets_own_folds_and_ignore_label_are_kept(raw: Path) -> None:
    folder = raw / "Dataset027_Hearts"
    labels = {"background": 0, "a": 1, "b": 2, "ignore": 3}
    change_description(folder, labels=labels)
    splits = [{"train": [f"c{number}" for number in range(4)], "val": ["c4", "c5"]}]
    (folder / "splits_final.json").write_text(json.dumps(splits))
    assert _add(raw) == 0
    copy = raw / "Dataset127_Hearts"
    assert json.loads((copy / "dataset.json").read_text())["labels"] == labels
    expected = [{"train": ["c0", "c1", "c2", "c3", "new", "other"], "val": ["c4", "c5"]}]
    assert json.loads((copy / "splits_final.json").read_text()) == expected


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda folder: (folder / "new_0001.nii.gz").unlink(), "case other has channels 0000, 0001"),
        (lambda folder: [path.unlink() for path in folder.glob("*_0001.nii.gz")], "has 1 channel instead of 2"),
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
