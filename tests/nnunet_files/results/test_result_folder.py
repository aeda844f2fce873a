"""Result folders are read as nnU-Net writes them; what is not a result says so and names the file."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.results.result_folder import read_result_folder
from nnunetv2_dale.nnunet_files.results.same_task import shared_task
from nnunetv2_dale.nnunet_files.results.summary_file import read_summary
from nnunetv2_dale.report.run_of_folder import missing_folds, missing_of_runs

NAN = float("nan")


def metrics(tp: int, fp: int, fn: int, tn: int = 100) -> dict[str, Any]:
    total = tp + fp + fn
    dice, iou = (2 * tp / (total + tp), tp / total) if total else (NAN, NAN)
    return {"Dice": dice, "IoU": iou, "TP": tp, "FP": fp, "FN": fn, "TN": tn, "n_ref": tp + fn, "n_pred": tp + fp}


def write_fold(folder: Path, fold: str, cases: dict[str, dict[str, dict[str, Any]]]) -> Path:
    file = folder / f"fold_{fold}" / "validation" / "summary.json"
    file.parent.mkdir(parents=True)
    rows = [
        {"prediction_file": f"/gone/{case}.nii.gz", "reference_file": f"/refs/{case}.nii.gz", "metrics": by_class}
        for case, by_class in cases.items()
    ]
    file.write_text(json.dumps({"metric_per_case": rows, "mean": {}, "foreground_mean": {}}))
    return file


def two_folds(folder: Path, fp: int = 0) -> Path:
    write_fold(folder, "0", {"a": {"1": metrics(8, fp, 2), "(1, 2)": metrics(5, 5, 5)}})
    write_fold(folder, "1", {"b.c": {"1": metrics(0, 0, 0), "(1, 2)": metrics(0, 3, 0)}})
    return folder


def test_folds_classes_and_empty_masks(tmp_path: Path) -> None:
    result = read_result_folder(two_folds(tmp_path / "nnUNetTrainer__nnUNetPlans__2d"))
    assert (result.trainer, result.plans_name, result.configuration) == ("nnUNetTrainer", "nnUNetPlans", "2d")
    assert result.folds == ("0", "1")
    assert result.class_keys == ("1", "(1, 2)")
    assert set(result.cases) == {"a", "b.c"}
    assert result.cases["a"].classes["1"].dice == pytest.approx(16 / 18)
    assert result.cases["b.c"].classes["1"].dice is None  # both empty
    assert result.cases["b.c"].classes["(1, 2)"].dice == 0.0  # only the reference is empty


def test_windows_paths_give_the_same_case(tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    row = {"prediction_file": "C:\\x\\case_1.nii.gz", "reference_file": "r", "metrics": {"1": metrics(1, 0, 0)}}
    file.write_text(json.dumps({"metric_per_case": [row]}))
    assert read_summary(file, "0")[0].name == "case_1"


def test_a_bare_summary_is_enough(tmp_path: Path) -> None:
    source = write_fold(tmp_path / "x", "0", {"a": {"1": metrics(1, 1, 1)}})
    folder = tmp_path / "predictions"
    folder.mkdir()
    source.rename(folder / "summary.json")
    assert read_result_folder(folder).folds == ("-",)


def test_fold_all_counts_only_alone(tmp_path: Path) -> None:
    folder = two_folds(tmp_path / "r")
    write_fold(folder, "all", {"a": {"1": metrics(9, 0, 1), "(1, 2)": metrics(1, 0, 0)}})
    result = read_result_folder(folder)
    assert result.folds == ("0", "1")
    assert "fold all is left out" in result.remarks[0]
    assert "training cases" in read_result_folder(folder, ["all"]).remarks[0]


def test_an_unvalidated_fold_is_named(tmp_path: Path) -> None:
    folder = two_folds(tmp_path / "r")
    (folder / "fold_3").mkdir()
    assert read_result_folder(folder).unfinished_folds == ("3",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"metric_per_case": [{"metr', r"fold_0/validation/summary\.json is not valid JSON .*; it was cut off"),
        ('{"foreground_mean": {}}', r"summary\.json is no summary of nnU-Net.*KeyError"),
        ('{"metric_per_case": []}', r"summary\.json holds no cases"),
        (
            '{"metric_per_case": [{"metrics": {"1": {"Dice": 7}}, "prediction_file": "a", "reference_file": "b"}]}',
            "ratio",
        ),
        ("[]", "no summary of nnU-Net"),
    ],
)
def test_broken_summaries(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "r" / "fold_0" / "validation" / "summary.json"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    with pytest.raises(UserError, match=message):
        read_result_folder(tmp_path / "r")


def test_no_folder_and_no_result(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing is no folder"):
        read_result_folder(tmp_path / "missing")
    with pytest.raises(UserError, match="is no result folder of nnU-Net"):
        read_result_folder(tmp_path)
    with pytest.raises(UserError, match="is no result folder of nnU-Net for folds 7"):
        read_result_folder(tmp_path, ["7"])


def test_a_fold_that_is_not_there_is_not_passed_over(tmp_path: Path) -> None:
    folder = two_folds(tmp_path / "r")
    with pytest.raises(UserError, match=r"r has no fold 7, 9; it has 0, 1: choose among them with -f"):
        read_result_folder(folder, ["0", "7", "9"])
    assert read_result_folder(folder, ["1"]).folds == ("1",)


def test_folds_without_any_validation(tmp_path: Path) -> None:
    for fold in "01":
        (tmp_path / "r" / f"fold_{fold}" / "validation").mkdir(parents=True)
    with pytest.raises(UserError, match=r"has no validation of fold 0, 1: .* finish it with nnUNetv2_train"):
        read_result_folder(tmp_path / "r")


@pytest.mark.parametrize(
    ("checkpoints", "said"),
    [
        (("best", "latest"), r"cp \S+checkpoint_best.pth \S+checkpoint_final.pth && {} \(it was stopped early; --c"),
        (("best", "final"), "finish it with {}$"),
    ],
)
def test_a_training_that_was_stopped_early_is_told_how_to_validate(tmp_path, checkpoints, said) -> None:
    fold = tmp_path / "Dataset004_A" / "nnUNetTrainer__nnUNetPlans__2d" / "fold_3"
    fold.mkdir(parents=True)
    for name in checkpoints:
        (fold / f"checkpoint_{name}.pth").touch()
    command = "nnUNetv2_train Dataset004_A 2d 3 -tr nnUNetTrainer -p nnUNetPlans --val"
    with pytest.raises(UserError, match=said.format(command)):
        read_result_folder(fold.parent)


def test_a_summary_of_version_1(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(json.dumps({"author": "x", "results": {"all": []}}))
    with pytest.raises(UserError, match=r"written by nnU-Net v1.*nnUNetv2_evaluate_folder"):
        read_result_folder(tmp_path)


def test_missing_folds_are_those_of_the_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = read_result_folder(two_folds(tmp_path / "Dataset001_A" / "r"))
    assert missing_folds(folder, [folder]) == ["2", "3", "4"]
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path))
    (tmp_path / "Dataset001_A" / "splits_final.json").write_text(json.dumps([{"train": [], "val": []}] * 3))
    assert missing_folds(folder, [folder]) == ["2"]


def test_folds_that_were_not_asked_for_are_not_missing(tmp_path: Path) -> None:
    (two_folds(tmp_path / "r") / "fold_3").mkdir()
    for asked, absent in ((["0"], []), (["0", "3"], ["3"])):
        folder = read_result_folder(tmp_path / "r", asked)
        assert missing_folds(folder, [folder]) == absent
        assert any("no validation of fold" in sentence for sentence in missing_of_runs([folder])) == bool(absent)


def test_a_case_validated_twice(tmp_path: Path) -> None:
    folder = two_folds(tmp_path / "r")
    write_fold(folder, "2", {"a": {"1": metrics(1, 0, 0), "(1, 2)": metrics(1, 0, 0)}})
    with pytest.raises(UserError, match=r"fold_2.* holds case a, which is also in .*fold_0.*-f"):
        read_result_folder(folder)


def test_shared_cases_and_those_left_out(tmp_path: Path) -> None:
    first, second = (read_result_folder(two_folds(tmp_path / name, fp)) for name, fp in (("x", 0), ("y", 0)))
    write_fold(tmp_path / "y", "2", {"d": {"1": metrics(1, 0, 0), "(1, 2)": metrics(1, 0, 0)}})
    second = read_result_folder(tmp_path / "y")
    task = shared_task([first, second])
    assert task.case_names == ("a", "b.c")
    assert [(item.case, item.missing_from) for item in task.excluded] == [("d", ("x",))]


def test_what_may_not_be_compared(tmp_path: Path) -> None:
    first = read_result_folder(two_folds(tmp_path / "Dataset001_A" / "x"))
    with pytest.raises(UserError, match="Dataset002_B"):
        shared_task([first, read_result_folder(two_folds(tmp_path / "Dataset002_B" / "x"))])
    write_fold(tmp_path / "classes", "0", {"a": {"1": metrics(8, 0, 2)}})
    with pytest.raises(UserError, match="same label set"):
        shared_task([first, read_result_folder(tmp_path / "classes")])
    write_fold(tmp_path / "other", "0", {"z": {"1": metrics(8, 0, 2), "(1, 2)": metrics(5, 5, 5)}})
    with pytest.raises(UserError, match="no case in common"):
        shared_task([first, read_result_folder(tmp_path / "other")])
    write_fold(tmp_path / "reference", "0", {"a": {"1": metrics(8, 0, 3, 99), "(1, 2)": metrics(5, 5, 5)}})
    with pytest.raises(UserError, match=r"another reference for case a: class 1 of 11 voxels, but class 1 of 10"):
        shared_task([first, read_result_folder(tmp_path / "reference")])


def test_predictions_that_no_summary_lists(tmp_path: Path) -> None:
    folder = two_folds(tmp_path / "r")
    (folder / "fold_0" / "validation" / "d.nii.gz").touch()
    (folder / "fold_2" / "validation").mkdir(parents=True)
    (folder / "fold_2" / "validation" / "e.nii.gz").touch()
    (folder / "fold_2" / "validation" / "e.npz").touch()
    first = read_result_folder(folder)
    assert first.unlisted_cases == ("d", "e")
    excluded = shared_task([first, read_result_folder(two_folds(tmp_path / "s"))]).excluded
    assert [(item.case, item.missing_from) for item in excluded] == [("d", ("r", "s")), ("e", ("r", "s"))]


def test_precision_and_recall_from_the_counts(tmp_path: Path) -> None:
    write_fold(tmp_path / "r", "0", {"a": {"1": metrics(6, 2, 4), "2": metrics(0, 0, 5), "3": metrics(0, 5, 0)}})
    write_fold(tmp_path / "r", "1", {"b": {"1": metrics(0, 0, 0), "2": metrics(3, 0, 0), "3": metrics(0, 1, 1)}})
    cases = read_result_folder(tmp_path / "r").cases
    ratios = [[(item.precision, item.recall) for item in cases[name].classes.values()] for name in "ab"]
    assert ratios == [[(6 / 8, 6 / 10), (0.0, 0.0), (0.0, 0.0)], [(None, None), (1.0, 1.0), (0.0, 0.0)]]


def test_dice_is_the_harmonic_mean_of_precision_and_recall(tmp_path: Path) -> None:
    rng = random.Random(0)
    counts = [tuple(rng.randrange(5) for _ in range(3)) for _ in range(60)]
    write_fold(tmp_path / "r", "0", {f"c{n:02d}": {"1": metrics(*triple)} for n, triple in enumerate(counts)})
    for case in read_result_folder(tmp_path / "r").cases.values():
        result = case.classes["1"]
        if result.dice is None:
            assert (result.precision, result.recall) == (None, None)
        else:
            precision, recall = result.precision or 0, result.recall or 0
            harmonic = 2 * precision * recall / (precision + recall) if precision + recall else 0
            assert result.dice == pytest.approx(harmonic)


def test_real_results(shared_data: Path) -> None:
    folder = shared_data / "msd_cv_results" / "Dataset004_Hippocampus" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    result = read_result_folder(folder)
    means = [sum(c.dice or 0 for c in case.classes.values()) / 2 for case in result.cases.values()]
    assert len(means) == 260
    assert sum(means) / 260 == pytest.approx(0.8904, abs=5e-5)


def test_masks_of_cases_that_another_fold_validated_are_named(tmp_path: Path) -> None:
    """nnU-Net #1942: the splits changed, and a mask of the old ones stayed behind."""
    folder = two_folds(tmp_path / "run")
    for fold, case in (("0", "a"), ("0", "b.c"), ("1", "b.c")):
        (folder / f"fold_{fold}" / "validation" / f"{case}.nii.gz").touch()
    found = read_result_folder(folder)
    (remark,) = found.remarks
    assert remark.startswith("fold 0 holds masks of b.c, which another fold validated")
    assert found.unlisted_cases == ()
