"""A raw dataset is written whole or not at all, and refused with every reason at once."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from nnunetv2_dale.preprocessing import main

from nnunetv2_dale import __version__
from tests.convert.fixtures import colour_picture, disc, make_isic2016, make_polyp, save
from tests.datasets import NnunetFolders, write_raw_dataset, write_volume


def _volumes(root: Path, count: int = 3) -> Path:
    images = {f"case_{number}": [np.full((3, 4, 5), number, np.int16)] for number in range(count)}
    label = np.ones((3, 4, 5), np.uint8)
    return write_raw_dataset(root, dict.fromkeys(images, label), images, labels={"background": 0, "all": 1})


def _convert(source: Path, dataset_id: int = 501, *flags: str, recipe: str = "nifti_pairs") -> int:
    return main([recipe, "-i", str(source), "--new_id", str(dataset_id), "-np", "1", *flags])


def test_the_manifest_names_source_files_with_their_checksums(tmp_path: Path, nnunet_folders: NnunetFolders) -> None:
    source = _volumes(tmp_path / "source")
    assert _convert(source) == 0
    manifest = json.loads((nnunet_folders.raw / "Dataset501_Converted/manifest.json").read_text())
    assert (manifest["recipe"], manifest["nnunetv2_dale"]) == ("nifti_pairs", __version__)
    assert [case["case"] for case in manifest["cases"]] == ["case_0", "case_1", "case_2"]
    for case in manifest["cases"]:
        assert len(case["sha256"]) == 2
        for name, checksum in case["sha256"].items():
            assert hashlib.sha256((source / name).read_bytes()).hexdigest() == checksum


def test_workers_write_the_same_as_one_process(tmp_path: Path, nnunet_folders: NnunetFolders) -> None:
    source = _volumes(tmp_path / "source")
    assert _convert(source, 501) == 0
    assert main(["nifti_pairs", "-i", str(source), "--new_id", "502", "-np", "2"]) == 0
    one, two = (nnunet_folders.raw / f"Dataset50{number}_Converted" for number in (1, 2))
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file() and path.name != "dataset.json")
    assert len(files) == 7
    assert all((one / path).read_bytes() == (two / path).read_bytes() for path in files)


def test_every_problem_is_in_one_report_and_nothing_is_written(tmp_path, nnunet_folders: NnunetFolders, capsys) -> None:
    source = make_polyp(tmp_path / "source with a space", train=6)
    train = source / "TrainDataset"
    (train / "masks/0.png").unlink()
    (train / "images/1.png").unlink()
    save(train / "masks/2.png", 7 * disc(2))
    save(train / "masks/3.png", disc(3, (10, 60)))
    (train / "images/4.png").write_bytes(b"\x89PNG but not really")
    save(train / "images/a b.png", colour_picture(50))
    save(train / "masks/a b.png", disc(50))
    save(train / "images/A_B.png", colour_picture(51))
    save(train / "masks/A_B.png", disc(51))
    save(train / "images/5.jpg", colour_picture(5))
    (source / "TestDataset/Kvasir/images/0.png").unlink()
    (nnunet_folders.results / "Dataset501_Other").mkdir()
    (nnunet_folders.raw / "Dataset501_Polyp").mkdir()

    assert _convert(source, recipe="polyp") == 2
    report = capsys.readouterr().err
    expected = [
        "TrainDataset/images/0.png: has no label in masks",
        "TrainDataset/masks/1.png: has no image in images",
        "TrainDataset/masks/2.png: unknown label values 7 (202 voxels); known are 0, 1",
        "TrainDataset/masks/3.png: the mask is 60 x 10 pixels, its picture 48 x 40: not even the same aspect ratio",
        "TrainDataset/images/4.png: cannot be read as a picture",
        "TrainDataset/images/a b.png: would be named a_b, the name of A_B.png after conversion",
        "TrainDataset/images/5.png: has the same name as 5.jpg; keep one of them",
        "TestDataset/Kvasir/images: holds no file",
        "TestDataset/Kvasir/masks/0.png: has no image in images",
        "results/Dataset501_Other: has the id 501 already",
        "raw/Dataset501_Polyp: already exists; give another id, or --overwrite to replace it",
    ]
    assert [line for line in expected if line not in report] == []
    assert f"nothing was written, because of {len(expected)} problems:" in report
    assert [path.name for path in nnunet_folders.raw.iterdir()] == ["Dataset501_Polyp"]
    assert list((nnunet_folders.raw / "Dataset501_Polyp").iterdir()) == []


def test_a_source_that_is_something_else(tmp_path: Path, nnunet_folders: NnunetFolders, capsys) -> None:
    (tmp_path / "empty").mkdir()
    for recipe in ("synapse", "btcv", "mosmed_plus", "isic2016", "polyp", "left_atrium", "lidc"):
        assert _convert(tmp_path / "empty", recipe=recipe) == 2
        assert "missing" in capsys.readouterr().err
    assert _convert(tmp_path / "nowhere") == 2
    assert "is not a folder" in capsys.readouterr().err
    assert _convert(tmp_path / "empty") == 2
    assert "--classes" in capsys.readouterr().err
    assert list(nnunet_folders.raw.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--new_id", "0"], "between 1 and 999"),
        (["--new_id", "1000"], "between 1 and 999"),
        (["--new_id", "5", "--name", "../up"], "a dataset name has none of"),
    ],
)
def test_flags_that_make_no_sense(tmp_path, nnunet_folders: NnunetFolders, capsys, flags: list[str], message) -> None:
    assert main(["nifti_pairs", "-i", str(_volumes(tmp_path / "source")), *flags]) == 2
    assert message in capsys.readouterr().err


def test_no_place_to_write_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.delenv("nnUNet_raw", raising=False)
    source = _volumes(tmp_path / "source")
    assert _convert(source) == 2
    assert "nnUNet_raw is not set" in capsys.readouterr().err
    assert _convert(source, 501, "-o", str(tmp_path / "made on the way")) == 0
    assert (tmp_path / "made on the way/Dataset501_Converted/dataset.json").is_file()


def test_overwrite_replaces_only_the_dataset_of_that_name(tmp_path: Path, nnunet_folders: NnunetFolders) -> None:
    source = _volumes(tmp_path / "source")
    assert _convert(source) == 0
    stale = nnunet_folders.raw / "Dataset501_Converted/stale"
    stale.touch()
    assert _convert(source) == 2
    assert stale.is_file()
    assert _convert(source, 501, "--overwrite", "--name", "Other") == 2
    assert _convert(source, 501, "--overwrite") == 0
    assert not stale.exists()
    _convert(source, 502)
    for name, content in (("label_noise.json", '{"nnunetv2_dale": "1.0.0"}'), ("manifest.json", "{}")):
        (nnunet_folders.raw / "Dataset502_Converted" / name).write_text(content)
        assert _convert(source, 502, "--overwrite") == 2
        (nnunet_folders.raw / "Dataset502_Converted/label_noise.json").unlink(missing_ok=True)


def test_a_dataset_of_nnunet_itself_is_never_replaced(tmp_path: Path, nnunet_folders: NnunetFolders, capsys) -> None:
    mine = nnunet_folders.raw / "Dataset501_Converted"
    mine.mkdir()
    source = _volumes(tmp_path / "source")
    assert _convert(source, 501, "--overwrite") == 0  # an empty folder holds nothing to lose
    (mine / "manifest.json").unlink()
    before = sorted(mine.rglob("*"))
    assert _convert(source, 501, "--overwrite") == 2
    assert "already exists and is no earlier result of this command; give another id" in capsys.readouterr().err
    assert sorted(mine.rglob("*")) == before


def test_a_file_in_place_of_the_target_folder_is_told_with_the_other_problems(tmp_path, nnunet_folders, capsys) -> None:
    (tmp_path / "file.txt").write_text("mine")
    source = _volumes(tmp_path / "source")
    for place in ("file.txt", "file.txt/sub"):
        assert _convert(source, 501, "-o", str(tmp_path / place)) == 2
        assert "file.txt is no folder, so" in capsys.readouterr().err


def test_another_split_in_use_is_a_problem(tmp_path: Path, nnunet_folders: NnunetFolders, capsys) -> None:
    source = make_isic2016(tmp_path / "source")
    used = nnunet_folders.preprocessed / "Dataset501_ISIC2016/splits_final.json"
    used.parent.mkdir()
    used.write_text('[{"train": ["ISIC_0000000"], "val": ["ISIC_0000001"]}]')
    assert _convert(source, recipe="isic2016") == 2
    assert "holds another split" in capsys.readouterr().err
    splits = [{"train": [f"ISIC_{n:07d}" for n in range(6)], "val": [f"ISIC_{n:07d}" for n in (6, 7)]}]
    used.write_text(json.dumps(splits))
    assert _convert(source, recipe="isic2016") == 0


def test_counts_that_differ_from_the_published_ones_are_said(tmp_path, nnunet_folders: NnunetFolders, caplog) -> None:
    assert _convert(make_polyp(tmp_path / "source"), recipe="polyp") == 0
    assert "6 training cases were found, the published dataset has 1450" in caplog.text
    assert "1 CVC-300 test cases were found, the published dataset has 60" in caplog.text


@pytest.mark.integration
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_conversion_leaves_no_dataset(tmp_path: Path, how: signal.Signals) -> None:
    source = tmp_path / "source"
    random = np.random.default_rng(0)
    for number in range(40):
        image = random.integers(0, 4000, (40, 160, 160)).astype(np.int16)
        write_volume(image, source / f"imagesTr/case_{number}_0000.nii.gz") if number == 0 else os.link(
            source / "imagesTr/case_0_0000.nii.gz", source / f"imagesTr/case_{number}_0000.nii.gz"
        )
        write_volume(np.zeros(image.shape, np.uint8), source / f"labelsTr/case_{number}.nii.gz")
    command = [sys.executable, "-c", "import sys; from nnunetv2_dale.preprocessing import main; sys.exit(main())"]
    flags = ["nifti_pairs", "-i", str(source), "-o", str(tmp_path / "raw"), "--new_id", "501", "-np", "2"]
    flags += ["--classes", "all", "--channels", "CT"]
    running = subprocess.Popen([*command, *flags], stderr=subprocess.PIPE, start_new_session=True, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("raw/.unfinished_*/imagesTr/*")):
        assert running.poll() is None, running.stderr.read() if running.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(running.pid, how)
    _, said = running.communicate(timeout=60)
    assert list(tmp_path.glob("raw/Dataset*")) == []
    if how == signal.SIGINT:
        assert running.returncode == 130
        assert not (tmp_path / "raw").exists()
        assert "interrupted" in said
        assert "Traceback" not in said
