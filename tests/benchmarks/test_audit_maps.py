"""The study of what an audit is worth in training: its commands run in this process, trainings of two batches."""

from __future__ import annotations

import csv
import gc
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.confidence import audit_maps, stock_trainings
from benchmarks.confidence.stock_trainings import PLAIN, TOLD
from benchmarks.pages import confidence_numbers
from benchmarks.trainings import Row, rows_of
from nnunetv2_dale.nnunet_files.confidence_table import has_confidence
from tests.audit.fixtures import wobbly
from tests.datasets import ellipsoids, write_ellipsoids, write_results
from tests.run_commands import go_to, predict_here, run, use_threads

TRAINING = nnUNetTrainer.run_training


def two_batches(self: Any) -> None:
    self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 1, 2, 1
    TRAINING(self)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were called, in this process. Trainings have two batches; those that are audited are nearly
    right."""
    called: list[list[str]] = []

    def here(command: Sequence[str]) -> None:
        called.append(list(command))
        if command[0] != "nnUNetv2_dale_benchmark":
            run([" ".join(command)], monkeypatch)
            return
        _, _, number, _, _, _, plans, _, *folds = command[: command.index("-tr")]
        trainer = command[command.index("-tr") + 1]
        if len(folds) > 1:
            raw = next((tmp_path / "out" / "raw").glob(f"Dataset{int(number):03d}_*"))
            cases = [file.name.removesuffix(".nii.gz") for file in (raw / "labelsTr").iterdir()]
            drawn = {case: wobbly(ellipsoids(int(case[-2:])), int(case[-2:])) for case in sorted(cases)}
            write_results(stock_trainings.result_folder(raw.name, trainer), raw, drawn, len(folds))
            return
        run([f"nnUNetv2_train {number} 2d {folds[0]} -tr {trainer} -p {plans} -device cpu"], monkeypatch)

    go_to(tmp_path, monkeypatch)
    use_threads(monkeypatch)
    monkeypatch.setattr(nnUNetTrainer, "run_training", two_batches)
    monkeypatch.setattr(nnUNetPredictor, "predict_from_files", predict_here)
    monkeypatch.setattr(stock_trainings, "call", here)
    tiny = {"patch_size": [32, 32], "batch_size": 2, "features": [4, 8]}
    monkeypatch.setattr(audit_maps, "planned", partial(stock_trainings.planned, plans=tiny))
    return called


@pytest.mark.filterwarnings("default")  # of nnU-Net's commands
def test_the_audits_maps_and_what_it_lists_are_trained(tmp_path: Path, commands, monkeypatch) -> None:
    write_ellipsoids(tmp_path / "data", 20, "Dataset004_Hippocampus")
    arms = (("mixed 40, maps", TOLD), ("mixed 40, excluded", PLAIN))
    monkeypatch.setattr(audit_maps, "ARMS", arms)
    results = tmp_path / "rows.jsonl"
    command = ["--data", str(tmp_path / "data"), "-o", str(tmp_path / "out"), "--results", str(results)]
    command += ["--length", "_1epoch"]
    assert audit_maps.main(command) == 0
    rows = rows_of(results)
    assert [(row["labels"], row["trainer"]) for row in rows] == list(arms)
    assert all(row["cases"] == 4 and 0 <= row["dice"] <= 100 for row in rows)
    assert all(row["wrong_listed"] <= row["listed"] <= 16 and row["wrong"] == 6 for row in rows)  # 40 % of 16
    raw = tmp_path / "out" / "raw"
    assert len(list((raw / "Dataset004_Hippocampus" / "labelsTr").iterdir())) == 16
    assert has_confidence(raw / "Dataset240_Hippocampus")
    with (tmp_path / "out/audits/Dataset140_Hippocampus/decisions.csv").open(newline="") as stream:
        listed = {line["case"] for line in csv.DictReader(stream)}
    assert len(list((raw / "Dataset340_Hippocampus" / "labelsTr").iterdir())) == 16 - len(listed) < 16
    audits = [each for each in commands if each[0] == "nnUNetv2_dale_audit" and each[1] != "apply"]
    assert len(audits) == 1
    done = len(commands)
    shutil.rmtree(tmp_path / "data")  # what is stored is not made again
    assert audit_maps.main(command) == 0
    assert len(commands) == done
    gc.collect()  # files that nnU-Net leaves open warn here, where that is no error


def row(labels: str, trainer: str, dice: float) -> Row:
    return {"labels": labels, "trainer": trainer, "length": "_5epochs", "dice": dice}


def test_what_wrong_labels_cost_and_an_audit_wins_back_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row("clean", PLAIN, 80.0), row("dilated 45", PLAIN, 70.0), row("dilated 45, maps", TOLD, 76.0)]
    rows += [row("dilated 45, excluded", PLAIN, 69.0), row("mixed 40", PLAIN, 60.0)]
    won = audit_maps.won_back(rows, "dilated 45")
    assert won == {"cost": 10.0, f"maps, {TOLD}": 6.0, f"excluded, {PLAIN}": -1.0}
    assert audit_maps.won_back(rows, "mixed 40") == {"cost": 20.0}
    assert audit_maps.won_back(rows[1:], "dilated 45") == {}
    monkeypatch.setattr(confidence_numbers, "rows_of", lambda _: rows)
    assert len(confidence_numbers.audit_maps_table().splitlines()) == 2 + len(rows)
    monkeypatch.setattr(confidence_numbers, "rows_of", lambda _: [])
    assert confidence_numbers.audit_maps_table() == confidence_numbers.NOT_YET
