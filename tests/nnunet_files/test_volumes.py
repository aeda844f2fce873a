"""What a label and an image may hold, and where they lie: one answer in every command that reads them."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from nnunetv2.imageio.nibabel_reader_writer import NibabelIO
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.imageio.tif_reader_writer import Tiff3DIO

from nnunetv2_dale.audit.cli import main as audit
from nnunetv2_dale.label_noise.cli import main as corrupt_labels
from nnunetv2_dale.nnunet_files.problems import FileError
from nnunetv2_dale.nnunet_files.volumes import read_image, read_label, reader_of
from nnunetv2_dale.preview.cli import main as preview
from nnunetv2_dale.report.cli import main as report
from tests.audit.fixtures import make_study
from tests.datasets import ELLIPSOIDS, change_description

CASE = "case_03"
NOISE = ["--kind", "dilate", "--amount", "1"]
COMMANDS: dict[str, Callable[[list[str], list[str]], int]] = {
    "audit": lambda folders, output: audit([folders[0], *places(), *output, "-np", "1"]),
    "report": lambda folders, output: report([*folders, *places(), *output, "-np", "1", "--resamples", "9"]),
    "preview": lambda _, output: preview(["-d", "777", *output, "--cases", CASE]),
    "corrupt_labels": lambda _, output: corrupt_labels(
        ["-d", "777", "--new_id", "778", "--kind", "dilate", "--amount", "1"]
    ),
}


def places() -> list[str]:
    """Where the copy's labels and images are: its summaries name the original's."""
    raw = Path(os.environ["nnUNet_raw"]) / ELLIPSOIDS  # noqa: SIM112 (nnU-Net's name)
    return ["--references", str(raw / "labelsTr"), "--images", str(raw / "imagesTr")]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw dataset and two result folders; read with nibabel, which hands NaN on. One label is found to be wrong."""
    root = tmp_path_factory.mktemp("study")
    raw, folders = make_study(root, {3: "missed_object"}, 12, referees=2)
    change_description(raw / ELLIPSOIDS, *folders, overwrite_image_reader_writer="NibabelIO")
    return root


@pytest.fixture
def study(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[Path]]:
    """(raw dataset, two result folders), to be damaged."""
    root = shutil.copytree(original, tmp_path / "study")
    monkeypatch.setenv("nnUNet_raw", str(root / "raw"))
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)
    return root / "raw" / ELLIPSOIDS, sorted((root / "results" / ELLIPSOIDS).iterdir())


def changed(file: Path, change: Callable[[np.ndarray[Any, Any]], None], dtype: type = np.float32) -> None:
    stored = nibabel.nifti1.load(file)
    voxels = np.asarray(stored.dataobj).astype(dtype)
    change(voxels)
    nibabel.save(nibabel.Nifti1Image(voxels, stored.affine), file)


