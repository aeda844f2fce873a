"""The memory of cases beside the checkpoints: of which checkpoint it is, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint

from nnunetv2_dale.case_trust.case_trust import CaseTrust
from nnunetv2_dale.case_trust.config import CaseTrustConfig
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.nnunet_files.displacement_file import FILE, read_displacements, write_displacements
from nnunetv2_dale.trainer.case_memory import restore_cases, save_cases
from nnunetv2_dale.trainer.case_trust import nnUNetTrainerCaseTrust
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from nnunetv2_dale.trainer.safe_training import SafeTraining
from tests.trainer.fixtures import (
    TINY_TRAININGS,
    make_trainer,
    started,
    stop_after,
    train,
)

CPU = torch.device("cpu")
STATE = {
    "a": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]],
    "b": [[0.5, 0.25], [8.0, 16.0], [2.0, 1.0], [4.0, 0.0]],
}


def trust_with(state: dict[str, list[list[float]]]) -> CaseTrust:
    trust = CaseTrust(MaskedLoss(), CaseTrustConfig(), batches=10)
    trust.displacement.restore(state, CPU)
    return trust


def test_what_is_saved_is_restored(tmp_path: Path) -> None:
    save_cases(trust_with(STATE), tmp_path / "checkpoint_latest.pth")
    fresh = trust_with({})
    restore_cases(fresh, tmp_path, ["a", "b", "c"], 2, CPU)
    assert fresh.displacement.state() == STATE


def test_nothing_remembered_is_not_written_and_a_lost_file_is_learned_again(tmp_path: Path) -> None:
    save_cases(trust_with({}), tmp_path / "checkpoint_latest.pth")
    assert list(tmp_path.iterdir()) == []
    fresh = trust_with({})
    restore_cases(fresh, tmp_path, ["a"], 2, CPU)
    assert fresh.displacement.state() == {}


def test_it_is_the_memory_of_the_checkpoint_a_training_goes_on_from(tmp_path: Path) -> None:
    """A better checkpoint of a later epoch changes nothing; the next latest one does, and the final one."""
    other = {"a": [[9.0, 9.0]] * 4}
    save_cases(trust_with(other), tmp_path / "checkpoint_best.pth")  # before there is a latest one: it is the one
    assert read_displacements(tmp_path) == other
    (tmp_path / "checkpoint_best.pth").touch()
    save_cases(trust_with(STATE), tmp_path / "checkpoint_latest.pth")
    (tmp_path / "checkpoint_latest.pth").touch()
    save_cases(trust_with(other), tmp_path / "checkpoint_best.pth")
    assert read_displacements(tmp_path) == STATE
    save_cases(trust_with(other), tmp_path / "checkpoint_final.pth")
    assert read_displacements(tmp_path) == other


@pytest.mark.parametrize(
    ("cases", "heads", "told"),
    [
        (["a"], 2, "1 of its 2 cases, first b, are no training cases of this fold; delete it"),
        (["c"], 2, "2 of its 2 cases, first a, are no training cases of this fold; delete it"),
        (["a", "b"], 3, "expected 3 sums per case, one for each output of the network, found 2; delete it"),
    ],
)
def test_the_memory_of_another_training_is_refused(tmp_path: Path, cases: list[str], heads: int, told: str) -> None:
    write_displacements(tmp_path, STATE)
    fresh = trust_with({})
    with pytest.raises(RuntimeError, match=told) as error:
        restore_cases(fresh, tmp_path, cases, heads, CPU)
    assert str(tmp_path / FILE) in str(error.value)
    assert fresh.displacement.state() == {}


class TestTrainings:
    """The trainers hand their fold's cases and their network's heads over."""

    pytestmark = TINY_TRAININGS

    @pytest.mark.parametrize("trainer_class", [nnUNetTrainerDALE, nnUNetTrainerCaseTrust])
    @pytest.mark.parametrize("case", ["phantom_000", "somebody"])  # fold 0 validates on the first
    def test_a_training_that_goes_on_refuses_other_cases(self, trainer_class: type[SafeTraining], case: str) -> None:
        stop_after(make_trainer(trainer_class, epochs=2), epochs=1)
        resumed = make_trainer(trainer_class, epochs=2, resume=True)
        write_displacements(Path(resumed.output_folder), {case: [[1.0] * 5] * 4})
        maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
        with pytest.raises(RuntimeError, match=f"1 of its 1 cases, first {case}, are no training cases of this fold"):
            resumed.run_training()

    @pytest.mark.parametrize("trainer_class", [nnUNetTrainerDALE, nnUNetTrainerCaseTrust])
    def test_a_training_that_goes_on_refuses_other_classes(self, trainer_class: type[SafeTraining]) -> None:
        stop_after(make_trainer(trainer_class, epochs=2), epochs=1)
        resumed = make_trainer(trainer_class, epochs=2, resume=True)
        write_displacements(Path(resumed.output_folder), {"phantom_001": [[1.0] * 3] * 4})
        maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
        with pytest.raises(RuntimeError, match="expected 5 sums per case, one for each output of the network, found 3"):
            resumed.run_training()

    def test_a_training_that_starts_anew_does_not_look(self) -> None:
        trainer = make_trainer(nnUNetTrainerCaseTrust)
        write_displacements(Path(trainer.output_folder), {"somebody": [[1.0] * 3] * 4})
        started(trainer)

    def test_a_lost_file_is_learned_again(self) -> None:
        train(make_trainer(nnUNetTrainerCaseTrust, epochs=1))
        trainer = make_trainer(nnUNetTrainerCaseTrust, epochs=2, resume=True)
        file = Path(trainer.output_folder, FILE)
        file.unlink()
        file.with_name("checkpoint_final.pth").rename(file.with_name("checkpoint_latest.pth"))
        maybe_load_checkpoint(trainer, continue_training=True, validation_only=False)
        train(trainer)
        assert file.exists()
