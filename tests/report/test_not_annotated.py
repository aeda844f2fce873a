"""A class that nobody annotated in a case is not counted there, in no number of the report, and the page says so."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

from nnunetv2_dale.benchmark.state import validation_dice
from nnunetv2_dale.nnunet_files.results.not_annotated import open_classes
from nnunetv2_dale.nnunet_files.results.result_folder import read_result_folder
from nnunetv2_dale.report.build import ReportSettings, build_report
from tests.datasets import CLASSES, ELLIPSOIDS
from tests.report.fixtures import make_study

NAMES = [name for name, value in CLASSES.items() if value]
OPEN = ("case_00", "case_03")


@pytest.fixture(autouse=True)
def _raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)


def test_nothing_is_counted_of_it(tmp_path: Path) -> None:
    study = make_study(tmp_path, 6)
    table = study.raw / "confidence.csv"
    folders, settings = [study.baseline, study.candidate], ReportSettings(resamples=99)
    before = build_report(folders, settings).report
    table.write_text(f"case,{NAMES[0]}\n" + "".join(f"{case},0\n" for case in OPEN))
    report = build_report(folders, settings).report
    for run, whole in zip(report.runs, before.runs, strict=True):
        for metric, by_class in run.values.items():
            for key, values in by_class.items():
                expected = [
                    None if key == "1" and case in OPEN else value
                    for case, value in zip(report.case_names, whole.values[metric][key], strict=True)
                ]
                if key in ("1", "2"):
                    assert values == expected, (metric, key)
    assert [each for each in report.remarks if "not annotated in 2 of 6 cases" in each and NAMES[0] in each]
    assert not [each for each in before.remarks if "annotated" in each]


@pytest.mark.parametrize(
    ("place", "table", "left_out"),
    [
        ("complete", None, None),
        ("complete", "complete", "2"),
        ("other/labelsTr", None, None),
        ("other/labelsTr", "other", "2"),
        (f"raw/{ELLIPSOIDS}/labelsTr_clean", None, None),
        (f"raw/{ELLIPSOIDS}/labelsTr", None, "1"),  # the training's own
        (f"preprocessed/{ELLIPSOIDS}/gt_segmentations", None, "1"),  # copies of these
    ],
)
def test_of_other_references_the_trainings_table_says_nothing(
    place: str, table: str | None, left_out: str | None, tmp_path: Path
) -> None:
    study = make_study(tmp_path, 6)
    (study.raw / "confidence.csv").write_text(f"case,{NAMES[0]}\n{OPEN[0]},0\n")
    references = tmp_path / place
    if not references.is_dir():
        shutil.copytree(study.raw / "labelsTr", references)
    if table is not None:
        (tmp_path / table / "confidence.csv").write_text(f"case,{NAMES[1]}\n{OPEN[0]},0\n")
    folders, settings = [study.baseline, study.candidate], ReportSettings(references=references, resamples=99)
    report = build_report(folders, settings).report
    of_case = report.case_names.index(OPEN[0])
    dice = report.runs[0].values["Dice"]
    assert [key for key in ("1", "2") if dice[key][of_case] is None] == [left_out] * (left_out is not None)
    assert any("not annotated in 1 of 6 cases" in each for each in report.remarks) == (left_out is not None)
    stated = build_report(folders, replace(settings, summary_only=True)).report  # which is of the training's labels
    assert stated.runs[0].values["Dice"]["1"][of_case] is None


def test_the_dice_of_a_fold(tmp_path: Path) -> None:
    study = make_study(tmp_path, 6)
    fold = study.baseline / "fold_0"
    summary = json.loads((fold / "validation" / "summary.json").read_text())
    summary["foreground_mean"] = {"Dice": 0.123}
    (fold / "validation" / "summary.json").write_text(json.dumps(summary))
    assert validation_dice(fold, ELLIPSOIDS) == 0.123  # nnU-Net's own
    (study.raw / "confidence.csv").write_text(f"case,{NAMES[0]}\n{OPEN[0]},0\n")
    cases = [case for case in read_result_folder(study.baseline).cases.values() if case.fold == "0"]
    first = fmean(case.classes["1"].dice for case in cases if case.name != OPEN[0])
    second = fmean(case.classes["2"].dice for case in cases)
    assert validation_dice(fold, ELLIPSOIDS) == pytest.approx((first + second) / 2)


def test_a_table_of_a_spreadsheet_names_the_case_as_it_is(tmp_path: Path) -> None:
    """Which made 5 of 005."""
    (tmp_path / "raw" / ELLIPSOIDS).mkdir(parents=True)
    (tmp_path / "raw" / ELLIPSOIDS / "confidence.csv").write_text(f"case;{NAMES[0]}\n5;0\n")
    assert open_classes(ELLIPSOIDS, {"labels": CLASSES}, ["004", "005"]) == {"005": frozenset(["1"])}


def test_without_the_raw_dataset_its_copy_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(tmp_path, 4)
    copy = tmp_path / "preprocessed" / ELLIPSOIDS / "nnUNetPlans_3d_fullres_confidence" / "confidence.csv"
    copy.parent.mkdir(parents=True)
    copy.write_text(f"case,{NAMES[1]}\n{OPEN[0]},0\n")
    of_a_killed_run = copy.parent.with_name(f".unfinished_x_{copy.parent.name}")
    of_a_killed_run.mkdir()
    (of_a_killed_run / copy.name).write_text(f"case,{NAMES[0]}\n{OPEN[1]},0\n")
    monkeypatch.delenv("nnUNet_raw", raising=False)
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "preprocessed"))
    cases = read_result_folder(study.baseline).cases
    assert [
        (name, key) for name, case in cases.items() for key, each in case.classes.items() if not each.annotated
    ] == [(OPEN[0], "2")]
