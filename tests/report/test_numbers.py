"""The numbers of whole reports against masks that are known."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nnunetv2_dale.report.cli import main
from nnunetv2_dale.report.page import verdict
from nnunetv2_dale.report.page_tables import tables_of
from nnunetv2_dale.report.report_folder import read_report
from nnunetv2_dale.report.sides import labels_of
from tests.datasets import ellipsoids, write_ellipsoids, write_results, write_summary, write_volume
from tests.report.fixtures import Study, report_of, report_on, row_of


def test_numbers_against_the_masks(made: tuple[Study, Path]) -> None:
    report = report_of(made[1])
    shift = {n: (1 + n % 3, 4 if n == 3 else n % 2) for n in range(8)}
    dice = np.array([[shifted_dice(n, voxels) for voxels in shift[n]] for n in range(8)])
    row = row_of(report, "Dice")
    assert (row["baseline"], row["candidate"]) == tuple(
        f"{trainer}__nnUNetPlans__3d_fullres" for trainer in ("nnUNetTrainer", "nnUNetTrainerDALE")
    )
    assert row["mean_baseline"] == pytest.approx(dice[:, 0].mean())
    assert row["mean"] == pytest.approx(dice[:, 1].mean())
    assert row["difference"] == pytest.approx((dice[:, 1] - dice[:, 0]).mean())
    gains = dice[:, 1] - dice[:, 0]
    assert (row["n"], row["n_better"], row["n_worse"]) == (8, (gains > 0.01).sum(), (gains < -0.01).sum())
    assert row["ci95"][0] < row["difference"] < row["ci95"][1]
    # A shift by k voxels of 1 mm moves no surface further than k mm: all of it is within 2 mm for k <= 2.
    values = report["runs"][1]["values"]
    assert values["Surface Dice"]["mean"][0] == 1.0
    assert values["HD95"]["mean"][0] == 0.0
    assert values["HD95"]["mean"][1] == 1.0
    hd95 = row_of(report, "HD95")
    assert hd95["unit"] == "mm"
    assert hd95["higher_is_better"] is False


def shifted_dice(case: int, voxels: int) -> float:
    labels = ellipsoids(case)
    moved = np.roll(labels, voxels, axis=2)
    return float(np.mean([2 * ((labels == k) & (moved == k)).sum() / (2 * (labels == k).sum()) for k in (1, 2)]))


def test_fuzzy_region_splits_the_masks(made: tuple[Study, Path]) -> None:
    report = report_of(made[1])
    assert report["settings"]["fuzzy_source"] == "image and reference"
    # along an axis of 48 voxels 5 patches of 9 voxels fit, not of the 16 asked for; slices are three times as far apart
    assert report["settings"]["fuzzy_patches"] == "3 × 9 × 9"
    assert "Patches of the reference (3 × 9 × 9 voxels)" in (made[1] / "report.html").read_text(encoding="utf-8")
    inside, outside = (row_of(report, f"Dice ({where})") for where in ("fuzzy region", "outside fuzzy region"))
    assert inside["n"] > 0
    assert outside["n"] > 0
    whole = row_of(report, "Dice")["mean_baseline"]
    assert min(inside["mean_baseline"], outside["mean_baseline"]) < whole + 0.02
    assert max(inside["mean_baseline"], outside["mean_baseline"]) > whole - 0.02


def test_three_runs_of_the_same_name_and_patients(study: Study, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / study.candidate.name
    shutil.copytree(study.candidate, other)
    table = tmp_path / "cases.csv"
    table.write_text("case;patient\n" + "".join(f"case_{n:02d};p{n // 2}\n" for n in range(8)), "utf-8-sig")
    report = report_on(tmp_path / "report", *study.folders, other, "--patients", table, "--summary_only")
    assert len({run["name"] for run in report["runs"]}) == 3
    assert {row["n_patients"] for row in report["comparisons"]} == {4}
    assert {row["metric"] for row in report["comparisons"]} == {"Dice", "IoU", "Precision", "Recall"}


def test_without_images_the_page_says_where_m_comes_from(study: Study, tmp_path: Path) -> None:
    output = tmp_path / "report"
    (study.raw / "imagesTr").rename(tmp_path / "elsewhere")
    report = report_on(output, *study.folders, "--references", study.raw / "labelsTr")
    assert report["settings"]["fuzzy_source"] == "reference edges alone"
    assert "reference edges alone" in (output / "report.html").read_text(encoding="utf-8")
    assert not (output / "overlays").exists()


def without_small(case: int) -> NDArray[np.uint8]:
    return np.where(ellipsoids(case) == 2, 0, ellipsoids(case)).astype(np.uint8)


def report_on_right_ones(raw: Path, output: Path, case: int, drawn: NDArray[np.uint8]) -> dict[str, Any]:
    """Of two folders whose predictions are right, but for one case of the second."""
    shifts = {file.name.removesuffix(".nii.gz"): 0 for file in sorted((raw / "labelsTr").iterdir())}
    folders = [write_results(raw.parents[1] / "results" / raw.name / f"{name}__p__2d", raw, shifts) for name in "AB"]
    file = folders[1] / "fold_0" / "validation" / f"case_{case:02d}.nii.gz"
    write_volume(drawn, file)
    write_summary(file.parent, raw)
    return report_on(output, *folders, "--references", raw / "labelsTr", "--no_pictures")


def test_missed_classes_are_counted_and_have_no_distance(tmp_path: Path) -> None:
    raw = write_ellipsoids(tmp_path / "raw", 3)
    report = report_on_right_ones(raw, tmp_path / "report", 0, without_small(0))
    assert report["runs"][1]["empty"][1] == {"class": "2", "both_empty": 0, "prediction_empty": 1, "reference_empty": 0}
    assert row_of(report, "Dice", "2")["mean"] == pytest.approx(2 / 3)
    assert (row_of(report, "HD95", "2")["n"], row_of(report, "HD95", "2")["n_not_counted"]) == (2, 1)
    assert report["runs"][1]["values"]["Dice"]["mean"][0] == pytest.approx(0.5)
    assert report["runs"][1]["values"]["HD95"]["mean"][0] == 0.0  # class 1 alone, in both runs


def test_precision_recall_and_lesions_are_beside_the_dice(made: tuple[Study, Path]) -> None:
    report = report_of(made[1])
    for number, shift in ((3, 4), (5, 1)):
        labels, values = ellipsoids(number), report["runs"][1]["values"]
        moved = np.roll(labels, shift, axis=2)
        for key in (1, 2):
            common, predicted, true = (
                ((labels == key) & (moved == key)).sum(),
                (moved == key).sum(),
                (labels == key).sum(),
            )
            assert values["Precision"][str(key)][number] == pytest.approx(common / predicted)
            assert values["Recall"][str(key)][number] == pytest.approx(common / true)
    assert row_of(report, "Lesion F1")["mean"] == 1.0  # every ellipsoid is in one piece, and is hit
    assert report["runs"][0]["lesions"][1] == {"class": "2", "in_reference": 8, "in_prediction": 8, "matched": 8}
    page = (made[1] / "report.html").read_text(encoding="utf-8")
    assert "What was found: precision, recall, connected parts" in page
    assert "Connected parts in 8 cases" in page
    assert "esion" not in re.sub(
        r"<img[^>]*>|such as its lesions|lesions_matched_above_iou", "", page
    )  # these classes are organs
    with (made[1] / "cases.csv").open(newline="") as file:
        columns = next(csv.reader(file))
    # by position as in earlier releases
    assert columns[6:12] == ["Dice", "IoU", "HD95", "ASD", "Surface Dice", "Dice (fuzzy region)"]
    assert columns[-3:] == ["Precision", "Recall", "Lesion F1"]


def test_cases_that_are_empty_in_both_are_not_counted_and_their_number_is_shown(tmp_path: Path) -> None:
    """4 of 10 cases have no class 2 and none is predicted; in one more it is found where there is none."""
    raw = write_ellipsoids(tmp_path / "raw", 10)
    for case in range(5):
        write_volume(without_small(case), raw / "labelsTr" / f"case_{case:02d}.nii.gz")
    report = report_on_right_ones(raw, tmp_path / "report", 4, ellipsoids(4))
    for metric in ("Dice", "Precision", "Recall", "Lesion F1", "Surface Dice"):
        row = row_of(report, metric, "2")
        assert (row["n"], row["n_not_counted"]) == (5, 5)  # in case_04 the baseline has none: no pair
        counted = [value for value in report["runs"][1]["values"][metric]["2"] if value is not None]
        assert counted == [0, 1, 1, 1, 1, 1]
    assert report["runs"][1]["empty"][1] == {"class": "2", "both_empty": 4, "prediction_empty": 0, "reference_empty": 1}
    assert report["runs"][1]["lesions"][1] == {"class": "2", "in_reference": 5, "in_prediction": 6, "matched": 5}
    made = read_report(tmp_path / "report" / "report.json")
    names = {run.name: run.name for run in made.runs}
    table, compared = tables_of(made, names), next(each for each in made.comparisons if each.class_key == "2")
    assert "5 cases (5 more have no Dice" in verdict(compared, names)
    parts, empty = table["lesions"], table["empty"]
    assert parts is not None
    assert empty is not None
    assert [[cell["sort"] for cell in row[2:]] for row in parts.rows[2:]] == [[5, 5, 5, 0, 5, 0], [6, 5, 5, 0, 6, 1]]
    assert [[cell["sort"] for cell in row[2:]] for row in empty.rows[2:]] == [[5, 0, 0], [4, 0, 1]]


def test_named_references_judge_in_place_of_those_of_the_summary(study: Study, tmp_path: Path, capsys) -> None:
    clean = study.raw / "labelsTr_clean"
    for case in range(8):
        write_volume(ellipsoids(case if case else 1), clean / f"case_{case:02d}.nii.gz")
    for folder in (study.baseline, study.candidate):  # nnU-Net's own evaluation with these references
        for validation in sorted(folder.glob("fold_*/validation")):
            write_summary(validation, study.raw, labels="labelsTr_clean")
    wanted = report_on(tmp_path / "wanted", *study.folders, "--references", clean, "--no_pictures")
    for folder in (study.baseline, study.candidate):
        for validation in sorted(folder.glob("fold_*/validation")):
            write_summary(validation, study.raw)
    own = report_on(tmp_path / "own", *study.folders, "--no_pictures")
    assert "labelsTr_clean judges" not in capsys.readouterr().err
    judged = report_on(tmp_path / "judged", *study.folders, "--references", clean, "--no_pictures")
    assert judged["comparisons"] == wanted["comparisons"] != own["comparisons"]
    assert judged["runs"][0]["costs"] == wanted["runs"][0]["costs"] != own["runs"][0]["costs"]
    assert any("1 of 8 references there are not those of summary.json" in sentence for sentence in judged["missing"])


def coloured(output: Path) -> set[str]:
    """How the rows of the comparison are coloured."""
    report = read_report(output / "report.json")
    table = tables_of(report, labels_of(report))["overall"]
    assert table is not None
    cells = (cell for row in table.rows for cell in row if isinstance(cell, dict))
    return {cell["class"] for cell in cells} & {"better", "worse"}


def test_trainings_of_two_trainers_are_compared_as_such(study: Study, tmp_path: Path) -> None:
    """Twice two trainings; the numbers are those of each training alone, and only this comparison is coloured."""
    sides: dict[str, list[Path]] = {}
    for trainer, gains in {"nnUNetTrainer": (5, 6), "nnUNetTrainerDALE": (0, 0)}.items():
        for repeat, gain in enumerate(gains, start=1):
            folder = study.baseline.parent / f"{trainer}__P_repeat{repeat}__3d_fullres"
            shifts = {f"case_{case:02d}": gain + case % 2 for case in range(8)}
            sides.setdefault(trainer, []).append(write_results(folder, study.raw, shifts))
    baseline, candidate = sides.values()
    both = report_on(tmp_path / "both", *candidate, "--against", *baseline)
    row = row_of(both, "Dice")
    assert [run["name"] for run in both["runs"]] == ["nnUNetTrainer__P__3d_fullres", "nnUNetTrainerDALE__P__3d_fullres"]
    assert [len(run["trainings"]) for run in both["runs"]] == [2, 2]
    means = []
    for number in range(2):
        output = tmp_path / f"alone_{number}"
        alone = row_of(report_on(output, baseline[number], candidate[number], "--summary_only"), "Dice")
        means.append((alone["mean_baseline"], alone["mean"]))
        page = (output / "report.html").read_text(encoding="utf-8")
        assert ">Two-sided p<" not in page
        assert coloured(output) == set()
        assert "two models; to compare two trainers, repeat them" in page
    assert (row["mean_baseline"], row["mean"]) == pytest.approx(np.mean(means, axis=0))
    assert row["sd_trainings"] == pytest.approx(np.std([mean for _, mean in means], ddof=1))
    assert (row["p_ttest"], row["p_wilcoxon"], row["p_holm"], row["detectable_difference"]) == (None,) * 4
    assert coloured(tmp_path / "both") == {"better"}
    page = (tmp_path / "both" / "report.html").read_text(encoding="utf-8")
    assert "over trainings and cases" in page
    assert ">Two-sided p<" in page
    assert "2 trainings of nnUNetTrainerDALE and 2 trainings of nnUNetTrainer." in page
    assert main(["--from_json", str(tmp_path / "both"), "-o", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "report.html").read_text(encoding="utf-8") == page
    assert main([str(candidate[0]), "--against", *map(str, baseline), "-o", str(tmp_path / "one")]) == 2
