"""Draws that are made again, and generators that go on as if they had not been; a whole step with dropout."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from nnunetv2_dale.dale.alternating_step import AlternatingStep
from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.label_confidence import LookAhead, Reuse
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.dale.random_draws import draws_from_here
from tests.dale.networks import blob_batch

CPU = torch.device("cpu")


def test_the_same_draws_as_often_as_one_likes_and_the_next_ones_after() -> None:
    torch.manual_seed(0)
    same_draws = draws_from_here(CPU)
    first = torch.rand(3)
    for _ in range(2):
        with same_draws():
            assert torch.equal(torch.rand(3), first)
    second = torch.rand(3)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(6), torch.cat([first, second]))


def test_the_generator_goes_on_after_an_error() -> None:
    torch.manual_seed(0)
    same_draws, first = draws_from_here(CPU), torch.rand(1)
    with pytest.raises(RuntimeError, match="in between"), same_draws():
        raise RuntimeError("in between")
    assert not torch.equal(torch.rand(1), first)


class Dropping(nn.Module):
    """Tells what it dropped in each forward."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.drop, self.head = nn.Conv2d(1, 8, 3, padding=1), nn.Dropout2d(), nn.Conv2d(8, 3, 1)

    def forward(self, images: Tensor) -> Tensor:
        features = self.drop(self.first(images).abs() + 1)
        self.dropped = getattr(self, "dropped", [])
        self.dropped.append((features.detach() == 0).flatten(2).all(2))
        outputs: Tensor = self.head(features)
        return outputs


@pytest.mark.parametrize(
    ("settings", "in_the_network", "in_the_copy"),
    [
        ({"fuzzy_graph": "keep"}, [], [True]),
        ({"fuzzy_graph": "recompute"}, [True], [True]),
        ({"fuzzy_graph": "shifted"}, [True], []),
        ({"confidence_gradient": "reuse"}, [], [True]),
    ],
)
def test_all_forwards_that_are_compared_with_the_fuzzy_one_drop_the_same(settings, in_the_network, in_the_copy) -> None:
    torch.manual_seed(0)
    network = Dropping()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    config = DaleConfig().updated(settings)
    step = AlternatingStep(network, network, optimizer, MaskedLoss(), num_classes=3, config=config, head=network.head)
    images, labels = blob_batch()
    step(images, labels)
    clear, fuzzy, *again = network.dropped
    assert not torch.equal(clear, fuzzy)
    assert [torch.equal(each, fuzzy) for each in again] == in_the_network
    assert isinstance(step.confidence, LookAhead | Reuse)
    shadow = step.confidence.shadow
    of_copy = [torch.equal(each, fuzzy) for each in shadow.module.dropped]  # the look-ahead's own forward comes first
    assert of_copy[-len(in_the_copy) :] == in_the_copy or not in_the_copy
    assert_close(torch.tensor(len(of_copy)), torch.tensor(len(in_the_copy) + (config.confidence_gradient != "reuse")))
