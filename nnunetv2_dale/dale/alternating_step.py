"""One training iteration of DALE (Algorithm 1), for any segmentation network with an optimizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from nnunetv2_dale.dale.alignment import Alignment, FeatureAlignment
from nnunetv2_dale.dale.confidence_step import LabelConfidence
from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.feature_tap import FeatureTap, segmentation_head
from nnunetv2_dale.dale.hypergradient import FuzzyPass, NonFuzzyPass
from nnunetv2_dale.dale.label_confidence import confidence_learner
from nnunetv2_dale.dale.label_trust import LabelTrust
from nnunetv2_dale.dale.marginal_loss import confidence_of, without_confidence
from nnunetv2_dale.dale.masked_loss import MaskedLoss, Outputs, full_resolution
from nnunetv2_dale.dale.partition import Partition, PartitionedBatch
from nnunetv2_dale.dale.random_draws import draws_from_here
from nnunetv2_dale.dale.shadow_network import ShadowNetwork, allow_two_backwards_through_compiled_networks
from nnunetv2_dale.dale.step_record import AlternatingRecord, histogram_of, spread_of
from nnunetv2_dale.dale.views import weighted_loss


@dataclass(frozen=True)
class SeenBatch:
    """Both views of a batch before the last update, with the graph of that update."""

    batch: PartitionedBatch
    non_fuzzy_loss: Tensor  # L_n, detached
    fuzzy_loss: Tensor  # ω*·L of the fuzzy view
    meta: LabelConfidence  # ω of the meta steps
    trust: Tensor  # of the labels from outside, (B, 1, *S); 1 without one
    omega: Tensor  # ω* = meta · trust
    alignment: Alignment
    features: Tensor | None  # F_f; None where nothing needs them


@dataclass
class AlternatingStep:
    """Trains a network on the non-fuzzy and then on the fuzzy view of each batch.

    Args:
        network: what is trained: `network(images)` gives logits, or a sequence of them under deep supervision. May be
            compiled or wrapped in DDP.
        module: the plain module inside `network`; the same object where nothing wraps it.
        optimizer: of the parameters of `module`.
        loss: L, in the form of the targets.
        num_classes: classes of the alignment: of the label map, or regions + 1.
        config: the hyperparameters.
        spacing_mm: voxel spacing, for the depth of 3D patches; None is isotropic.
        image_channels: leading channels of the input that are image; None is all.
        update: makes an optimizer update from a loss, with gradients cleared before; None is backward and step.
        autocast: makes the context of the network's forward passes.
        loss_scale: the current factor on losses before a backward (AMP); None is 1.
        head: the module whose input is aligned; None looks for nnU-Net's.
        generator: for the random choices of the alignment; on the network's device.
        compiled: `network` is compiled; compile the shadow network too. Forgets what torch.compile has made before.
        label_trust: what multiplies ω; None: nothing does.
    """

    network: nn.Module
    module: nn.Module
    optimizer: torch.optim.Optimizer
    loss: MaskedLoss
    num_classes: int
    config: DaleConfig
    spacing_mm: Sequence[float] | None = None
    image_channels: int | None = None
    update: Callable[[Tensor], None] | None = None
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext
    loss_scale: Callable[[], Tensor | None] = lambda: None
    head: nn.Module | None = None
    generator: torch.Generator | None = None
    compiled: bool = False
    label_trust: LabelTrust | None = None

    def __post_init__(self) -> None:
        config, head = self.config, self.head
        if self.compiled:
            allow_two_backwards_through_compiled_networks()
        if head is None and config.uses_features:
            head = segmentation_head(self.module)
        # before the tap listens to the head: a copy of it would keep features as well
        shadow = ShadowNetwork(self.module, self.compiled, self.autocast) if config.uses_shadow else None
        self.see = FeatureTap(self.network, self.module, head if config.uses_features else None, self.autocast)
        self.partition = Partition(config, self.loss, self.spacing_mm, self.image_channels)
        weights = [weight for weight in self.module.parameters() if weight.requires_grad]
        self.confidence = confidence_learner(config, self.see, shadow, weights, head, self.optimizer, self.loss_scale)
        self.alignment = FeatureAlignment(self.loss, self.num_classes, config, head, self.generator, self.loss_scale)

    def __call__(self, images: Tensor, targets: Outputs, cases: Sequence[str] | None = None) -> AlternatingRecord:
        """One iteration: θ → θ_n on the non-fuzzy view, θ_n → θ_f on the fuzzy view.

        Args:
            images: (B, C, *S), finite.
            targets: the target of each output of the network, full resolution first. With `KnownTargets` ω starts at
                their confidence, which weights the clear view too.
            cases: the name of each sample's case, (B,), for `label_trust`.
        """
        # lines 3-12
        seen = self.see_both_views(images, targets, cases)

        # lines 13-14: update on the fuzzy view, each voxel trusted as far as ω says, θ_n → θ_f
        self.step(seen.fuzzy_loss + seen.omega.mean() * seen.alignment.weight * seen.alignment.distance)
        self.confidence.after_update()
        return _record(seen)

    def see_both_views(self, images: Tensor, targets: Outputs, cases: Sequence[str] | None = None) -> SeenBatch:
        """Run lines 3 to 12: all of an iteration but its last update."""
        target = full_resolution(targets)
        loss_of_rank = replace(self.loss, distributed=False)  # ω and θ_p are local to a rank
        fuzzy_targets = without_confidence(targets)  # ω starts at it

        # line 3: the fuzziness of the batch, its masks, its two views
        batch = self.partition(images, target)

        # lines 4-5: update on the non-fuzzy view, θ → θ_n
        non_fuzzy_loss, clear_trust = self._update_on_non_fuzzy(batch, targets, cases)

        # lines 6-10: learn the confidence ω of the fuzzy view's labels on a copy of the network
        same_draws = draws_from_here(images.device)
        outputs, features = self.see(batch.fuzzy.images)
        fuzzy_trust = self._trust(outputs, targets, cases)
        meta, outputs, features = self.confidence(
            FuzzyPass(
                batch.fuzzy.images,
                outputs,
                lambda logits, omega: weighted_loss(loss_of_rank, logits, fuzzy_targets, batch.fuzzy, omega),
                features,
                confidence_of(targets),
                same_draws,
            ),
            NonFuzzyPass(
                batch.non_fuzzy.images,
                lambda logits: weighted_loss(loss_of_rank, logits, targets, batch.non_fuzzy, clear_trust),
            ),
        )
        trust = torch.ones_like(meta.omega) if fuzzy_trust is None else fuzzy_trust
        omega = meta.omega * trust

        # lines 11-12: align the class-wise Gaussians of the fuzzy view's clean voxels
        fuzzy_loss = weighted_loss(self.loss, outputs, fuzzy_targets, batch.fuzzy, omega)
        alignment = self.alignment(features, target, batch.clean_fuzzy_voxels(omega >= 1), fuzzy_loss, outputs)
        return SeenBatch(batch, non_fuzzy_loss, fuzzy_loss, meta, trust, omega, alignment, features)

    def _update_on_non_fuzzy(
        self, batch: PartitionedBatch, targets: Outputs, cases: Sequence[str] | None
    ) -> tuple[Tensor, Tensor | None]:
        """L_n, detached, and what its labels are worth."""
        target = full_resolution(targets)
        outputs, features = self.see(batch.non_fuzzy.images)
        self.alignment.remember(features, target, batch.non_fuzzy_voxels)
        trust = self._trust(outputs, targets, cases)
        loss = weighted_loss(self.loss, outputs, targets, batch.non_fuzzy, trust)
        self.step(loss)
        return loss.detach(), trust

    def step(self, loss: Tensor) -> None:
        """Make one optimizer update."""
        self.optimizer.zero_grad(set_to_none=True)
        if self.update is not None:
            self.update(loss)
            return
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def forget(self) -> None:
        """Start all moving averages anew, as at the start of an epoch: a resumed training has none from before."""
        self.partition.intensities.forget()
        self.confidence.average.forget()
        self.alignment.forget()

    def _trust(self, outputs: Outputs, targets: Outputs, cases: Sequence[str] | None) -> Tensor | None:
        return None if self.label_trust is None else self.label_trust.weigh(outputs, targets, cases)


def _record(seen: SeenBatch) -> AlternatingRecord:
    non_fuzzy_loss, fuzzy_loss, is_fuzzy = seen.non_fuzzy_loss, seen.fuzzy_loss.detach(), seen.batch.is_fuzzy
    confidence, meta, case = spread_of(seen.omega), spread_of(seen.meta.omega), spread_of(seen.trust)
    return AlternatingRecord(
        (non_fuzzy_loss + fuzzy_loss) / 2,
        non_fuzzy_loss,
        fuzzy_loss,
        seen.alignment.distance.detach(),
        seen.alignment.share.detach(),
        *confidence,
        *meta,
        *case,
        is_fuzzy.float().mean(),
        (is_fuzzy & (seen.omega < 1)).sum() / is_fuzzy.sum().clamp_min(1),
        seen.meta.non_finite.float(),
        histogram_of(seen.omega),
    )
