"""A whole iteration against one written out plainly."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from nnunetv2_dale.dale import alignment as alignment_module
from nnunetv2_dale.dale import hypergradient
from nnunetv2_dale.dale.alternating_step import AlternatingStep
from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.label_confidence import LookAhead
from nnunetv2_dale.dale.marginal_loss import KnownTargets
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from tests.dale.bilevel_problem import SHORT
from tests.dale.fixed_trust import FixedTrust
from tests.dale.networks import SCALES, blob_batch, small_batch, small_unet, step_on
from tests.dale.plain_iteration import ALPHA, TAU, PlainIteration, clip_and_step, plain_fuzziness, sgd

CONFIG = DaleConfig(patch_size=8, fuzzy_threshold=TAU, alignment_weight=ALPHA, covariance_noise=0.0)


@pytest.fixture(autouse=True)
def _every_voxel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain iteration draws no voxels, it takes all of a class; and differentiates where we take a difference."""
    monkeypatch.setattr(alignment_module, "MOST_VOXELS", 1_000_000)
    monkeypatch.setattr(alignment_module, "FEWEST_VOXELS", 4)
    monkeypatch.setattr(hypergradient, "SHIFT_FLOAT32", SHORT)


def make_batch(seed: int) -> tuple[Tensor, list[Tensor]]:
    images, targets = small_batch(2, 32, seed)
    return images.double(), targets


def our_step(network: nn.Module, config: DaleConfig, **others: Any) -> AlternatingStep:
    optimizer = sgd(network)
    return AlternatingStep(
        network,
        network,
        optimizer,
        MaskedLoss(scale_weights=SCALES),
        num_classes=3,
        config=config,
        update=lambda loss: clip_and_step(network, optimizer, loss),
        **others,
    )


ITERATIONS: dict[str, dict[str, Any]] = {
    "masked input": {},
    "masked loss": {"view": "masked_loss"},
    "masked voxels are dark": {"masked_value": "darkest"},
    "K = 2": {"confidence_steps": 2},
    "v of line 5": {"confidence_gradient": "reuse"},
    "v of the head": {"confidence_gradient": "head"},
    "v remembered": {"confidence_memory": 0.8},
    "v of line 5 remembered": {"confidence_gradient": "reuse", "confidence_memory": 0.8},
    "v of the head remembered": {"confidence_gradient": "head", "confidence_memory": 0.8},
    "L_W relative": {"alignment_scale": "relative"},
    "L_W bounded": {"alignment_bound": 1e-3},
    "L_W remembered": {"alignment_memory": 0.6},
    "noise": {"covariance_noise": 0.5},
    "all of it": {
        "confidence_memory": 0.8,
        "alignment_scale": "relative",
        "alignment_bound": 1e-3,
        "alignment_memory": 0.6,
        "covariance_noise": 0.5,
    },
}


@pytest.mark.parametrize(
    ("name", "trusted", "doubted"),
    [
        *((name, False, False) for name in ITERATIONS),
        *((name, True, False) for name in ("masked loss", "all of it")),
        *((name, False, True) for name in ("masked input", "K = 2", "v of line 5", "v of the head")),
        ("all of it", True, True),
    ],
)
def test_updates_are_those_of_the_plain_iteration(name, trusted, doubted):
    ours = small_unet().double()
    theirs = copy.deepcopy(ours)
    start = [p.detach().clone() for p in ours.parameters()]
    trust = (torch.arange(2 * 32 * 32) % 7 / 6).view(2, 1, 32, 32).double() if trusted else None
    config = CONFIG.updated(ITERATIONS[name])
    others = {"label_trust": FixedTrust(trust)} if trusted else {}
    given = (torch.arange(2 * 32 * 32) % 5 / 2).clamp_max(1).view(2, 1, 32, 32).double() if doubted else None
    step = our_step(ours, config, generator=torch.Generator().manual_seed(7), **others)
    plain = PlainIteration(theirs, config, trust, seed=7, given=given)
    for seed in (1, 2):
        images, targets = make_batch(seed)
        record = step(images, KnownTargets(targets, given) if doubted else targets)
        plain(images, targets)
        assert 0 < record.fuzzy_fraction < 1
        assert record.alignment > 0
        assert record.meta_std > 0
        assert (record.case_mean != 1) == trusted
        assert plain.bounded == (config.alignment_bound < 1)
        assert not plain.bounded or record.alignment_share == pytest.approx(config.alignment_bound)
    for (name, p), q, before in zip(ours.named_parameters(), theirs.parameters(), start, strict=True):
        ours_moved, theirs_moved = p - before, q - before
        difference = (ours_moved - theirs_moved).norm() / theirs_moved.norm().clamp_min(1e-12)
        assert difference < 1e-5, f"{name}: {difference}"  # the library's masks are float32
        assert theirs_moved.norm() > 0, name


@pytest.mark.parametrize("name", [name for name in ITERATIONS if name not in ("masked input", "all of it")])
def test_the_plain_iteration_notices_every_setting(name):
    """With the settings of another iteration the updates differ by far more than the test above allows."""
    ours = small_unet().double()
    theirs = copy.deepcopy(ours)
    start = torch.nn.utils.parameters_to_vector(ours.parameters()).detach()
    step = our_step(ours, CONFIG.updated(ITERATIONS[name]), generator=torch.Generator().manual_seed(7))
    plain = PlainIteration(theirs, CONFIG, seed=7)
    for seed in (1, 2):
        for each in (step, plain):
            each(*make_batch(seed))
    ours_moved, theirs_moved = (
        torch.nn.utils.parameters_to_vector(each.parameters()).detach() - start for each in (ours, theirs)
    )
    assert (ours_moved - theirs_moved).norm() > 1e-3 * theirs_moved.norm()