def put(value: float) -> Callable[[np.ndarray[Any, Any]], None]:
    def change(voxels: np.ndarray[Any, Any]) -> None:
        voxels[1, 2, 3:5] = value

    return change


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("file", "value", "sentence"),
    [
        (f"labelsTr/{CASE}.nii.gz", 7, r"holds the label 7 \(in 2 voxels\), but dataset\.json knows only \[0, 1, 2\]"),
        (f"labelsTr/{CASE}.nii.gz", 0.5, r"holds the label 0\.5 \(in 2 voxels\)"),
        (f"labelsTr/{CASE}.nii.gz", np.nan, r"holds the label nan \(in 2 voxels\)"),
        (f"imagesTr/{CASE}_0000.nii.gz", np.nan, r"holds NaN or infinite intensities \(in 2 voxels\)"),
        (f"imagesTr/{CASE}_0000.nii.gz", -np.inf, r"holds NaN or infinite intensities \(in 2 voxels\)"),
    ],
)
def test_every_command_refuses_what_no_label_or_image_holds(
    command: str,
    file: str,
    value: float,
    sentence: str,
    study: tuple[Path, list[Path]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    raw, folders = study
    changed(raw / file, put(value))
    before = sorted(tmp_path.rglob("*"))
    assert COMMANDS[command]([str(folder) for folder in folders], ["-o", str(tmp_path / "out")]) == 2
    assert re.search(re.escape(Path(file).name) + ":? " + sentence, capsys.readouterr().err)
    assert sorted(tmp_path.rglob("*")) == before


def test_report_and_audit_tell_of_a_misplaced_prediction_in_the_same_words(study, tmp_path) -> None:
    _, (first, second) = study
    file = first / "fold_1" / "validation" / f"{CASE}.nii.gz"
    stored = nibabel.nifti1.load(file)
    nibabel.save(nibabel.Nifti1Image(np.asarray(stored.dataobj), stored.affine + np.eye(4, k=3) * 6), file)
    told = []
    for name, command in (("audit", audit), ("report", report)):
        folders = [str(first), *([str(second)] if name == "report" else [])]
        assert command([*folders, *places(), "-o", str(tmp_path / name), "-np", "1"]) == 0
        content = json.loads((tmp_path / name / f"{name}.json").read_text())
        sentences = [each for each in (*content["missing"], *content.get("remarks", [])) if "stored with" in each]
        told.append((content["misplaced"], sentences))
    assert told[0] == told[1]
    assert told[0][0] == [
        {"case": CASE, "run": first.name, "file": file.name, "differs": ["origin"], "apart_mm": pytest.approx(6)}
    ]
    assert "the predictions of 1 case (case_03) are stored with another origin than the references" in told[0][1][0]
    assert told[0][1][0] in (tmp_path / "audit" / "audit.html").read_text().replace("&#39;", "'")


def test_an_audit_reads_every_label_and_prediction_once(study: tuple[Path, list[Path]], tmp_path, monkeypatch) -> None:
    read: Counter[str] = Counter()
    real = NibabelIO.read_seg
    monkeypatch.setattr(NibabelIO, "read_seg", lambda self, file: read.update([file]) or real(self, file))
    raw, folders = study
    assert audit([*map(str, folders), *places(), "-o", str(tmp_path / "audit"), "-np", "1"]) == 0
    assert (tmp_path / "audit" / "maps" / f"{CASE}_consensus.nii.gz").is_file()  # so there were maps and pictures
    files = [*(raw / "labelsTr").iterdir(), *(each for f in folders for each in f.glob("fold_*/validation/*.nii.gz"))]
    assert read == dict.fromkeys(map(str, files), 1)


def test_without_a_description_any_whole_number_is_a_label(tmp_path: Path) -> None:
    file = tmp_path / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.full((4, 4, 5), 300, np.float32), np.eye(4)), file)
    assert np.unique(read_label(SimpleITKIO(), file, None)[0]).tolist() == [300]
    for value in (1.5, 1e6, np.inf):
        changed(file, put(value))
        with pytest.raises(FileError, match=r"in 2 voxels\), but whole numbers up to 32767"):
            read_label(NibabelIO(), file, None)


def test_of_several_channels_the_right_one_is_named(tmp_path: Path) -> None:
    files = [tmp_path / f"a_{number:04d}.nii.gz" for number in range(2)]
    for file in files:
        nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 5), np.float32), np.eye(4)), file)
    changed(files[1], put(np.nan))
    with pytest.raises(FileError, match=r"a_0001\.nii\.gz holds NaN"):
        read_image(NibabelIO(), files)
    assert np.isfinite(read_image(SimpleITKIO(), files)[0]).all()  # ITK reads NaN in NIfTI as 0, as in a training


def test_the_reader_is_the_one_of_the_training(tmp_path: Path) -> None:
    plans = {"image_reader_writer": "NibabelIO"}
    assert isinstance(reader_of({"file_ending": ".nii.gz"}, None, plans), NibabelIO)
    assert isinstance(reader_of({"file_ending": ".nii.gz"}, None), SimpleITKIO)
    overwritten = {"file_ending": ".tif", "overwrite_image_reader_writer": "Tiff3DIO"}
    assert isinstance(reader_of(overwritten, None, plans), Tiff3DIO)
