"""What the command refuses, with one sentence and nothing written."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK

from nnunetv2_dale.report.cli import main
from tests.datasets import ellipsoids, write_volume
from tests.report.fixtures import FAST, Study

PREDICTION = "fold_1/validation/case_03.nii.gz"
OTHER_LABELS = json.dumps({"labels": {"background": 0, "a": 1, "b": 2}})


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:300])


def stale(file: Path) -> None:
    # of another size: where references are named, they judge anew, and only the prediction's own voxels can tell
    write_volume(np.where(np.arange(14)[:, None, None] < 7, ellipsoids(3), 0), file)


@pytest.mark.parametrize(
    ("name", "damage", "named"),
    [
        (PREDICTION, Path.unlink, r"fold_1/validation/case_03\.nii\.gz is missing"),
        ("fold_1/validation/summary.json", cut, r"fold_1/validation/summary\.json is not valid JSON .*cut off"),
        (
            PREDICTION,
            lambda file: write_volume(ellipsoids(3)[:, :, 1:], file),
            r"case_03\.nii\.gz has shape \(14, 48, 47\), but .*labelsTr/case_03\.nii\.gz has \(14, 48, 48\)",
        ),
        (
            PREDICTION,
            lambda file: write_volume(ellipsoids(3), file, (3.0, 1.0, 2.0)),
            r"case_03\.nii\.gz has a voxel size in mm of \(3, 1, 2\)",
        ),
        (PREDICTION, stale, r"case_03\.nii\.gz is not what .*summary\.json was made of"),
        (PREDICTION, lambda file: file.write_bytes(b"nothing"), r"case_03\.nii\.gz is damaged or of another format"),
        ("raw/labelsTr/case_03.nii.gz", Path.unlink, r"labelsTr/case_03\.nii\.gz is missing"),
        ("dataset.json", lambda file: file.write_text(OTHER_LABELS), r"dataset\.json has labels"),
    ],
)
def test_bad_folders(study: Study, name: str, damage: Callable[[Path], Any], named: str, tmp_path, capfd) -> None:
    damage(study.raw / name[4:] if name.startswith("raw/") else study.candidate / name)
    output = tmp_path / "report"
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    assert main([*study.folders, "--references", str(study.raw / "labelsTr"), "-o", str(output), *FAST]) == 2
    assert not output.exists()
    message = [line for line in capfd.readouterr().err.splitlines() if line.startswith("nnUNetv2_dale_report:")]
    assert len(message) == 1
    assert re.search(named, message[0])
    assert "Traceback" not in message[0]
    assert not list(tmp_path.glob(".unfinished*"))


def test_a_prediction_of_the_same_size_but_elsewhere_is_refused(study: Study, tmp_path: Path, capfd) -> None:
    write_volume(ellipsoids(3), study.candidate / PREDICTION)
    assert main([*study.folders, "-o", str(tmp_path / "report"), *FAST]) == 2
    assert re.search(r"case_03\.nii\.gz is not what .*summary\.json was made of", capfd.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{baseline}"], "two or more result folders"),
        (["{baseline}", "{baseline}"], "was given twice"),
        (["{baseline}", "nowhere"], "nowhere is no folder"),
        (["{baseline}", "{raw}"], "is no result folder of nnU-Net"),
        (["{baseline}", "{candidate}", "--patients", "{raw}/dataset.json"], "columns case and patient"),
        (["{baseline}", "{candidate}", "--patients", "nowhere.csv"], "nowhere.csv cannot be read"),
        (["{baseline}", "{candidate}", "--patients", "{twice}"], "lists case_00 twice"),
        (
            ["{baseline}", "{candidate}", "--images", "nowhere", "--references", "{raw}/labelsTr"],
            "nowhere is no folder",
        ),
        (["--from_json", "nowhere.json"], "nowhere.json cannot be read"),
        (["--from_json", "{raw}/dataset.json"], "is no report"),
        (["{baseline}", "--from_json", "x.json"], "not both"),
    ],
)
def test_bad_arguments(made: tuple[Study, Path], arguments: list[str], message: str, tmp_path: Path, capsys) -> None:
    study = made[0]
    twice = tmp_path / "twice.csv"
    twice.write_text("case;patient\ncase_00;A\ncase_00;B\n")
    places = {"baseline": study.baseline, "candidate": study.candidate, "raw": study.raw, "twice": twice}
    filled = [part.format(**places) for part in arguments]
    assert main([*filled, "-o", str(tmp_path / "report")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_only_a_report_is_replaced_and_only_when_asked(made: tuple[Study, Path], tmp_path: Path, capsys) -> None:
    again = ["--from_json", str(made[1] / "report.json"), "-o", str(tmp_path / "report")]
    assert main(again) == 0
    assert main(again) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*again, "--overwrite"]) == 0
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    assert main([*again[:2], "-o", str(mine), "--overwrite"]) == 2
    assert "is no report of this command" in capsys.readouterr().err
    assert (mine / "thesis.tex").read_text() == "years of work"


def test_a_place_that_cannot_be_used_is_told_before_any_work(made, tmp_path, capsys, monkeypatch) -> None:
    again = ["--from_json", str(made[1] / "report.json"), "-o"]
    monkeypatch.chdir(tmp_path)
    assert main([*again, "."]) == 0
    assert Path("report.html").is_file()  # by the process: the folder is the one it stands in
    monkeypatch.setattr("nnunetv2_dale.report.cli.read_report", lambda file: pytest.fail("worked first"))
    assert main([*again, ".", "--overwrite"]) == 2
    assert "is the current folder and not empty, so it is not replaced" in capsys.readouterr().err
    for place in ("report.html", "report.html/sub", "report.html/sub/sub"):
        assert main([*again, place]) == 2
        assert "report.html" in capsys.readouterr().err


def test_missing_packages_say_what_to_install(made: tuple[Study, Path], tmp_path: Path, capsys, monkeypatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "statsmodels" else found(name))
    assert main([*made[0].folders, "-o", str(tmp_path / "report")]) == 2
    assert "in this package's checkout, run: pip install '.[report]'" in capsys.readouterr().err
