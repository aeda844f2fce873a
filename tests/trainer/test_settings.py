"""The settings of a training: from the plans, refused where they are wrong, and at work."""

from __future__ import annotations

import pytest

from nnunetv2_dale.trainer.variants import nnUNetTrainerDALE_asPrinted as Printed
from tests.trainer.fixtures import (
    TINY_TRAININGS,
    make_trainer,
    train,
)

pytestmark = TINY_TRAININGS


def test_settings_come_from_the_plans() -> None:
    """What "dale" says holds."""
    settings = {"dale": {"confidence_steps": 0, "alignment_weight": 0.25, "patch_size": 4}}
    trainer = make_trainer(Printed, settings=settings)
    log = train(trainer)
    assert (trainer.dale.confidence_steps, trainer.dale.alignment_weight, trainer.dale.patch_size) == (0, 0.25, 4)
    assert Printed.dale.confidence_steps == 1
    assert log["dale_confidence_mean"] == [1.0]


def test_the_patch_size_of_the_plans_changes_what_is_fuzzy() -> None:
    """With one patch per image the fuzziness is constant, hence 0 after min–max: nothing is fuzzy."""
    log = train(make_trainer(Printed, settings={"dale": {"patch_size": 32}}))
    assert log["dale_fuzzy_fraction"] == [0.0]


def test_the_trust_of_cases_needs_whole_batches() -> None:
    with pytest.raises(ValueError, match="phase_in 0 and every 1 leave none"):
        make_trainer(Printed, settings={"dale": {"case_trust": "groups"}})
    for enough in ({"every": 2}, {"phase_in": 0.1}):
        trainer = make_trainer(Printed, settings={"dale": {"case_trust": "groups", **enough}})
        assert trainer.dale.case_trust == "groups"
