"""The command, in process: judges of ellipsoids that see them through noise, and all that it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import softmax

from nnunetv2_dale.pseudo_labels.cli import main
from nnunetv2_dale.pseudo_labels.judges import Judges
from tests.datasets import (
    CLASSES,
    ELLIPSOIDS,
    change_description,
    ellipsoids,
    read_volume,
    rows_of,
    tiny_plans,
    write_ellipsoids,
    write_results,
    write_volume,
)
from tests.export.fixtures import make_model

CASES = [f"case_{number:02d}" for number in range(6)]
BLURRED = "un_2"  # in which the small ellipsoid can hardly be seen
NEW = "Dataset127_Ellipsoids"


def as_network(fold: str, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Class probabilities by intensity (0, 40, 80), each fold with noise of its own."""
    seen = ndimage.gaussian_filter(image[0], 0.7) + np.random.default_rng(int(fold)).normal(0, 4, image[0].shape)
    classes = np.array([0, 40, 80])[:, None, None, None]
    return np.asarray(softmax(-((seen - classes) ** 2) / 150, axis=0), np.float32)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """nnU-Net's folders with labelled cases and validated folds, and images without labels."""
    raw = write_ellipsoids(tmp_path / "raw", len(CASES))
    model = make_model(tmp_path / "results", "nnUNetTrainer", folds=(0, 1), labels=CLASSES)
    results = tmp_path / "results" / ELLIPSOIDS / model.name
    shutil.copytree(model, results)
    plans = {**tiny_plans(ELLIPSOIDS), "image_reader_writer": "SimpleITKIO"}
    for fold in range(2):
        (results / f"fold_{fold}" / "validation" / "summary.json").unlink()
    write_results(results, raw, dict.fromkeys(CASES, 1), plans=plans)
    rng = np.random.default_rng(3)
    for number in range(4):
        labels = ellipsoids(number).astype(np.float32)
        if f"un_{number}" == BLURRED:
            labels[labels == 2] = 1.5
        write_volume(labels * 40 + rng.normal(0, 5, labels.shape), tmp_path / "un" / f"un_{number}_0000.nii.gz")
    (tmp_path / "preprocessed").mkdir()
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    monkeypatch.chdir(tmp_path)
    return results


@pytest.fixture
def seeing(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Judges, "say", lambda self, fold, image, properties: as_network(fold, image))
    return place


def judge(place: Path, *more: str, new_id: str = "127") -> int:
    made = ["--new_id", new_id] if new_id else []
    return main(
        [str(place), "-i", "un", "-d", "777", "-o", "judged", "-device", "cpu", "--keep_from", "0.6", *made, *more]
    )


