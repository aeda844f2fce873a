"""Predictions by networks that have seen the labels judge nothing; where it is not known, nobody claims it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from nnunetv2_dale.audit.cli import main
from nnunetv2_dale.audit.held_out import ARGUMENTS
from tests.audit.fixtures import make_study
from tests.datasets import ELLIPSOIDS, write_summary


@pytest.fixture
def predicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All cases predicted into one folder, as `nnUNetv2_predict` does, and evaluated."""
    raw, (folder,) = make_study(tmp_path / "study", {5: "shifted"}, 12)
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)
    monkeypatch.setenv("nnUNet_raw", str(raw))
    target = tmp_path / "predicted"
    target.mkdir()
    for file in (*folder.glob("fold_*/validation/*.nii.gz"), folder / "plans.json", folder / "dataset.json"):
        shutil.copy(file, target)
    write_summary(target, raw / ELLIPSOIDS)
    return target


@pytest.mark.parametrize("as_lists", [False, True], ids=["folder", "lists of files"])
def test_training_images_of_the_same_dataset_are_refused(as_lists: bool, predicted: Path, tmp_path, capsys) -> None:
    images = tmp_path / "study" / "raw" / ELLIPSOIDS / "imagesTr"
    source = [[str(images / "case_00_0000.nii.gz")]] if as_lists else str(images)
    (predicted / ARGUMENTS).write_text(json.dumps({"list_of_lists_or_source_folder": source}))
    elsewhere = tmp_path / "labels"
    shutil.copytree(images.parent / "labelsTr", elsewhere)
    for references in ([], ["--references", str(elsewhere)]):
        assert main([str(predicted), "-o", str(tmp_path / "audit"), "-np", "1", *references]) == 2
        assert f"training cases of {ELLIPSOIDS} as nnUNetv2_predict predicted them" in capsys.readouterr().err
    assert not (tmp_path / "audit").exists()


def test_other_predictions_without_folds_are_not_said_to_be_held_out(predicted: Path, tmp_path: Path, capsys) -> None:
    labels = tmp_path / "study" / "raw" / ELLIPSOIDS / "labelsTs"
    shutil.copytree(labels.parent / "labelsTr", labels)
    (predicted / ARGUMENTS).write_text(json.dumps({"list_of_lists_or_source_folder": "/elsewhere/imagesTs"}))
    output = tmp_path / "audit"
    assert main([str(predicted), "-o", str(output), "-np", "1", "--references", str(labels)]) == 0
    assert "it is not known whether its networks had seen the labels" in capsys.readouterr().out
    assert "had not seen their labels" not in (output / "audit.html").read_text()
    assert json.loads((output / "audit.json").read_text())["settings"]["held_out"] is False
