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

from nnunetv2_dale.case_trust.case_displacement import CaseDisplacement
from nnunetv2_dale.dale.config import ADAPTED, DaleConfig
from nnunetv2_dale.nnunet_files.displacement_file import FILE
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from tests.tiny_plans import architecture
from tests.trainer.fixtures import (
    DALE_KEYS,
    EAGER_TO_DOUBT,
    NNUNET_KEYS,
    PHASE_KEYS,
    TINY_TRAININGS,
    SeededEpochs,
    log_of,
    make_trainer,
    next_batch,
    nnunet,  # noqa: F401 -- a fixture
    started,
    stop_after,
    train,
    weights_of,
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


@pytest.mark.parametrize(
    ("kind", "configuration", "changes"),
    [
        ("Labels", "2d", {}),
        ("Labels", "3d_fullres", {}),
        ("Regions", "2d", {}),
        ("Ignore", "2d", {}),
        ("RegionsIgnore", "2d", {}),
        ("Labels", "2d", {"architecture": architecture(2, residual=True)}),
        ("Labels", "3d_fullres", {"architecture": architecture(3, residual=True)}),
    ],
)
def test_trains(kind: str, configuration: str, changes: dict[str, Any]) -> None:
    trainer = make_trainer(
        nnUNetTrainerDALE, kind, configuration, settings=settings() | changes, epochs=EPOCHS, iterations=ITERATIONS
    )
    trainer.initialize()
    before = weights_of(trainer)
    log = train(trainer)
    assert log["dale_share"] == [0.25, 0.5]
    assert all(
        np.isfinite(log[key]).all() for key in DALE_KEYS - {"dale_case_mean", "dale_case_std"} | {"train_losses"}
    )
    after = weights_of(trainer)
    assert all(weight.isfinite().all() for weight in after.values())
    unused = "decoder.seg_layers.0."  # nnU-Net gives the lowest resolution no weight in the loss
    assert all(unused in name for name in after if torch.equal(after[name], before[name]))


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


PARTS: dict[str, dict[str, Any]] = {
    "phase-in": {"phase_in": 0.6},
    "phase-out": {"phase_out": 0.5},
    "share": {"every": 3},
    "waiting for the classes": {"learned": 1.0},
    "views of the input": {"view": "masked_loss"},
    "patches": {"fewest_patches": 1},
    "views at all": {"patch_size": 4096, "fewest_patches": 1},
    "entropy": {"fuzziness_source": "edges"},
    "edges": {"fuzziness_source": "entropy"},
    "fuzzy bins": {"intensity_bins": "equal"},
    "meta omega": {"confidence_steps": 0},
    "look-ahead": {"confidence_gradient": "reuse", "fuzzy_graph": "keep"},
    "memory of omega": {"confidence_memory": 0.0},
    "trust of the cases": {"case_trust": "off"},
    "alignment": {"alignment_weight": 0.0},
    "bound of the alignment": {"alignment_bound": 1000.0},
    "scale of the alignment": {"alignment_scale": "absolute", "alignment_bound": 1000.0},
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
    assert "Algorithm 1 from here on, every class is learned" in text
    assert text.count("DALE confidence histogram, 0 to 2:") == EPOCHS


def test_an_epoch_of_whole_batches_says_so_and_what_it_waits_for() -> None:
    trainer = make_trainer(nnUNetTrainerDALE, settings=settings(learned=1.0), epochs=1, iterations=3)
    log = train(trainer)
    assert (log["dale_share"], log["dale_plain_iterations"], log["dale_running"]) == ([0.0], [1.0], [0.0])
    assert np.isnan(log["dale_meta_mean"][0])
    assert "DALE waits for class 0 (probability 0." in Path(trainer.log_file).read_text()


@pytest.mark.parametrize(("start", "told"), [(0.0, 2), (0.5, 1), (1.0, 0)])
def test_the_log_tells_the_groups_it_doubts(start: float, told: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the beginning of each epoch in which cases may be doubted."""
    monkeypatch.setattr(CaseDisplacement, "look_for_groups", lambda *_: ["label 1: 2 of 4 cases"])
    trainer = make_trainer(nnUNetTrainerDALE, settings={"case_trust": {"start": start, "after": 0}}, epochs=2)
    train(trainer)
    assert Path(trainer.log_file).read_text().count("DALE groups: label 1: 2 of 4 cases") == told


# --- resumed ----------------------------------------------------------------------------------------------------------


class Seeded(SeededEpochs, nnUNetTrainerDALE):
    """On the same batches in the same epoch."""


# The classes are learned in the course of the second epoch, so that what the phases remember decides.
RESUMED: dict[str, Any] = settings(phase_in=0.1, learned=0.05)


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit by bit: phases, averages and the memory of the cases."""
    torch.manual_seed(0)
    whole = make_trainer(Seeded, epochs=3, iterations=4, settings=RESUMED)
    whole_log = train(whole)
    remembered = json.loads(Path(whole.output_folder, FILE).read_text())["cases"]

    monkeypatch.setenv("nnUNet_results", str(tmp_path / "interrupted"))
    torch.manual_seed(0)
    stop_after(make_trainer(Seeded, epochs=3, iterations=4, settings=RESUMED), epochs=2)
    resumed = make_trainer(Seeded, epochs=3, iterations=4, settings=RESUMED, resume=True)
    maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
    resumed_log = train(resumed)

    expected = weights_of(whole)
    assert all(torch.equal(weight, expected[name]) for name, weight in weights_of(resumed).items())
    assert json.loads(Path(resumed.output_folder, FILE).read_text())["cases"] == remembered
    for key in DALE_KEYS | PHASE_KEYS | {"train_losses", "lrs"}:
        np.testing.assert_equal(resumed_log[key], whole_log[key])
    assert whole_log["dale_share"][2] > 0
    assert whole_log["dale_case_mean"][2] < 1


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


def test_plans_of_earlier_versions_get_the_list_of_settings() -> None:
    with pytest.raises(
        ValueError, match=r"unknown setting 'confidence_source' in .dale.\. Valid are: .*confidence_steps"
    ):
        make_trainer(nnUNetTrainerDALE, settings={"dale": {"confidence_source": "grouped"}})


def test_without_checkpoints_there_is_no_file() -> None:
    trainer = make_trainer(nnUNetTrainerDALE)
    trainer.disable_checkpointing = True
    train(trainer)
    assert not Path(trainer.output_folder, FILE).exists()
    assert len(log_of(trainer)["dale_share"]) == 1
