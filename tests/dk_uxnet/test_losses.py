"""A batch of labelled and unlabelled crops: what reaches the loss, and that each weight is taught."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_dale.dk_uxnet.agreement import query_contrast, view_disagreement
from nnunetv2_dale.dk_uxnet.losses import LossTerms
from nnunetv2_dale.dk_uxnet.query_groups import group_log_probabilities, group_loss
from nnunetv2_dale.dk_uxnet.query_maps import query_maps
from tests.dk_uxnet.fixtures import IGNORE, labels_for, terms_of, tiny_network, two_views

SUPERVISED = ("convolution", "query", "groups", "layers")
AGREEMENTS = ("segmentation_agreement", "query_agreement")


def numbers(terms: LossTerms) -> dict[str, float]:
    return {spec.name: getattr(terms, spec.name).item() for spec in fields(terms)}


def test_the_terms_of_a_batch_with_one_labelled_sample() -> None:
    network, (weak, strong) = tiny_network(), two_views()
    labels = labels_for(weak)
    terms = terms_of(network, (weak, strong), labels, [False, True])

    outputs = network(torch.cat([weak, strong]), every_output=True)
    maps = query_maps(outputs.queries, network.queries.group_sizes)
    target = labels[1:].repeat(2, 1, 1, 1, 1)

    def mean_over_both_views(logits: Tensor) -> float:
        return sum(functional.cross_entropy(logits[view][None], labels[1]).item() for view in (1, 3)) / 2

    assert terms.convolution.item() == pytest.approx(mean_over_both_views(outputs.convolution_logits[0]), rel=1e-5)
    assert terms.query.item() == pytest.approx(mean_over_both_views(maps.logits), rel=1e-5)
    assert terms.groups.item() == pytest.approx(functional.nll_loss(maps.groups[[1, 3]], target[:, 0]).item(), rel=1e-5)
    of_layers = [
        group_loss(group_log_probabilities(each[[1, 3]], network.queries.group_sizes), target, IGNORE).item()
        for each in outputs.assignments
    ]
    assert len(of_layers) == 4
    assert terms.layers.item() == pytest.approx(sum(of_layers) / 4, rel=1e-5)
    shares = outputs.convolution_logits[0].softmax(dim=1)
    assert terms.segmentation_agreement.item() == pytest.approx(view_disagreement(shares[2:], shares[:2]).item())
    contrast = query_contrast(maps.similarity, maps.weak_shares, network.queries.group_sizes, 0.5)
    assert terms.query_agreement.item() == pytest.approx(contrast.item(), rel=1e-5)
    assert terms.labelled.item() == 0.5
    winners = [set(each.flatten().tolist()) for each in outputs.assignments[-1].argmax(dim=1)]
    assert terms.queries_used.item() == pytest.approx(sum(map(len, winners)) / (4 * 6))


def test_total_by_hand() -> None:
    values = dict(zip(SUPERVISED + AGREEMENTS, (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), strict=True))
    terms = LossTerms(**{spec.name: torch.tensor(values.get(spec.name, 99.0)) for spec in fields(LossTerms)})
    assert terms.total(group_weight=0.1, agreement_weight=2.0).item() == pytest.approx(1 + 2 + 0.7 + 22)


def test_an_unlabelled_sample_reaches_the_loss() -> None:
    """Its strong view has a gradient, from the agreements alone; what its label map says is not looked at."""
    network, (weak, strong) = tiny_network(), two_views()
    labels = labels_for(weak)
    strong.requires_grad_()
    terms = terms_of(network, (weak, strong), labels, [True, False])
    supervision = sum(getattr(terms, name) for name in SUPERVISED)
    agreement = sum(getattr(terms, name) for name in AGREEMENTS)
    (of_supervision,) = torch.autograd.grad(supervision, strong, retain_graph=True)
    (of_agreement,) = torch.autograd.grad(agreement, strong)
    assert of_supervision[0].abs().sum() > 0
    assert not of_supervision[1].any()
    assert of_agreement[1].abs().sum() > 1e-4

    other_labels = labels.clone()
    other_labels[1] = (labels[1] + 1) % 3
    assert numbers(terms_of(network, (weak, strong), other_labels, [True, False])) == numbers(terms)


def test_the_order_of_the_samples_is_of_no_influence() -> None:
    network, (weak, strong) = tiny_network(), two_views(samples=3)
    labels, labelled = labels_for(weak), [True, False, False]
    expected = numbers(terms_of(network, (weak, strong), labels, labelled))
    for order in ([1, 0, 2], [2, 1, 0], [1, 2, 0]):
        moved = terms_of(network, (weak[order], strong[order]), labels[order], [labelled[place] for place in order])
        assert numbers(moved) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("labelled", [[True, True], [True, False]])
def test_every_weight_is_taught(labelled: list[bool]) -> None:
    network, views = tiny_network(), two_views()
    terms_of(network, views, labels_for(views[0]), labelled).total(0.1, 1.0).backward()
    silent = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not silent


def test_the_assignment_of_each_layer_is_taught() -> None:
    network, views = tiny_network(), two_views()
    layers = terms_of(network, views, labels_for(views[0]), [True, False]).layers
    keys = [layer.key[0].weight for layer in network.queries.query_layers]
    gradients = torch.autograd.grad(layers, keys)
    assert len(gradients) == 4
    assert all(gradient.abs().sum() > 1e-6 for gradient in gradients)


def test_a_batch_without_labels_gives_every_weight_a_gradient_if_of_zero() -> None:
    """As distributed training needs; and only the agreements are in it."""
    network, views = tiny_network(), two_views()
    terms = terms_of(network, views, labels_for(views[0]), [False, False])
    assert {name: getattr(terms, name).item() for name in SUPERVISED} == dict.fromkeys(SUPERVISED, 0.0)
    terms.total(0.1, 1.0).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())
    assert network.decoder.skips[0].convolutions[0].weight.grad.abs().sum() > 0  # type: ignore[union-attr]