def test_without_confidence_and_alignment_it_is_two_masked_updates():
    ours = small_unet()
    theirs = copy.deepcopy(ours)
    images, targets = make_batch(3)
    images = images.float()
    config = CONFIG.updated({"confidence_steps": 0, "alignment_weight": 0.0, "view": "masked_loss"})
    record = our_step(ours, config)(images, targets)
    optimizer, m = sgd(theirs), plain_fuzziness(images, targets[0]).float()
    for mask in (torch.where(m < TAU, 1.0, 0.0), torch.where(m > TAU, 1.0, m)):
        optimizer.zero_grad()
        loss = MaskedLoss(scale_weights=SCALES)(theirs(images), targets, None, mask)
        clip_and_step(theirs, optimizer, loss)
    assert_close(list(ours.parameters()), list(theirs.parameters()))
    assert record.confidence_mean == 1
    assert record.noisy_fraction == record.alignment == 0


def test_where_nothing_is_fuzzy_the_clear_update_is_plain_training():
    """A constant image and label: m = 0, the non-fuzzy view is the whole batch."""
    ours = small_unet()
    theirs = copy.deepcopy(ours)
    images, targets = torch.ones(2, 1, 32, 32), [torch.ones(2, 1, 32, 32), torch.ones(2, 1, 16, 16)]
    config = CONFIG.updated({"confidence_steps": 0, "alignment_weight": 0.0})
    record = our_step(ours, config)(images, targets)
    assert record.fuzzy_fraction == 0
    assert_close(record.non_fuzzy_loss, MaskedLoss(scale_weights=SCALES)(theirs(images), targets).detach())
    assert all(p.grad is None or (p.grad == 0).all() for p in ours.parameters())  # of the fuzzy update, the last one


@pytest.mark.parametrize("view", ["masked_input", "masked_loss"])
def test_a_sample_whose_fuzziness_is_constant_has_no_part_in_the_fuzzy_update(view):
    """Beside another, which is trained on as if it were alone, with its share of the batch."""
    images, targets = make_batch(1)
    images[1], targets = 1.0, [torch.cat([each[:1], torch.ones_like(each[:1])]) for each in targets]
    config = CONFIG.updated({"confidence_steps": 0, "alignment_weight": 0.0, "view": view})
    network, gradients = small_unet().double(), []

    def note(module: nn.Module, given: Any, outputs: list[Tensor]) -> None:
        outputs[0].register_hook(gradients.append)

    network.register_forward_hook(note)
    for samples in (2, 1):
        step = our_step(network, config)
        step.update = Tensor.backward  # the weights stay
        step(images[:samples], [each[:samples] for each in targets])
    _, both, _, alone = gradients
    assert (both[1] == 0).all()
    assert both[0].abs().max() > 0
    assert_close(2 * both[0], alone[0])


@pytest.mark.parametrize("gradient", ["look_ahead", "reuse", "head"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_training_learns(dimensions, gradient):
    network = small_unet(dimensions)
    step = our_step(network, CONFIG.updated({"confidence_gradient": gradient}))
    images, targets = small_batch(dimensions)
    losses = [float(step(images, targets).fuzzy_loss) for _ in range(30)]
    assert losses[-1] < losses[0] - 0.2


@pytest.mark.parametrize(
    "labels",
    [torch.zeros(1, 1, 32, 32), torch.ones(1, 1, 32, 32), torch.full((1, 1, 32, 32), 3)],
    ids=["background", "one class", "all ignored"],
)
def test_poor_batches_stay_finite(labels):
    network = small_unet(deep_supervision=False)
    optimizer = sgd(network)
    step = AlternatingStep(network, network, optimizer, MaskedLoss(ignore_label=3), num_classes=3, config=CONFIG)
    for images in (torch.randn(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)):
        record = step(images, labels)
        assert all(torch.isfinite(value).all() for value in vars(record).values())
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_regions_with_ignored_voxels():
    network = small_unet(classes=2, deep_supervision=False)
    optimizer = sgd(network)
    loss = MaskedLoss(regions=True, ignore_channel=True)
    step = AlternatingStep(network, network, optimizer, loss, num_classes=3, config=CONFIG)
    images, labels = blob_batch(2, 32)
    ignored = torch.rand(labels.shape) > 0.9
    record = step(images, torch.cat([labels > 0, labels == 2, ignored], dim=1))
    assert record.alignment > 0
    assert record.fuzzy_fraction > 0


def test_it_trains_a_network_of_another_library():
    """The paper's claim that DALE is model-agnostic: a MONAI U-Net, its last block's input aligned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI imports what its dependencies have deprecated
        from monai.networks.nets import BasicUNet

        network = BasicUNet(spatial_dims=2, in_channels=1, out_channels=3, features=(4, 4, 8, 8, 8, 4))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    step = AlternatingStep(
        network, network, optimizer, MaskedLoss(), num_classes=3, config=CONFIG, head=network.final_conv
    )
    images, labels = blob_batch(2, 32)
    records = [step(images, labels) for _ in range(15)]
    assert records[-1].non_fuzzy_loss < records[0].non_fuzzy_loss - 0.2
    assert records[-1].alignment > 0


def test_the_shadow_network_keeps_no_features() -> None:
    """A copy of the tap would hold the features of a pass, and their graph, from one iteration to the next."""
    step = step_on(small_unet(), DaleConfig())
    assert isinstance(step.confidence, LookAhead)
    assert not any(module._forward_pre_hooks for module in step.confidence.shadow.module.modules())
