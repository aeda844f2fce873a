"""One training iteration of DALE (Algorithm 1), for any segmentation network with an optimizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nnunetv2_dale.dale.alignment import Alignment, FeatureAlignment
from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.feature_tap import segmentation_head
from nnunetv2_dale.dale.label_confidence import ConfidenceLearner, LabelConfidence
from nnunetv2_dale.dale.masked_loss import MaskedLoss, Outputs, full_resolution, weighted_loss
from nnunetv2_dale.dale.partition import Partition, PartitionedBatch
from nnunetv2_dale.dale.step_record import StepRecord, histogram_of, spread_of

# (logits, target, names of the cases) to what each label is worth besides ω, (B, 1, *S) in [0, 1]; None: all alike
LabelTrust = Callable[[Outputs, Tensor, Sequence[str] | None], Tensor | None]


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
        compiled: compile the shadow network too.
        label_trust: what multiplies ω, from outside the paper; None: nothing does.
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
        self.partition = Partition(self.config, self.loss, self.spacing_mm, self.image_channels)
        head = segmentation_head(self.module) if self.head is None and self.config.uses_features else self.head
        # before the alignment listens to the head: the shadow network is a copy, and would keep features as well
        self.confidence = ConfidenceLearner(
            self.network,
            self.module,
            self.optimizer,
            self.loss,
            self.config,
            self.autocast,
            self.loss_scale,
            self.compiled,
            head,
        )
        self.alignment = FeatureAlignment(
            self.module, self.loss, self.num_classes, self.config, head, self.generator, self.loss_scale
        )

    def __call__(self, images: Tensor, targets: Outputs, cases: Sequence[str] | None = None) -> StepRecord:
        """One iteration: θ → θ_n on the non-fuzzy view, θ_n → θ_f on the fuzzy view.

        Args:
            images: (B, C, *S), finite.
            targets: the target of each output of the network, full resolution first.
            cases: the name of each sample's case, (B,), for `label_trust`.
        """
        target = full_resolution(targets)

        # line 3: the fuzziness of the batch, its masks, its two views
        batch = self.partition(images, target)

        # lines 4-5: update on the non-fuzzy view, θ → θ_n
        outputs = self.forward(batch.non_fuzzy.images)
        self.alignment.see_non_fuzzy(target, batch.non_fuzzy_voxels)
        clear_trust = self._trust(outputs, target, cases)
        non_fuzzy_loss = weighted_loss(self.loss, outputs, targets, batch.non_fuzzy, clear_trust)
        self.step(non_fuzzy_loss)
        del outputs

        # lines 6-10: learn the confidence ω of the fuzzy view's labels on a copy of the network
        outputs = self.confidence.forward(batch.fuzzy.images)
        features = self.alignment.features()
        trust = self._trust(outputs, target, cases)
        meta, outputs = self.confidence(outputs, targets, batch.fuzzy, batch.non_fuzzy, clear_trust, features)
        omega = meta.weights if trust is None else meta.weights * trust

        # lines 11-12: align the class-wise Gaussians of the fuzzy view's clean voxels
        features = self.alignment.latest(features)
        fuzzy_loss = weighted_loss(self.loss, outputs, targets, batch.fuzzy, omega)
        clean = batch.clean_fuzzy_voxels(omega >= 1)
        alignment = self.alignment(features, target, clean, fuzzy_loss, outputs)

        # lines 13-14: update on the fuzzy view, each voxel trusted as far as ω says, θ_n → θ_f
        self.step(fuzzy_loss + omega.mean() * alignment.weight * alignment.distance)
        self.confidence.after_update()
        return _record(non_fuzzy_loss, fuzzy_loss, alignment, meta, omega, trust, batch)

    def forward(self, images: Tensor) -> Outputs:
        """Logits of the network that is trained."""
        with self.autocast():
            outputs: Outputs = self.network(images)
            return outputs

    def step(self, loss: Tensor) -> None:
        """One optimizer update."""
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

    def _trust(self, outputs: Outputs, target: Tensor, cases: Sequence[str] | None) -> Tensor | None:
        return None if self.label_trust is None else self.label_trust(outputs, target, cases)


def _record(
    non_fuzzy_loss: Tensor,
    fuzzy_loss: Tensor,
    alignment: Alignment,
    meta: LabelConfidence,
    omega: Tensor,
    trust: Tensor | None,
    batch: PartitionedBatch,
) -> StepRecord:
    meta_mean, meta_std = spread_of(meta.weights)
    confidence_mean, confidence_std = spread_of(omega)
    case_mean, case_std = spread_of(torch.ones_like(meta.weights) if trust is None else trust)
    noisy = batch.is_fuzzy & (omega < 1)
    return StepRecord(
        loss=(non_fuzzy_loss.detach() + fuzzy_loss.detach()) / 2,
        non_fuzzy_loss=non_fuzzy_loss.detach(),
        fuzzy_loss=fuzzy_loss.detach(),
        alignment=alignment.distance.detach(),
        alignment_share=alignment.share.detach(),
        confidence_mean=confidence_mean,
        confidence_std=confidence_std,
        meta_mean=meta_mean,
        meta_std=meta_std,
        case_mean=case_mean,
        case_std=case_std,
        fuzzy_fraction=batch.is_fuzzy.float().mean(),
        noisy_fraction=noisy.sum() / batch.is_fuzzy.sum().clamp_min(1),
        non_finite=meta.non_finite.float(),
        confidence_histogram=histogram_of(omega),
    )
