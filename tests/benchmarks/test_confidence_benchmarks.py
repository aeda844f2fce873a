"""Partial annotation: what is wiped, what is stored, that it goes on. Trainings' memory: what a row says of it."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch
from scipy import stats

from benchmarks import case_trust_contrast
from benchmarks.confidence import partial_annotation, several_readers, stock_trainings
from benchmarks.confidence.partial_annotation import shares, wipe, wiped_classes
from benchmarks.pages import confidence_numbers
from nnunetv2_dale.nnunet_files.confidence_table import read_confidence_table

ORGANS = ("a", "b", "c")
DICE = dict.fromkeys((*ORGANS, "Mandible"), 50.0)


def test_each_organ_is_wiped_in_half_of_the_cases_and_no_case_loses_all() -> None:
    cases = [str(number) for number in range(40)]
    wiped = wiped_classes(cases, ORGANS, 1)
    spared = sum(len(names) == 2 for names in wiped.values())
    counts = Counter(name for names in wiped.values() for name in names)
    assert max(len(names) for names in wiped.values()) == 2
    assert 60 - spared <= sum(counts.values()) <= 60
    assert max(counts.values()) <= 20
    assert wiped == wiped_classes(cases, ORGANS, 1) != wiped_classes(cases, ORGANS, 2)


@pytest.mark.parametrize("leave_out", [False, True])
def test_labels_are_wiped_as_the_table_says_and_those_that_judge_stay(leave_out: bool, tmp_path: Path) -> None:
    labels = {"background": 0, "Organ": 1, "b": 2}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".nii.gz"}))
    (tmp_path / "labelsTr").mkdir()
    whole = np.arange(3, dtype=np.uint8).repeat(4).reshape(1, 3, 4)
    cases = [f"case_{number:02d}" for number in range(10)]
    for case in cases:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(whole), str(tmp_path / "labelsTr" / f"{case}.nii.gz"))
    wipe(tmp_path, cases[2:], leave_out)
    table = read_confidence_table(tmp_path, labels, cases)
    missing = {case: table.not_annotated(case) for case in cases}
    assert missing["case_00"] == missing["case_01"] == ()
    assert {case for case in cases if table.weight(case) == 0} == {
        case for case in cases if leave_out and missing[case]
    }
    for case, names in missing.items():
        found = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "labelsTr" / f"{case}.nii.gz")))
        expected = np.where(np.isin(whole, [labels[name] for name in names]), 0, whole)
        np.testing.assert_array_equal(found, expected)
    assert {name for names in missing.values() for name in names} == {"Organ", "b"}


@pytest.mark.parametrize("study", [partial_annotation, several_readers])
def test_a_row_says_what_was_trained_and_is_made_once(study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, made = tmp_path / "rows.jsonl", []

    def train(labels: str, trainer: str, output: Path, run: object) -> tuple[str, dict[str, object]]:
        made.append((os.environ["nnUNet_results"], trainer))  # noqa: SIM112
        return "Dataset721_LIDC", {"dice": DICE}

    monkeypatch.setattr(study, "prepare", lambda *_: None)
    monkeypatch.setattr(study, "train", train)
    monkeypatch.setattr(stock_trainings, "use_workspace", lambda _: None)
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "results"))
    command = ["--data", str(tmp_path), "-o", str(tmp_path), "--results", str(results)]
    for training in ("1", "1", "2"):
        assert study.main([*command, "--training", training]) == 0
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    assert [(row["labels"], row["trainer"], row["training"]) for row in rows] == [
        (*arm, training) for training in (1, 2) for arm in study.ARMS
    ]
    places = [str(tmp_path / name) for name in ("results", "results_2") for _ in study.ARMS]
    assert made == [(place, row["trainer"] + row["length"]) for place, row in zip(places, rows, strict=True)]
    words = "nnUNetv2_dale_benchmark -d 721 -c 2d -p small_2d -f 0 -tr "
    assert rows[0]["command"].startswith(f"{words}nnUNetTrainer{rows[0]['length']} ")


def test_each_way_to_use_several_readers_is_made_with_commands(tmp_path: Path, monkeypatch) -> None:
    made: list[list[str]] = []

    def pretended(command: Sequence[str]) -> None:
        made.append(list(command))
        if "--new_id" in command:
            number = command[command.index("--new_id") + 1]
            (tmp_path / "raw" / f"Dataset{number}_LIDC" / "labelsTr").mkdir(parents=True)

    monkeypatch.setattr(several_readers, "planned", lambda dataset, output, run: None)
    for labels in dict.fromkeys(label for label, _ in several_readers.ARMS):
        for _ in range(2):
            several_readers.prepare(labels, tmp_path, tmp_path, pretended)
    assert [command[command.index("--target") + 1] for command in made] == [
        "consensus", "rater0", "rater1", "rater2", "random", "majority", "staple", "random",
    ]  # fmt: skip
    assert [command[0] for command in made[-3:]] == ["nnUNetv2_dale_confidence"] * 3
    assert {confidence_numbers.READERS[arm] for arm in several_readers.ARMS} == set(confidence_numbers.READERS.values())


def test_what_wiping_costs_and_the_table_wins_back_by_hand() -> None:
    def row(labels: str, trainer: str, mandible: float) -> dict[str, object]:
        return {"labels": labels, "trainer": trainer, "dice": {"Brainstem": 60.0, "Mandible": mandible}}

    plain, told = stock_trainings.PLAIN, stock_trainings.TOLD
    rows = [row("wiped", plain, 40.0), row("wiped", told, 74.0), row("wiped", told, 78.0), row("whole", plain, 80.0)]
    assert shares(rows) == {"cost": 20.0, "won_back": 18.0}
    found = [row("as_found", plain, 70.0), row("as_found", told, 77.0)]
    assert shares(found) == {"mandible": 7.0}


def test_the_area_under_the_curve_against_scipy() -> None:
    random = np.random.default_rng(0)
    values, wrong = random.integers(0, 5, 30).astype(float), random.random(30) < 0.4
    expected = stats.mannwhitneyu(values[wrong], values[~wrong]).statistic / (wrong.sum() * (~wrong).sum())
    assert case_trust_contrast.auroc(values, wrong) == pytest.approx(expected, abs=1e-3)
    assert case_trust_contrast.auroc(values, np.zeros(30, bool)) is None


def test_a_row_says_who_was_down_weighted() -> None:
    """Twelve right cases and eight that are drawn wider, where the image shows no border."""
    sums = torch.zeros(20, 12, 2)
    wrong = np.arange(20) >= 12
    off = torch.linspace(-0.2, 0.2, 20) + 1.8 * torch.from_numpy(wrong)
    sums[:, 0, 1], sums[:, 1], sums[:, 3] = 1000 * off, 1000.0, 1000.0
    sums[:, 2, 1] = 1000 * torch.where(torch.from_numpy(wrong), 0.9, 1.6)
    sums[:, 4], sums[:, 5] = 80.0, 100.0
    row = case_trust_contrast.seen_and_doubted(sums, wrong, ["background", "organ"])
    (organ,) = row["classes"]
    assert (row["right_cases"], row["wrong_cases"], row["right_cases_doubted"], row["auroc"]) == (12, 8, 0, 1.0)
    assert organ["wrong"]["doubted_borders"] == {"cases": 8, "mean": 1.0}
    assert organ["right"]["contrast"] == [1.6, 0.0]
    assert organ["learned"] == 0.8


@pytest.mark.parametrize(
    "rows", [[], [{"data": "ACDC", "labels": "wiped", "trainer": "nnUNetTrainer", "length": "_1epoch", "dice": DICE}]]
)
def test_pages_cope_with_rows_that_are_not_there(
    rows: Sequence[dict[str, object]], tmp_path: Path, monkeypatch
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(partial_annotation, "RESULTS", file)
    monkeypatch.setattr(several_readers, "RESULTS", tmp_path / "none.jsonl")
    assert confidence_numbers.several_readers_table() == confidence_numbers.NOT_YET
    assert confidence_numbers.partial_annotation_won() == confidence_numbers.NOT_YET
    assert ("50.0" in confidence_numbers.partial_annotation_table("ACDC")) == bool(rows)
