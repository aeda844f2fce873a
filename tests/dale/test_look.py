"""A look at a batch sees what an iteration makes of it, and leaves everything as it was."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from nnunetv2_dale.dale.alternating_step import AlternatingStep
from nnunetv2_dale.dale.config import PRINTED
from nnunetv2_dale.dale.look import look_at
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from tests.dale.fixed_trust import FixedTrust
from tests.dale.networks import blob_batch, small_unet, step_on

REMEMBERING = {"confidence_memory": 0.9, "alignment_memory": 0.9, "intensity_bins": "near_labels"}


def step_of(**settings: Any) -> AlternatingStep:
    torch.manual_seed(0)
    return step_on(small_unet(deep_supervision=False), PRINTED.updated(settings), MaskedLoss())


@pytest.mark.parametrize("settings", [{}, REMEMBERING], ids=["printed", "with memories"])
def test_the_iterations_after_a_look_are_those_without_it(settings: dict[str, Any]) -> None:
    """Weights, moving averages, random draws and the optimizer's state decide the next two iterations."""
    looked, other = step_of(**settings), step_of(**settings)
    for seed in range(3):
        images, labels = blob_batch(seed=seed)
        if seed:
            look_at(looked, images, labels)
        for step in (looked, other):
            step(images, labels)
    for ours, theirs in zip(looked.module.parameters(), other.module.parameters(), strict=True):
        assert_close(ours, theirs, rtol=0, atol=0)


@pytest.mark.parametrize("settings", [{}, REMEMBERING], ids=["printed", "with memories"])
def test_omega_is_meta_times_case_and_the_views_are_those_of_the_iteration(settings: dict[str, Any]) -> None:
    step = step_of(**settings)
    step(*blob_batch(seed=1))
    images, labels = blob_batch()
    half = torch.full_like(images, 0.5)
    step.label_trust = FixedTrust(half)
    seen = look_at(step, images, labels)
    assert_close(seen.case, half)
    assert_close(seen.omega, seen.meta / 2)
    assert not torch.equal(seen.meta, torch.ones_like(seen.meta))
    batch = copy.deepcopy(step.partition)(images, labels)
    assert_close(seen.batch.fuzzy.images, batch.fuzzy.images)
    assert_close(seen.batch.fuzziness, batch.fuzziness)


def test_without_trust_every_case_counts_as_right() -> None:
    seen = look_at(step_of(), *blob_batch())
    assert torch.equal(seen.case, torch.ones_like(seen.case))
    assert seen.features is not None
    assert not seen.features.requires_grad


def test_after_an_error_all_is_as_before() -> None:
    looked, other = step_of(**REMEMBERING), step_of(**REMEMBERING)
    images, labels = blob_batch()
    looked(images, labels), other(images, labels)
    with pytest.raises(RuntimeError):
        look_at(looked, images, labels[:1])
    looked(images, labels), other(images, labels)
    for ours, theirs in zip(looked.module.parameters(), other.module.parameters(), strict=True):
        assert_close(ours, theirs, rtol=0, atol=0)