def test_the_blurred_class_of_the_blurred_case_is_doubtful(
    seeing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge(seeing) == 0
    assert "mean absolute error" in capsys.readouterr().out
    told = {(row["case"], row["class"]): row for row in rows_of(tmp_path / "judged" / "expected_dice.csv")}
    assert len(told) == 4 * 2
    assert {key for key, row in told.items() if row["kept"] == "no"} == {(BLURRED, "small")}
    errors = []
    for (case, name), row in told.items():
        truth = ellipsoids(int(case[-1])) == CLASSES[name]
        found = read_volume(tmp_path / "judged" / f"{case}.nii.gz") == CLASSES[name]
        if case != BLURRED:
            errors.append(abs(float(row["expected_dice"]) - 2 * (truth & found).sum() / (truth.sum() + found.sum())))
    assert np.mean(errors) < 0.05


def test_the_dataset_has_both_kinds_of_cases_and_validates_on_real_labels(seeing: Path, tmp_path: Path) -> None:
    assert judge(seeing) == 0
    made = tmp_path / "raw" / NEW
    unlabelled = [f"un_{number}" for number in range(4)]
    assert sorted(path.name for path in (made / "labelsTr").iterdir()) == [
        f"{case}.nii.gz" for case in CASES + unlabelled
    ]
    assert json.loads((made / "dataset.json").read_text())["numTraining"] == 10
    given = tmp_path / "raw" / ELLIPSOIDS / "labelsTr" / f"{CASES[0]}.nii.gz"
    assert (made / "labelsTr" / given.name).read_bytes() == given.read_bytes()
    splits = json.loads((tmp_path / "preprocessed" / NEW / "splits_final.json").read_text())
    assert [fold["val"] for fold in splits] == [CASES[0::2], CASES[1::2]]
    assert all(fold["train"][-4:] == unlabelled for fold in splits)


def test_labelled_cases_are_half_of_what_a_training_sees_and_a_case_without_a_kept_class_is_left_out(
    seeing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4, 9):
        shutil.copy(tmp_path / "un" / "un_0_0000.nii.gz", tmp_path / "un" / f"un_{number}_0000.nii.gz")
    grey = np.full(ellipsoids(0).shape, 20.0)  # between background and the large ellipsoid,
    grey[:, :, : grey.shape[2] // 2] = 60  # and between both ellipsoids
    write_volume(grey, tmp_path / "un" / "un_9_0000.nii.gz")
    assert judge(seeing, "--rest", "ignore") == 0
    assert "1 with none" in capsys.readouterr().out
    made = tmp_path / "raw" / NEW
    assert not list(made.glob("*/un_9*"))
    for fold in json.loads((made / "splits_final.json").read_text()):
        judged = [case for case in fold["train"] if case.startswith("un")]
        assert judged == [f"un_{number}" for number in range(9)]
        labelled = sorted(set(fold["train"]) - set(judged))
        assert sorted(set(CASES) - set(fold["val"])) == labelled
        assert fold["train"].count(labelled[0]) == 3  # 9 of 18


def test_without_a_kept_class_there_is_no_new_dataset(
    seeing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge(seeing, "--keep_from", "0.9999") == 2
    assert "give a lower --keep_from" in capsys.readouterr().err
    assert (tmp_path / "judged" / "expected_dice.csv").is_file()
    assert not (tmp_path / "raw" / NEW).exists()


def test_a_class_that_is_not_annotated_in_a_case_tells_nothing_there(seeing: Path, tmp_path: Path) -> None:
    """And the dataset keeps the table that says so."""
    table = tmp_path / "raw" / ELLIPSOIDS / "confidence.csv"
    table.write_text(f"case,small\n{CASES[1]},0\n")
    assert judge(seeing) == 0
    held_out = {(row["case"], row["label"]) for row in rows_of(tmp_path / "judged" / "calibration.csv")}
    assert held_out == {(case, label) for case in CASES for label in "12"} - {(CASES[1], "2")}
    assert (tmp_path / "raw" / NEW / "confidence.csv").read_bytes() == table.read_bytes()
    shutil.copytree(table.parent, tmp_path / "raw" / "Dataset778_Whole")
    (tmp_path / "raw" / "Dataset778_Whole" / "confidence.csv").unlink()  # these labels are complete
    assert judge(seeing, "-d", "778", "--overwrite", new_id="") == 0
    held_out = {(row["case"], row["label"]) for row in rows_of(tmp_path / "judged" / "calibration.csv")}
    assert held_out == {(case, label) for case in CASES for label in "12"}


def test_a_doubtful_class_has_a_confidence_and_the_others_are_trusted(seeing: Path, tmp_path: Path) -> None:
    assert judge(seeing) == 0
    made = tmp_path / "raw" / NEW
    assert [path.name for path in (made / "confidenceTr").iterdir()] == [f"{BLURRED}.nii.gz"]
    confidence, label = (read_volume(made / name / f"{BLURRED}.nii.gz") for name in ("confidenceTr", "labelsTr"))
    truth = ellipsoids(2)
    assert confidence[truth == 2].mean() < 0.9 < confidence[(truth == 0) & (label == 0)].mean()
    images = [read_volume(tmp_path / "un" / f"{BLURRED}_0000.nii.gz").astype(np.float32)[None]] * 2
    support = np.mean([as_network(fold, image) for fold, image in zip("01", images, strict=True)], axis=0)
    touched = (support[2] >= 0.05) | (label == 2)
    np.testing.assert_allclose(confidence, np.where(touched, support.max(0), 1), atol=1e-5)


def test_unsure_voxels_of_the_rest_are_ignored(seeing: Path, tmp_path: Path) -> None:
    assert judge(seeing, "--rest", "ignore") == 0
    made = tmp_path / "raw" / NEW
    assert json.loads((made / "dataset.json").read_text())["labels"]["ignore"] == 3
    confidence = read_volume(tmp_path / "judged" / "confidence" / f"{BLURRED}.nii.gz")
    np.testing.assert_array_equal(read_volume(made / "labelsTr" / f"{BLURRED}.nii.gz") == 3, confidence < 0.9)
    assert not (read_volume(made / "labelsTr" / "un_0.nii.gz") == 3).any()
    assert not (made / "confidenceTr").exists()


def test_the_rest_may_be_left_out_and_everything_may_be_kept(seeing: Path, tmp_path: Path) -> None:
    assert judge(seeing, "--rest", "leave_out") == 0
    assert not (tmp_path / "raw" / NEW / "imagesTr" / f"{BLURRED}_0000.nii.gz").exists()
    assert judge(seeing, "--keep_from", "0", "--overwrite") == 0
    made = tmp_path / "raw" / NEW
    assert (made / "imagesTr" / f"{BLURRED}_0000.nii.gz").exists()
    assert not (made / "confidenceTr").exists()


def test_given_predictions_are_judged_as_those_made_here(seeing: Path, tmp_path: Path) -> None:
    assert judge(seeing, new_id="") == 0
    for fold in "01":
        for number in range(4):
            image = read_volume(tmp_path / "un" / f"un_{number}_0000.nii.gz").astype(np.float32)
            said = as_network(fold, image[None])
            write_volume(said.argmax(0).astype(np.uint8), tmp_path / fold / f"un_{number}.nii.gz")
            np.savez_compressed(tmp_path / fold / f"un_{number}.npz", probabilities=said)
    words = [str(seeing), "--predictions", "0", "1", "-d", "777", "-device", "cpu", "--keep_from", "0.6", "-o"]
    assert main([*words, "again"]) == 0
    assert rows_of(tmp_path / "again" / "expected_dice.csv") == rows_of(tmp_path / "judged" / "expected_dice.csv")
    assert not (tmp_path / "raw" / NEW).exists()
    (tmp_path / "1" / "un_3.npz").unlink()
    assert main([*words, "third"]) == 2
    assert not (tmp_path / "third").exists()


def test_predictions_are_nnunets_own(place: Path, tmp_path: Path) -> None:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    assert judge(place, "-f", "1", "--disable_tta", new_id="") == 0
    import torch

    predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(place), ("1",))
    image = read_volume(tmp_path / "un" / "un_0_0000.nii.gz").astype(np.float32)[None]
    found = predictor.predict_single_npy_array(image, {"spacing": [3.0, 1.0, 1.0]})
    np.testing.assert_array_equal(read_volume(tmp_path / "judged" / "un_0.nii.gz"), found)


def test_what_cannot_be_judged_is_refused_and_nothing_is_written(
    seeing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(folder: Path, *more: str, new_id: str = "127") -> str:
        assert judge(folder, *more, new_id=new_id) == 2
        assert not (tmp_path / "judged").exists()
        assert not (tmp_path / "raw" / NEW).exists()
        return capsys.readouterr().err

    of_all = tmp_path / "results" / "of_all"
    shutil.copytree(seeing, of_all)
    (of_all / "fold_0").rename(of_all / "fold_all")
    shutil.rmtree(of_all / "fold_1")
    assert "no fold that held cases out (found all)" in refused(of_all)
    others = tmp_path / "results" / "others"
    shutil.copytree(seeing, others)
    labels = {"background": 0, "large": 1, "other": 2}
    change_description(others, labels=labels)
    assert "has the classes background, large, other" in refused(others)
    assert "already exists" in refused(seeing, new_id="777")
    assert "--keep_from is a Dice" in refused(seeing, "--keep_from", "80")
    assert "either images" in refused(seeing, "--predictions", "un")
    assert "un_missing" in refused(seeing, "-i", "un_missing")
    assert "checkpoint_best.pth" in refused(seeing, "-chk", "checkpoint_best.pth")
    regions = {"background": 0, "both": [1, 2], "small": 2}
    change_description(tmp_path / "raw" / ELLIPSOIDS, labels=regions, regions_class_order=[1, 2])
    assert "regions" in refused(seeing)
