"""The tables over all data: what one organ alone shows is not said of all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks.pages import organ_numbers
from tests.benchmarks.tables import cells


def stored(folder: Path, data: str, difference: float, trainings: int = 2, wide: float = 0.01) -> None:
    row = {"trainer": "nnUNetTrainerDALE", "metric": "Dice", "class_name": "mean over classes", "mean_baseline": 0.5}
    row |= {"difference": difference, "ci95": [difference - wide, difference + wide]}
    content = {"data": data, "configuration": "2d", "labels": "dilated", "trainings_a_side": trainings}
    content["comparisons"] = [row]
    (folder / f"{data}.json").write_text(json.dumps(content))


def test_a_gain_holds_over_all_data_only_where_every_organ_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(organ_numbers, "RESULTS", tmp_path)
    monkeypatch.setattr(organ_numbers, "STUDY", ())

    def held() -> list[str]:
        return cells(organ_numbers.over_all_data_table())[0][1:]

    stored(tmp_path, "ACDC", 0.04)
    assert held() == ["DALE", "1", "+4.0", "not shown"]
    stored(tmp_path, "LIDC", 0.02, trainings=1)  # proves nothing
    assert held() == ["DALE", "2", "2.0 to 4.0", "not shown"]
    stored(tmp_path, "LIDC", 0.02)
    assert held() == ["DALE", "2", "2.0 to 4.0", "gains"]
    stored(tmp_path, "LIDC", 0.02, wide=0.05)
    assert held() == ["DALE", "2", "2.0 to 4.0", "no: a gain is not shown on each"]
    stored(tmp_path, "LIDC", -0.02)
    assert held() == ["DALE", "2", "−2.0 to +4.0", "no: a gain is not shown on each"]
    assert "| lung nodules (CT), 2d " in organ_numbers.on_one_data_table()
    assert cells(organ_numbers.by_class_table())[1][2:] == ["2", "mean over classes", "50.0", "–", "−2.0"]
    assert organ_numbers.lost("lung nodules (CT), 2d", "dilated", "DALE") == "2.0"


def test_both_studies_of_an_organ_are_one_organ() -> None:
    for data, (of_study, *_) in {"Hippocampus": organ_numbers.STUDY[0], "LIDC": organ_numbers.STUDY[-1]}.items():
        assert organ_numbers.ORGANS[data] == of_study.partition(",")[0]


def test_the_interval_over_trainings_against_scipys_test() -> None:
    differences = np.array([2.0, 3.5, 1.0])
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95).low
    assert organ_numbers.lowest_of(differences) == pytest.approx(expected)
    assert organ_numbers.lowest_of(differences[:1]) == float("-inf")
