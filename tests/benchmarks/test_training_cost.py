"""The cost of a whole training from that of its iterations, by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmarks.table import trainings_table
from benchmarks.training_cost import TRAININGS, VARIANTS, share_of_algorithm_1, training_costs
from benchmarks.variants import SETTINGS
from benchmarks.variants import VARIANTS as ALL_VARIANTS
from nnunetv2_dale.dale.config import ADAPTED, PRINTED
from tests.benchmarks.tables import cells
from tests.conftest import REPOSITORY


def test_the_share_of_algorithm_1_by_hand() -> None:
    phases = replace(PRINTED, phase_in=0.3, phase_out=0.3, every=2)
    assert share_of_algorithm_1(phases, batches=10) == 0.2  # batches 3 and 5 of 3 to 6
    assert share_of_algorithm_1(PRINTED, batches=10) == 1.0
    # the default waits for no class here: what a training costs that has learned them in time
    assert share_of_algorithm_1(ADAPTED, batches=1000) == share_of_algorithm_1(replace(ADAPTED, learned=0.0), 1000) > 0


def measured(**ratios: float) -> dict[str, dict[str, float]]:
    return {name: {"ratio_median": ratio, "step_memory_ratio": ratio / 2} for name, ratio in ratios.items()}


def test_the_cost_is_the_mean_of_both_kinds_of_batches() -> None:
    found = training_costs(measured(plain=1.0, dale=4.5, dale_whole=1.1, lookahead=4.2))
    assert set(found) == {"nnUNetTrainerDALE", "nnUNetTrainerDALE_asPrinted"}  # the others are not measured
    dale, share = found["nnUNetTrainerDALE"], share_of_algorithm_1(ADAPTED)
    assert dale["by_count"] == pytest.approx(1 + 3 * share)
    assert dale["by_measurement"] == pytest.approx(4.5 * share + 1.1 * (1 - share))
    assert dale["step_memory"] == 2.25
    printed = found["nnUNetTrainerDALE_asPrinted"]
    assert (printed["by_count"], printed["by_measurement"], printed["step_memory"]) == (4.0, 4.2, 2.1)


def test_the_trust_of_cases_costs_what_its_one_kind_of_batch_does() -> None:
    found = training_costs(measured(plain=1.0, case_trust=1.02))["nnUNetTrainerCaseTrust"]
    assert (found["share"], found["by_count"], found["by_measurement"]) == (0.0, 1.0, 1.02)


def test_the_table_has_a_row_per_training() -> None:
    table = trainings_table(training_costs(measured(plain=1.0, case_trust=1.02)))
    assert cells(table) == [["nnUNetTrainerCaseTrust", "0 %", "1.00", "1.02", "0.51"]]


def test_every_iteration_of_a_training_is_one_that_is_measured() -> None:
    needed = {name for training in TRAININGS for name in (training.algorithm_1, training.whole)}
    assert needed <= set(VARIANTS) <= set(ALL_VARIANTS)
    assert SETTINGS["dale"] == ADAPTED


def test_the_stored_costs_are_those_of_the_default_as_it_is_and_within_their_targets() -> None:
    (row,) = json.loads((REPOSITORY / "benchmarks" / "results" / "training_cost_2d.json").read_text())["cases"]
    assert row["trainings"] == training_costs(row["variants"])  # the phases of today
    default, reuse = (row["trainings"][f"nnUNetTrainerDALE{name}"] for name in ("", "_reuse"))
    assert max(default["by_count"], default["by_measurement"]) <= 1.5
    assert max(reuse["by_count"], reuse["by_measurement"]) <= 1.3
    assert max(default["step_memory"], reuse["step_memory"]) <= 1.3
    ratios = {name: found["ratio_median"] for name, found in row["variants"].items()}
    assert ratios["dale"] <= 4.1
    assert ratios["dale_reuse"] <= 2.45
    assert ratios["dale_head"] <= 2.15
