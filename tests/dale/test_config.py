"""The configuration: the paper's values, ranges, messages."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from nnunetv2_dale.dale.config import DaleConfig, describe


def test_defaults_are_the_papers():
    config = DaleConfig()
    assert (config.fuzzy_threshold, config.alignment_weight, config.confidence_steps) == (0.9, 0.05, 1)
    assert (config.confidence_lr, config.patch_size, config.view) == (0.1, 16, "masked_input")
    assert (config.confidence_gradient, config.alignment_warmup) == ("look_ahead", 0)


def test_a_plans_object_replaces_fields():
    config = DaleConfig().updated({"patch_size": 8, "view": "masked_loss", "fuzzy_threshold": 1})
    assert (config.patch_size, config.view, config.fuzzy_threshold) == (8, "masked_loss", 1.0)
    assert isinstance(config.fuzzy_threshold, float)
    assert DaleConfig().patch_size == 16


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tau": 0.5}, r"unknown DALE setting 'tau'.*fuzzy_threshold \(0 to 1\).*view \(masked_input \| masked_loss\)"),
        ({"patch_size": 0}, "patch_size must be in 1 to 4096, got 0"),
        ({"patch_size": 8.0}, "patch_size must be a whole number, got 8.0"),
        ({"patch_size": True}, "patch_size must be a whole number, got True"),
        ({"fuzzy_threshold": "high"}, "fuzzy_threshold must be a number, got 'high'"),
        ({"fuzzy_threshold": float("nan")}, "fuzzy_threshold must be a number, got nan"),
        ({"view": "both"}, r"view must be one of masked_input \| masked_loss, got 'both'"),
        ({"alignment_min_voxels": 50, "alignment_max_voxels": 20}, "must not exceed alignment_max_voxels"),
        (["patch_size"], 'expected "dale" to be an object'),
    ],
)
def test_bad_settings_say_what_is_valid(settings, message):
    with pytest.raises(ValueError, match=message):
        DaleConfig().updated(settings)


def test_every_number_is_held_to_its_range():
    for spec in fields(DaleConfig):
        if "low" in spec.metadata:
            for value in (spec.metadata["low"] - 1, spec.metadata["high"] + 1):
                with pytest.raises(ValueError, match=spec.name):
                    DaleConfig().updated({spec.name: value})


def test_every_field_has_a_meaning_and_is_described():
    for spec in fields(DaleConfig):
        assert spec.metadata["meaning"]
        assert spec.name in describe()


def test_it_is_frozen():
    with pytest.raises(FrozenInstanceError):
        DaleConfig().patch_size = 3


@pytest.mark.parametrize("choice", ["recompute", "shifted"])
def test_a_fuzzy_graph_that_is_not_kept_needs_a_look_ahead(choice: str) -> None:
    assert DaleConfig(fuzzy_graph=choice).confidence_gradient == "look_ahead"
    with pytest.raises(ValueError, match=rf'fuzzy_graph "{choice}".*look_ahead'):
        DaleConfig(fuzzy_graph=choice, confidence_gradient="reuse")


def test_the_graph_of_the_shifted_forward_needs_one() -> None:
    with pytest.raises(ValueError, match="one_sided"):
        DaleConfig(fuzzy_graph="shifted", directional_derivative="forward_mode")
