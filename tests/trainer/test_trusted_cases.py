"""What trainers that doubt cases remember of them from checkpoint to checkpoint, and what their log says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dale.case_trust.case_displacement import CaseDisplacement
from nnunetv2_dale.demo.anatomy import LABELS
from nnunetv2_dale.nnunet_files.displacement_file import FILE, TABLE, write_displacements
from nnunetv2_dale.trainer.case_trust import nnUNetTrainerCaseTrust
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from nnunetv2_dale.trainer.trusted_cases import TrustsCases
from tests.datasets import CASES
from tests.trainer.fixtures import (
    TINY_TRAININGS,
    give_confidence,
    make_trainer,
    next_batch,
    started,
    stop_after,
    train,
    weights_of,
)

pytestmark = TINY_TRAININGS

TRUSTING = (nnUNetTrainerDALE, nnUNetTrainerCaseTrust)
BOTH = pytest.mark.parametrize("trainer_class", TRUSTING)
NONE = "among 4 training cases, found none"


def lines_of(trainer: TrustsCases, title: str = "groups of cases: ") -> list[str]:
    """What follows a title in the text log."""
    lines = Path(trainer.log_file).read_text().splitlines()
    return [line.split(title, 1)[1].rstrip() for line in lines if title in line]


@pytest.mark.parametrize(
    ("trainer_class", "settings", "found", "said"),
    [
        *((kind, {"start": 0.0, "after": 0}, ["label 1"], ["from epoch 0 on", *["label 1"] * 3]) for kind in TRUSTING),
        (nnUNetTrainerCaseTrust, {"start": 0.4, "after": 0}, ["label 1"], ["from epoch 2 on", "label 1"]),
        (nnUNetTrainerCaseTrust, {"start": 0.0, "after": 5}, [], ["from epoch 2 on", NONE]),
        (nnUNetTrainerCaseTrust, {"start": 0.0, "after": 0}, [], ["from epoch 0 on", NONE]),
        (nnUNetTrainerCaseTrust, {"start": 1.0, "after": 0}, ["label 1"], ["not looked for: 9 batches"]),
        (nnUNetTrainerCaseTrust, {"explained": 1.0}, [], ['not looked for: "explained"']),
    ],
)
def test_not_looked_for_not_found_and_found_are_three_sentences(
    trainer_class: type[TrustsCases], settings: dict[str, float], found: list[str], said: list[str], monkeypatch
) -> None:
    """At the start what will be done; then each epoch what was found, or once that nothing was."""
    monkeypatch.setattr(CaseDisplacement, "look_for_groups", lambda *_: found)
    trainer = make_trainer(trainer_class, settings={"case_trust": settings}, epochs=3)
    train(trainer)
    lines = lines_of(trainer)
    assert len(lines) == len(said)
    assert all(part in line for part, line in zip(said, lines, strict=True))


@BOTH
def test_the_last_line_says_that_a_training_without_the_method_was_plain_nnunet(trainer_class) -> None:
    trainer = make_trainer(trainer_class, settings={"dale": {"learned": 1.0}}, epochs=2)
    train(trainer)
    last = [line for line in Path(trainer.log_file).read_text().splitlines() if line.strip()][-1]
    assert last.rstrip().endswith("cases were down-weighted in 0 of 2 epochs: this is plain nnU-Net")
    assert ("Algorithm 1 in 0 of 6 batches; " in last) == (trainer_class is nnUNetTrainerDALE)


@BOTH
def test_labels_that_changed_before_a_training_goes_on_are_named(trainer_class: type[TrustsCases]) -> None:
    stop_after(make_trainer(trainer_class, epochs=2, iterations=6), epochs=1)
    resumed = make_trainer(trainer_class, epochs=2, iterations=6, resume=True)
    file = Path(resumed.output_folder, FILE)
    memory = json.loads(file.read_text())
    seen = sorted(memory["cases"])
    memory["labels"][seen[0]] = "of another label"
    file.write_text(json.dumps(memory))
    maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
    started(resumed)
    assert set(resumed.trust.displacement.state()) == set(seen[1:])
    (line,) = lines_of(resumed, "memory of the cases: ")
    assert line.endswith(f"is forgotten: 1 ({seen[0]})")


@BOTH
def test_a_case_that_was_given_weight_0_before_a_training_goes_on_is_left_out(
    trainer_class: type[TrustsCases], nnunet, tmp_path: Path, monkeypatch
) -> None:
    stop_after(make_trainer(trainer_class, epochs=2, iterations=6), epochs=1)
    seen = sorted(json.loads(Path(make_trainer(trainer_class).output_folder, FILE).read_text())["cases"])
    give_confidence(tmp_path / "preprocessed", monkeypatch, f"case,weight\n{seen[0]},0\n")
    resumed = make_trainer(trainer_class, epochs=2, iterations=6, resume=True)
    maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
    train(resumed)
    assert set(resumed.trust.displacement.state()) == set(resumed.training_cases) == set(CASES[1:]) - {seen[0]}
    (line,) = lines_of(resumed, "memory of the cases: ")
    assert line.endswith(f"is forgotten: 1 ({seen[0]})")


@BOTH
@pytest.mark.parametrize(("kind", "names"), [("Ignore", list(LABELS)), ("RegionsIgnore", ["body", "lesion"])])
def test_the_table_beside_the_memory_has_the_names_of_classes(trainer_class: type[TrustsCases], kind, names) -> None:
    trainer = make_trainer(trainer_class, kind)
    train(trainer)
    assert trainer.output_names == names
    rows = Path(trainer.output_folder, TABLE).read_text().splitlines()[1:]
    assert {row.split(",")[1] for row in rows} <= set(names)
    assert len(rows) >= 2


@BOTH
def test_a_training_that_goes_on_refuses_another_memory(trainer_class: type[TrustsCases]) -> None:
    """What is refused: `test_case_memory.py`."""
    stop_after(make_trainer(trainer_class, epochs=2), epochs=1)
    resumed = make_trainer(trainer_class, epochs=2, resume=True)
    # fold 0 validates on it
    write_displacements(Path(resumed.output_folder), {"phantom_000": [[1.0] * 5] * 12}, {}, "12345")
    maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
    with pytest.raises(RuntimeError, match="1 of its cases is no training case of this fold, first phantom_000"):
        resumed.run_training()


def test_a_training_that_starts_anew_does_not_look() -> None:
    trainer = make_trainer(nnUNetTrainerCaseTrust)
    write_displacements(Path(trainer.output_folder), {"somebody": [[1.0] * 3] * 12}, {}, "123")
    started(trainer)


def test_without_groups_an_iteration_is_plain_nnunets() -> None:
    """Same weights after two iterations, up to the order of sums."""
    weights = []
    for kind in (nnUNetTrainer, nnUNetTrainerCaseTrust):
        torch.manual_seed(0)
        trainer = started(make_trainer(kind, epochs=10))
        for seed in range(2):
            trainer.train_step(next_batch(trainer, seed))
        weights.append(weights_of(trainer))
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=1e-4, atol=1e-6)
