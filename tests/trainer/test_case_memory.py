"""The memory of cases beside the checkpoints: of which checkpoint it is, and what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nnunetv2_dale.case_trust.case_trust import CaseTrust
from nnunetv2_dale.case_trust.config import CaseTrustConfig
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.nnunet_files.displacement_file import FILE, read_displacements, write_displacements
from nnunetv2_dale.trainer.case_memory import label_checksums, restore_cases, save_cases

CPU = torch.device("cpu")
SUMS, CLASSES = {"a": "0001", "b": "0002", "c": "0003"}, ["background", "organ"]
STATE = {case: (np.random.default_rng(seed).integers(0, 64, (12, 2)) / 8).tolist() for seed, case in enumerate("ab")}


def trust_with(state: dict[str, list[list[float]]]) -> CaseTrust:
    trust = CaseTrust(MaskedLoss(), CaseTrustConfig(), batches=10)
    trust.displacement.restore(state, CPU)
    return trust


def test_what_is_saved_is_restored(tmp_path: Path) -> None:
    save_cases(STATE, tmp_path / "checkpoint_latest.pth", SUMS, CLASSES)
    fresh = trust_with({})
    restore_cases(fresh, tmp_path, ["a", "b", "c"], 2, SUMS, CPU)
    assert fresh.displacement.state() == STATE


def test_nothing_remembered_is_not_written_and_a_lost_file_is_learned_again(tmp_path: Path) -> None:
    save_cases({}, tmp_path / "checkpoint_latest.pth", SUMS, CLASSES)
    assert list(tmp_path.iterdir()) == []
    fresh = trust_with({})
    restore_cases(fresh, tmp_path, ["a"], 2, SUMS, CPU)
    assert fresh.displacement.state() == {}


def test_it_is_the_memory_of_the_checkpoint_a_training_goes_on_from(tmp_path: Path) -> None:
    """A better checkpoint of a later epoch changes nothing; the next latest one does, and the final one."""
    other = {"a": [[9.0, 9.0]] * 12}
    save_cases(other, tmp_path / "checkpoint_best.pth", SUMS, CLASSES)  # before there is a latest one: it is the one
    assert read_displacements(tmp_path) == other
    (tmp_path / "checkpoint_best.pth").touch()
    save_cases(STATE, tmp_path / "checkpoint_latest.pth", SUMS, CLASSES)
    (tmp_path / "checkpoint_latest.pth").touch()
    save_cases(other, tmp_path / "checkpoint_best.pth", SUMS, CLASSES)
    assert read_displacements(tmp_path) == STATE
    save_cases(other, tmp_path / "checkpoint_final.pth", SUMS, CLASSES)
    assert read_displacements(tmp_path) == other


@pytest.mark.parametrize(
    ("cases", "heads", "told"),
    [
        (["a"], 2, "1 of its cases is no training case of this fold, first b; delete it"),
        (["c"], 2, "2 of its cases are no training case of this fold, first a; delete it"),
        (["a", "b"], 3, "expected 3 sums per case, one for each output of the network, found 2; delete it"),
    ],
)
def test_the_memory_of_another_training_is_refused(tmp_path: Path, cases: list[str], heads: int, told: str) -> None:
    write_displacements(tmp_path, STATE, SUMS, CLASSES)
    fresh = trust_with({})
    with pytest.raises(RuntimeError, match=told) as error:
        restore_cases(fresh, tmp_path, cases, heads, SUMS, CPU)
    assert str(tmp_path / FILE) in str(error.value)
    assert fresh.displacement.state() == {}


def test_a_case_whose_label_has_changed_is_forgotten_and_named(tmp_path: Path) -> None:
    """And so is a new case; one that had not been seen yet is neither."""
    write_displacements(tmp_path, STATE, SUMS, CLASSES)
    fresh = trust_with({})
    now = {**SUMS, "b": "beef", "c": "beef", "d": "0004"}
    forgotten, new = restore_cases(fresh, tmp_path, ["a", "b", "c", "d"], 2, now, CPU)
    assert forgotten.endswith("is forgotten: 1 (b)")
    assert new.endswith("new since the checkpoint: 1 (d)")
    assert fresh.displacement.state() == {"a": STATE["a"]}


def test_a_case_that_has_weight_0_since_then_is_forgotten_and_named_and_comes_back_as_new(tmp_path: Path) -> None:
    write_displacements(tmp_path, STATE, SUMS, CLASSES)
    fresh = trust_with({})
    (out,) = restore_cases(fresh, tmp_path, ["a", "c"], 2, {"a": "0001", "c": "0003"}, CPU, ["b", "elsewhere"])
    assert out.endswith("is forgotten: 1 (b)")
    assert fresh.displacement.state() == {"a": STATE["a"]}
    save_cases(fresh.displacement.state(), tmp_path / "checkpoint_latest.pth", {"a": "0001", "c": "0003"}, CLASSES)
    again = trust_with({})
    (new,) = restore_cases(again, tmp_path, ["a", "b", "c"], 2, SUMS, CPU, [])
    assert new.endswith("new since the checkpoint: 1 (b)")
    assert again.displacement.state() == {"a": STATE["a"]}


def test_a_memory_without_checksums_is_taken_as_it_is(tmp_path: Path) -> None:
    write_displacements(tmp_path, STATE, {}, CLASSES)
    fresh = trust_with({})
    assert restore_cases(fresh, tmp_path, ["a", "b"], 2, SUMS, CPU) == []
    assert fresh.displacement.state() == STATE


def test_the_checksum_is_of_the_label_alone() -> None:
    labels = np.random.default_rng(0).integers(0, 3, (1, 4, 5, 6)).astype(np.int8)
    changed = labels.copy()
    changed[0, -1, -1, -1] += 1
    cases = {"a": (1, labels), "same": (2, labels.copy()), "changed": (1, changed)}
    sums = label_checksums(SimpleNamespace(load_case=cases.__getitem__), cases)
    assert sums["a"] == sums["same"] != sums["changed"]
