"""The forward at shifted weights whose graph serves the update, against the same update at θ_n itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from nnunetv2_dale.dale.alternating_step import AlternatingStep
from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.hypergradient import SHIFT_FLOAT32
from nnunetv2_dale.dale.label_confidence import LookAhead
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.dale.shadow_network import ShiftedWeights
from tests.dale.networks import SCALES, small_batch, small_unet, step_on


def a_line(weights: list[float]) -> tuple[nn.Linear, torch.optim.Optimizer, ShiftedWeights]:
    network = nn.Linear(2, 1, bias=False)
    network.weight.data = torch.tensor([weights])
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    return network, optimizer, ShiftedWeights([network.weight], [torch.zeros(1, 2)], optimizer)


def test_the_gradient_is_taken_at_the_shifted_weights_and_the_step_from_the_old_ones() -> None:
    network, optimizer, shifted = a_line([1.0, -2.0])
    images = torch.tensor([[3.0, 1.0]])
    shifted.shift([torch.tensor([[0.5, 0.25]])], torch.tensor(0.4))
    outputs = network(images)
    # by hand: weights (1.2, -1.9), output 3.6 - 1.9 = 1.7, gradient of its square 2 * 1.7 * images
    assert_close(outputs, torch.tensor([[1.7]]))
    outputs.square().sum().backward()
    optimizer.step()
    assert_close(network.weight.grad, torch.tensor([[10.2, 3.4]]))
    assert_close(network.weight.detach(), torch.tensor([[1 - 1.02, -2 - 0.34]]))


def test_undoing_twice_or_without_a_shift_changes_nothing() -> None:
    network, _, shifted = a_line([1.0, -2.0])
    shifted.undo()
    shifted.shift([torch.ones(1, 2)], torch.tensor(1.0))
    shifted.undo()
    assert network.weight.tolist() == [[1.0, -2.0]]
    network.weight.data.fill_(5.0)
    shifted.undo()
    assert network.weight.tolist() == [[5.0, 5.0]]


@pytest.mark.parametrize("distance", [float("nan"), float("inf"), 0.0])
@pytest.mark.parametrize("component", [float("nan"), float("inf"), 1.0])
def test_a_direction_that_is_not_finite_shifts_nothing(distance: float, component: float) -> None:
    network, _, shifted = a_line([1.0, -2.0])
    shifted.shift([torch.tensor([[component, 0.0]])], torch.tensor(distance))
    assert network.weight.tolist() == [[1.0, -2.0]]


def step_of(choice: str, **others: Any) -> AlternatingStep:
    torch.manual_seed(0)
    config = DaleConfig(patch_size=4, fuzzy_threshold=0.5, fuzzy_graph=choice)
    return step_on(small_unet(), config, MaskedLoss(scale_weights=SCALES, batch_dice=True), **others)


def weights_of(step: AlternatingStep) -> list[Tensor]:
    return [weight.detach().clone() for weight in step.module.parameters()]


def test_confidence_is_that_of_the_kept_graph_bit_by_bit_and_the_update_close_to_it() -> None:
    records, changes = [], []
    for choice in ("keep", "shifted"):
        step = step_of(choice)
        before = weights_of(step)
        records.append(step(*small_batch()))
        changes.append(torch.cat([(now - then).flatten() for now, then in zip(weights_of(step), before, strict=True)]))
    assert torch.equal(records[0].confidence_histogram, records[1].confidence_histogram)
    assert torch.equal(records[0].noisy_fraction, records[1].noisy_fraction)
    assert records[0].confidence_std > 0
    assert 0 < (changes[0] - changes[1]).norm() < 0.05 * changes[0].norm()


def test_the_update_starts_at_theta_n_and_its_forward_ran_the_shift_away(monkeypatch: pytest.MonkeyPatch) -> None:
    step = step_of("shifted")
    directions: list[Tensor] = []
    shift = ShiftedWeights.shift

    def noted(self: ShiftedWeights, direction: list[Tensor], distance: Tensor) -> None:
        directions.append(torch.cat([each.flatten() for each in direction]))
        shift(self, direction, distance)

    monkeypatch.setattr(ShiftedWeights, "shift", noted)
    forwards_at: list[Tensor] = []
    step.module.register_forward_pre_hook(
        lambda *_: forwards_at.append(torch.cat([w.flatten() for w in weights_of(step)]))
    )
    step(*small_batch())
    first, theta_n, shifted = forwards_at
    assert not torch.equal(first, theta_n)
    assert_close((shifted - theta_n).norm() / theta_n.norm(), torch.tensor(SHIFT_FLOAT32), rtol=1e-2, atol=0)
    assert torch.cosine_similarity(shifted - theta_n, directions[0], dim=0) > 0.999
    gradient = torch.cat(
        [torch.zeros_like(w).flatten() if w.grad is None else w.grad.flatten() for w in step.module.parameters()]
    )
    assert_close(torch.cat([w.flatten() for w in weights_of(step)]), theta_n - 0.01 * gradient)


def test_weights_are_back_where_the_optimizer_makes_no_step() -> None:
    """As AMP's gradient scaler does after an overflow."""
    step = step_of("shifted", update=lambda loss: loss.backward())
    before = weights_of(step)
    step(*small_batch())
    assert all(torch.equal(now, then) for now, then in zip(weights_of(step), before, strict=True))


def test_a_gradient_that_is_not_finite_leaves_omega_at_one_and_the_update_whole() -> None:
    changed = []
    for choice in ("keep", "shifted"):
        step = step_of(choice)
        assert isinstance(step.confidence, LookAhead)
        # the look-ahead overflows: its logits, and so v, are not finite
        step.confidence.shadow.module.register_forward_hook(
            lambda module, inputs, outputs: [z * float("inf") for z in outputs]
        )
        record = step(*small_batch())
        assert record.non_finite == 1
        assert record.confidence_std == 0
        assert all(torch.isfinite(weight).all() for weight in weights_of(step))
        changed.append(weights_of(step))
    assert_close(changed[0], changed[1])
