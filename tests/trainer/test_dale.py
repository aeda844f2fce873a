"""nnUNetTrainerDALE: its phases, every part at work, its numbers in the log, resumed bit by bit."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import Tensor

from nnunetv2_dale.dale.config import ADAPTED, DaleConfig
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from tests.trainer.fixtures import (
    DALE_KEYS,
    EAGER_TO_DOUBT,
    NNUNET_KEYS,
    PHASE_KEYS,
    TINY_TRAININGS,
    make_trainer,
    next_batch,
    started,
    stop_after,
    train,
)

pytestmark = TINY_TRAININGS

EPOCHS, ITERATIONS = 2, 4
# Of 8 batches the first two are whole; then every second is an iteration of Algorithm 1.
DALE = {"phase_in": 0.25, "phase_out": 0.0, "every": 2, "learned": 0.01, "patch_size": 8}
WHOLE = [0, 1, 3, 5, 7]


def settings(**changes: Any) -> dict[str, Any]:
    return {"dale": DALE | changes, **EAGER_TO_DOUBT}


def test_its_settings_are_the_adapted_ones() -> None:
    found = nnUNetTrainerDALE.dale
    assert {each.name: getattr(found, each.name) for each in fields(DaleConfig)} == asdict(ADAPTED)
    assert found.case_trust == "groups"


# --- every part changes the network -----------------------------------------------------------------------------------


def trained(kind: type[nnUNetTrainer], **changes: Any) -> tuple[list[Tensor], list[list[Tensor]]]:
    """The network's weights after every batch of a whole training, in one vector; and the network's inputs."""
    torch.manual_seed(0)
    trainer = make_trainer(kind, settings=settings(**changes), epochs=EPOCHS, iterations=ITERATIONS)
    trainer.on_train_start()
    weights: list[Tensor] = []
    inputs: list[list[Tensor]] = []
    trainer.network.register_forward_pre_hook(lambda _, given: inputs[-1].append(given[0].detach().clone()))
    for epoch in range(EPOCHS):
        trainer.current_epoch = epoch
        trainer.on_epoch_start()
        trainer.on_train_epoch_start()
        outputs = []
        for iteration in range(ITERATIONS):
            inputs.append([])
            outputs.append(trainer.train_step(next_batch(trainer, ITERATIONS * epoch + iteration)))
            weights.append(torch.nn.utils.parameters_to_vector(trainer.network.parameters()).detach().clone())
        trainer.on_train_epoch_end(outputs)
    return weights, inputs


def distance(ours: list[Tensor], others: list[Tensor], batch: int) -> float:
    """How far the weights after a batch lie apart, relative to the way from the first batch's."""
    return float((ours[batch] - others[batch]).norm() / (ours[batch] - ours[0]).norm())


@pytest.fixture(scope="module")
def default() -> dict[str, Any]:
    """Filled by the first test that needs it: the fixture `nnunet` is each test's own."""
    return {}


def whole_method(default: dict[str, Any]) -> tuple[list[Tensor], list[list[Tensor]]]:
    if not default:
        default["trained"] = trained(nnUNetTrainerDALE)
    found: tuple[list[Tensor], list[list[Tensor]]] = default["trained"]
    return found


def test_phases(default: dict[str, Any]) -> None:
    """Whole batches one forward each, the images untouched; Algorithm 1 two views and the shifted one."""
    _, inputs = whole_method(default)
    assert [len(seen) for seen in inputs] == [1 if batch in WHOLE else 3 for batch in range(8)]
    trainer = started(make_trainer(nnUNetTrainerDALE))
    for batch, seen in enumerate(inputs):
        images = next_batch(trainer, batch)["data"]
        assert all(torch.equal(view, images) == (batch in WHOLE) for view in seen)


def test_before_algorithm_1_begins_it_is_plain_nnunet(default: dict[str, Any]) -> None:
    weights, _ = whole_method(default)
    plain, _ = trained(nnUNetTrainer)
    for batch in (0, 1):
        torch.testing.assert_close(weights[batch], plain[batch], rtol=1e-4, atol=1e-6)
    assert distance(weights, plain, 2) > 0.1


# `test_alternating_step.py` has the settings of an iteration; these act over the phases, cases and epochs of a training
PARTS: dict[str, dict[str, Any]] = {
    "phase-in": {"phase_in": 0.6},
    "phase-out": {"phase_out": 0.5},
    "share": {"every": 3},
    "waiting for the classes": {"learned": 1.0},
    "patches": {"fewest_patches": 1},
    "views at all": {"patch_size": 4096, "fewest_patches": 1},
    "entropy": {"fuzziness_source": "edges"},
    "edges": {"fuzziness_source": "entropy"},
    "fuzzy bins": {"intensity_bins": "equal"},
    "meta omega": {"confidence_steps": 0},
    "memory of omega": {"confidence_memory": 0.0},
    "trust of the cases": {"case_trust": "off"},
    "alignment": {"alignment_weight": 0.0},
    "memory of the alignment": {"alignment_memory": 0.0},
    "noise of Eq. 13": {"covariance_noise": 0.0},
}
# These act from the second iteration of Algorithm 1, or epoch, on; and are small beside the others
SMALL = {"memory of the alignment": 1e-6, "noise of Eq. 13": 1e-6}


@pytest.mark.parametrize("part", PARTS)
def test_every_part_changes_the_network(part: str, default: dict[str, Any]) -> None:
    """The same training without the part ends elsewhere."""
    weights, _ = whole_method(default)
    without, _ = trained(nnUNetTrainerDALE, **PARTS[part])
    assert distance(weights, without, 7) > SMALL.get(part, 1e-5)


