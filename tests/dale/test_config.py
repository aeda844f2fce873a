"""The configuration: the paper's values, ranges, messages."""

from __future__ import annotations

from dataclasses import fields

import pytest

from nnunetv2_dale.dale.config import ADAPTED, PRINTED, DaleConfig


def test_defaults_are_the_papers():
    config = DaleConfig()
    assert (config.fuzzy_threshold, config.alignment_weight, config.confidence_steps) == (0.9, 0.05, 1)
    assert (config.confidence_lr, config.patch_size, config.view) == (0.1, 16, "masked_input")
    assert (config.fuzziness_source, config.intensity_bins, config.fewest_patches) == ("both", "equal", 1)
    assert config.confidence_gradient == "look_ahead"
    # Algorithm 1 from the first batch to the last, on every one
    assert (config.phase_in, config.phase_out, config.every, config.learned) == (0, 0, 1, 0)
    assert (config.confidence_memory, config.alignment_memory, config.alignment_scale) == (0, 0, "absolute")
    assert config == PRINTED


def test_what_the_trainer_uses_has_every_part_of_dale():
    assert ADAPTED.learns_confidence
    assert ADAPTED.alignment_weight > 0
    assert 0 < ADAPTED.phase_in < 1
    assert ADAPTED.fuzziness_source == "both"
    assert len(fields(DaleConfig)) <= 22  # a setting more needs one less


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"tau": 0.5},
            r"unknown setting 'tau' in .dale.*fuzzy_threshold \(0 to 1\).*view \(masked_input \| masked_loss\)",
        ),
        (
            {"phase_in": 0.6, "phase_out": 0.4},
            "must leave some of the training for Algorithm 1: their sum must be below 1",
        ),
        # of an earlier version
        ({"alignment_warmup": 1}, r"unknown setting 'alignment_warmup' in .dale.\. Valid are: patch_size .*phase_in"),
    ],
)
def test_bad_settings_say_what_is_valid(settings, message):
    with pytest.raises(ValueError, match=message):
        DaleConfig().updated(settings)


@pytest.mark.parametrize("choice", ["recompute", "shifted"])
def test_a_fuzzy_graph_that_is_not_kept_needs_a_look_ahead(choice: str) -> None:
    assert DaleConfig(fuzzy_graph=choice).confidence_gradient == "look_ahead"
    with pytest.raises(ValueError, match=rf'fuzzy_graph "{choice}".*look_ahead'):
        DaleConfig(fuzzy_graph=choice, confidence_gradient="reuse")
