"""Checked cases in the accuracy study's trainings: what their batches hold, and a training of each on phantoms."""

from __future__ import annotations

import math
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.accuracy import study_data, study_training
from benchmarks.accuracy.batches import Batches
from benchmarks.accuracy.checked_batches import CheckedCases
from benchmarks.confidence import checked_cases
from benchmarks.pages import confidence_numbers
from benchmarks.trainings import rows_of
from nnunetv2_dale.demo.phantom import write_phantom_dataset
from tests.run_commands import run, use_threads


def test_fewer_checked_cases_are_a_part_of_more() -> None:
    cases = [str(number) for number in range(100)]
    five, twenty = (CheckedCases.drawn(cases, count, 20, 0.5) for count in (5, 20))
    assert five.checked < twenty.checked == five.not_measured
    assert not CheckedCases.drawn(cases, 0, 20, 1.0).checked


def test_a_checked_case_has_its_clean_label_and_the_others_are_doubted() -> None:
    """Two samples of 4 x 4 in two resolutions; the second is of a checked case."""
    labels = [np.zeros((1, 2, 2, 1, size, size), np.int8)[:, :, :, 0] for size in (4, 2)]
    for each in labels:
        each[:, :, 1, 0] = 1  # what the second version has more
    batches = Batches(np.ones((1, 2, 1, 4, 4), np.float32), labels, [["a", "b"]], ["clean", "wrong"])
    trainer: Any = SimpleNamespace()
    known = CheckedCases(frozenset("b"), frozenset("b"), 0.25).given_to(trainer, batches, "clean")
    assert trainer._has_maps
    batch = known.batch(0, "wrong")
    assert batch["data"].shape == (2, 2, 4, 4)
    assert torch.equal(batch["data"][:, 1].unique(dim=2), torch.tensor([0.75, 0.0]).view(2, 1, 1).expand(2, 4, 1))
    assert [int(target[sample].sum()) for target in batch["target"] for sample in (0, 1)] == [4, 0, 2, 0]
    assert [int(each.sum()) for each in known.changed(0, "wrong")] == [4, 0]
    assert not batches.batch(0, "wrong")["data"].eq(0.75).any()


@pytest.mark.filterwarnings("default")  # of nnU-Net's commands
def test_trainings_with_and_without_checked_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command itself on a few phantoms, twenty batches each."""
    source, workspace, results = tmp_path / "source", tmp_path / "workspace", tmp_path / "rows.jsonl"
    size: dict[str, Any] = {"shape": (12, 32, 32), "spacing_mm": (2.0, 2.0, 2.0)}
    write_phantom_dataset(source, dataset_id=4, name="Hippocampus", training_cases=5, test_cases=0, **size)
    shutil.rmtree(source / "Dataset004_Hippocampus" / "labelsTr_clean")
    everywhere = study_data._noise(908, "--kind", "dilate", "--amount", "2", fraction=1.0)
    small = replace(study_data.CHECKED, versions={"clean": 4, "dilated": 908}, recipes={"dilated": everywhere})
    monkeypatch.setitem(study_data.ALL, "checked", small)
    monkeypatch.setattr(study_data, "SMALL_FEATURES", [4, 8, 8, 8])
    monkeypatch.setitem(study_data.SMALL_BATCH, ("checked", "2d"), 4)
    monkeypatch.setitem(study_training.BATCHES, ("checked", "2d"), 20)
    monkeypatch.setattr(checked_cases, "KNOWN", ((0, 1.0), (2, 0.5)))
    monkeypatch.setattr(checked_cases, "LABELS", ("dilated",))
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "nnUNet_compile", "nnUNet_n_proc_DA"):
        monkeypatch.setenv(name, "1")  # the command sets them; the old ones come back after the test
    use_threads(monkeypatch)
    in_process = SimpleNamespace(run=lambda command, **_: run([shlex.join(command)], monkeypatch))
    monkeypatch.setattr(study_data, "subprocess", in_process)
    command = ["--workspace", str(workspace), "--source", str(source), "--batches", "20", "--results", str(results)]
    assert checked_cases.main(command) == 0
    rows = rows_of(results)
    assert [row["checked"] for row in rows] == [0, 2]
    for row in rows:
        assert [each["iterations"] for each in row["found"]] == [5, 10, 15, 20]
        assert all(0 <= each["one_minus_meta"]["auroc_all"] <= 1 for each in row["found"])
    assert not math.isclose(*(row["found"][-1]["one_minus_p"]["auroc_all"] for row in rows))
    assert rows[0]["found"][0]["wrong_of_all"] == rows[1]["found"][0]["wrong_of_all"] > 0
    before = results.read_text()
    assert checked_cases.main(command) == 0
    assert results.read_text() == before
    monkeypatch.setattr(checked_cases, "RESULTS", results)
    assert confidence_numbers.checked_cases_table().count("\n") == 3
    monkeypatch.setattr(checked_cases, "RESULTS", tmp_path / "none.jsonl")
    assert confidence_numbers.checked_cases_table() == confidence_numbers.NOT_YET