# --- the log ----------------------------------------------------------------------------------------------------------


def test_the_log_has_the_numbers() -> None:
    trainer = make_trainer(nnUNetTrainerDALE, settings=settings(), epochs=EPOCHS, iterations=ITERATIONS)
    log = train(trainer)
    assert set(log) == NNUNET_KEYS | DALE_KEYS | PHASE_KEYS
    assert {key: len(values) for key, values in log.items()} == dict.fromkeys(log, EPOCHS)
    assert log["dale_share"] == [0.25, 0.5]
    assert log["dale_plain_iterations"] == [1.75, 2.5]  # an iteration of Algorithm 1 costs 4
    for epoch in range(EPOCHS):
        assert log["dale_meta_std"][epoch] > 0
        assert abs(log["dale_meta_mean"][epoch] - 1) <= 0.1
        assert log["dale_alignment"][epoch] > 0
        assert 0 < log["dale_alignment_share"][epoch] <= ADAPTED.alignment_bound + 1e-6
        assert 0 < log["dale_fuzzy_fraction"][epoch] < 1
    assert log["dale_case_mean"][0] == 1  # no groups yet
    assert 0 < log["dale_case_mean"][1] < 1
    assert log["dale_case_std"][1] > 0
    text = Path(trainer.log_file).read_text()
    numbers = [json.loads(line.split("DALE ", 1)[1]) for line in text.splitlines() if "DALE {" in line]
    assert [each["share"] for each in numbers] == [0.25, 0.5]
    plan = "DALE: Algorithm 1 in batches 2 to 8 of 8, every second, once every class is learned; the others are plain"
    assert plan in text
    assert "Algorithm 1 from here on, every class is learned" in text
    assert "DALE: Algorithm 1 in 3 of 8 batches; cases were down-weighted in 1 of 2 epochs" in text.splitlines()[-1]
    assert text.count("DALE confidence histogram, 0 to 2:") == EPOCHS


def test_the_end_of_algorithm_1_has_its_line() -> None:
    """Once, in the epoch in which it ends; in the one after that nothing is waited for."""
    trainer = make_trainer(nnUNetTrainerDALE, settings=settings(phase_out=0.5, learned=0), epochs=3, iterations=4)
    train(trainer)
    text = Path(trainer.log_file).read_text()
    assert "DALE: Algorithm 1 in batches 3 to 6 of 12, every second; the others are plain nnU-Net" in text
    assert text.count("DALE: batch 6: Algorithm 1 ends here") == 1
    assert text.index("Algorithm 1 ends here") < text.index("Epoch 2")
    assert "DALE: Algorithm 1 in 2 of 12 batches" in text


def test_an_epoch_of_whole_batches_says_so_and_what_it_waits_for() -> None:
    trainer = make_trainer(nnUNetTrainerDALE, settings=settings(learned=1.0), epochs=1, iterations=3)
    log = train(trainer)
    assert (log["dale_share"], log["dale_plain_iterations"], log["dale_running"]) == ([0.0], [1.0], [0.0])
    assert np.isnan(log["dale_meta_mean"][0])
    assert "DALE waits for class 0 (probability 0." in Path(trainer.log_file).read_text()


# --- resumed ----------------------------------------------------------------------------------------------------------


def test_phases_go_on_where_a_paused_epoch_left_them() -> None:
    """An epoch that ended without Algorithm 1 is followed by one that does not begin with it."""
    trainer = started(make_trainer(nnUNetTrainerDALE, settings=settings(learned=1.0), epochs=2, iterations=2))
    outputs = [trainer.train_step(next_batch(trainer, seed)) for seed in range(2)]
    trainer.on_train_epoch_end(outputs)
    step = trainer.dale_step
    assert step is not None
    kept = step.phases.classes.probabilities
    step.phases.running = True
    step.phases.classes.restore([], [])
    trainer.current_epoch = 1
    trainer.on_train_epoch_start()
    assert not step.phases.running
    assert step.phases.classes.probabilities == pytest.approx(kept)
    assert step.batch == 2


def test_without_a_threshold_a_resumed_training_waits_for_nothing() -> None:
    """It was waiting for classes when it was interrupted; the plans it goes on with do not ask for them."""
    waiting, not_waiting = (settings(learned=learned, phase_in=0.1) for learned in (1.0, 0.0))
    stop_after(make_trainer(nnUNetTrainerDALE, settings=waiting, epochs=3, iterations=2), epochs=1)
    resumed = make_trainer(nnUNetTrainerDALE, settings=not_waiting, epochs=3, iterations=2, resume=True)
    maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
    log = train(resumed)
    assert log["dale_running"] == [0.0, 1.0, 1.0]
    assert log["dale_share"] == [0.0, 0.5, 0.5]


# --- refused at the start ---------------------------------------------------------------------------------------------


def test_a_training_shorter_than_its_phase_in_names_the_setting() -> None:
    trainer = make_trainer(nnUNetTrainerDALE, epochs=1, iterations=1)
    with pytest.raises(ValueError, match=r'"phase_in" .* leave none of the 1 batches of this training'):
        trainer.initialize()
    shorter = make_trainer(nnUNetTrainerDALE, settings=settings(phase_in=0.95), epochs=2, iterations=4)
    with pytest.raises(ValueError, match=r'"phase_in" 0\.95 and "phase_out" 0 leave none of the 8 batches'):
        shorter.run_training()
