"""The page over several datasets says what their reports say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nnunetv2_dale.report.cli import main
from nnunetv2_dale.report.over_datasets import rows_over_datasets, verdict_over_datasets
from nnunetv2_dale.report.report_data import Report
from nnunetv2_dale.report.report_folder import read_report, to_json
from tests.datasets import rows_of
from tests.report.fixtures import Study, report_of, row_of


def other_dataset(report: Report, name: str, shift: float) -> Report:
    """The same report of another dataset, its candidate `shift` better."""
    moved = [
        replace(row, difference=row.difference + shift) if row.metric == "Dice" and row.difference is not None else row
        for row in report.comparisons
    ]
    return replace(report, dataset=name, comparisons=moved)


@pytest.fixture
def reports(made: tuple[Study, Path], tmp_path: Path) -> list[Path]:
    first = read_report(made[1] / "report.json")
    files = []
    for name, shift in (("Dataset001_First", 0.0), ("Dataset002_Second", -0.9), ("Dataset003_Third", 0.1)):
        file = tmp_path / name / "report.json"
        file.parent.mkdir()
        file.write_text(to_json(other_dataset(first, name, shift)))
        files.append(file)
    return files


def test_each_dataset_has_its_row_and_the_answer_counts_them(reports: list[Path], tmp_path: Path, capsys) -> None:
    over = tmp_path / "over"
    assert main(["--from_json", *map(str, reports), "-o", str(over)]) == 0
    rows = [row for row in rows_of(over / "comparisons.csv") if row["metric"] == "Dice"]
    assert [row["dataset"] for row in rows] == ["Dataset001_First", "Dataset002_Second", "Dataset003_Third"]
    for row, file in zip(rows, reports, strict=True):
        own = row_of(report_of(file.parent), "Dice")
        assert float(row["difference"]) == own["difference"]
        assert [float(row["low"]), float(row["high"])] == own["ci95"]
    differences = [100 * float(row["difference"]) for row in rows]
    page = (over / "report.html").read_text()
    assert f"on 2 of 3 datasets: {sum(differences) / 3:+.2f} points in the mean".replace("-", "−") in page
    assert "3 of the rows come from one training a side" in page
    assert main(["--from_json", *map(str, reports), "-o", str(over)]) == 2  # not replaced unasked
    assert "--overwrite" in capsys.readouterr().err
    assert main(["--from_json", *map(str, reports), "-o", str(over), "--overwrite"]) == 0


def test_several_configurations_and_plans_of_one_trainer_are_told_apart(reports: list[Path], tmp_path: Path) -> None:
    report = read_report(reports[0])
    volumes = replace(report, runs=[replace(run, configuration="3d_lowres") for run in report.runs])
    rows = rows_over_datasets([report, volumes])
    answer = verdict_over_datasets(rows)
    assert "of 2 datasets and configurations: " in answer
    plans = replace(report, runs=[replace(run, trainer="nnUNetTrainer") for run in report.runs])
    assert rows_over_datasets([plans])[0].trainers == (report.runs[1].name, report.runs[0].name)


def test_a_comparison_that_is_given_twice_is_refused(reports: list[Path], tmp_path: Path, capsys) -> None:
    assert main(["--from_json", str(reports[0]), str(reports[0]), "-o", str(tmp_path / "over")]) == 2
    assert "two of the reports compare nnUNetTrainerDALE with nnUNetTrainer" in capsys.readouterr().err
    assert not (tmp_path / "over").exists()


def test_a_link_belongs_to_one_report(reports: list[Path], tmp_path: Path, capsys) -> None:
    output = tmp_path / "over"
    assert main(["--from_json", *map(str, reports), "-o", str(output), "--page_link", "a.html", "a page"]) == 2
    assert "--page_link belongs to one report" in capsys.readouterr().err
    assert not output.exists()
