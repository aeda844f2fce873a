"""One training iteration of DALE (Algorithm 1), for any segmentation network with an optimizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from nnunetv2_dale.case_trust.likelihood_confidence import LikelihoodConfidence
from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.feature_alignment import ClassGaussians, FeatureTap, alignment_loss, class_gaussians
from nnunetv2_dale.dale.fuzziness import View, fuzziness_map, fuzzy_mask, non_fuzzy_mask, patch_shape, view_of
from nnunetv2_dale.dale.label_confidence import (
    FuzzyPass,
    LabelConfidence,
    NonFuzzyPass,
    ShadowNetwork,
    learn_confidence,
)
from nnunetv2_dale.dale.masked_loss import MaskedLoss, Outputs
from nnunetv2_dale.dale.shifted_forward import ShiftedForward


@dataclass(frozen=True)
class StepRecord:
    """What happened in one iteration; scalars on the device, so that nothing waits for it."""

    non_fuzzy_loss: Tensor  # L_n (Eq. 1), before the first update
    fuzzy_loss: Tensor  # L of the fuzzy view weighted by ω*, without L_W, before the second update
    alignment: Tensor  # L_W (Eq. 14); 0 while it is off
    confidence_mean: Tensor  # of ω*
    confidence_std: Tensor
    fuzzy_fraction: Tensor  # voxels with m >= τ
    noisy_fraction: Tensor  # voxels whose ω fell, of the fuzzy ones
    non_finite: Tensor  # 1 where the meta step met a non-finite gradient, else 0
    confidence_histogram: Tensor  # (10,) fractions of the voxels, bins from 1 − reach to 1 + reach of the config


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
    align: bool = True  # False holds the alignment back, for its warm-up
    trust_all: bool = False  # True keeps ω at 1, before `config.confidence_start` and `confidence_after`
    likelihood: LikelihoodConfidence | None = field(default=None, init=False, repr=False)
    _shadow: ShadowNetwork | None = field(default=None, init=False, repr=False)
    _shifted_forward: ShiftedForward | None = field(default=None, init=False, repr=False)
    _tap: FeatureTap | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.compiled:
            # the fuzzy graph is run backward twice: by the pseudo-step and by the update
            _switch_off(torch._functorch.config, "donated_buffer")
            # else the network runs what was compiled for its shadow, which has no hook that keeps the features
            _switch_off(torch._dynamo.config, "skip_nnmodule_hook_guards")
        if self.config.confidence_source != "hypergradient":
            self.likelihood = LikelihoodConfidence(self.loss, self.config)
        if self.config.learns_confidence:
            self._shadow = ShadowNetwork(self.module, self.compiled, self.autocast)
        if self.config.alignment_weight > 0:
            self._tap = FeatureTap(self.module, self.head)
        self._parameters = [weight for weight in self.module.parameters() if weight.requires_grad]
        if self._shadow is not None and self.config.fuzzy_graph == "shifted":
            self._shifted_forward = ShiftedForward(
                lambda images: self._forward(self.network, images),
                self._parameters,
                self._shadow.parameters,
                self.optimizer,
            )
        self._local_loss = replace(self.loss, distributed=False)  # ω and θ_p are local to a rank

    def __call__(self, images: Tensor, targets: Outputs, cases: Sequence[str] | None = None) -> StepRecord:
        """One iteration: θ → θ_n on the non-fuzzy view, θ_n → θ_f on the fuzzy view.

        Args:
            images: (B, C, *S), finite.
            targets: the target of each output of the network, full resolution first.
            cases: the name of each sample's case, (B,); asked for by the confidence sources that remember cases:
                "displacement", "gated" and "grouped".
        """
        target = targets if isinstance(targets, Tensor) else targets[0]

        # line 3: partition the batch
        m, fuzzy_view, non_fuzzy_view = self._partition(images, target)
        is_fuzzy, valid = m >= self.config.fuzzy_threshold, self.loss.valid(target)

        # lines 4-5: update on the non-fuzzy view
        self.optimizer.zero_grad(set_to_none=True)
        outputs = self._forward(self.network, non_fuzzy_view.images)
        with torch.no_grad():
            reference = self._gaussians(self._features(), target, both(~is_fuzzy, valid))
        non_fuzzy_loss = self._loss(self.loss, outputs, targets, non_fuzzy_view)
        self._update(non_fuzzy_loss)
        del outputs

        # lines 6-10: learn the confidence of the fuzzy view's labels at θ_n
        fuzzy_outputs = self._forward(self.network, fuzzy_view.images)
        learned, fuzzy_outputs = self._learned_confidence(fuzzy_outputs, targets, fuzzy_view, non_fuzzy_view)
        confidence = self._confidence(learned, fuzzy_outputs, target, is_fuzzy, cases)

        # lines 11-12: align the class-wise Gaussians of the fuzzy view's clean voxels
        clean_fuzzy = both(both(is_fuzzy, valid), confidence.clean)
        alignment = self._alignment(reference, self._gaussians(self._features(), target, clean_fuzzy))

        # lines 13-14: update on the fuzzy view, each voxel trusted as far as ω* says
        fuzzy_loss = self._loss(self.loss, fuzzy_outputs, targets, fuzzy_view, confidence.weights)
        weighted_alignment = self.config.alignment_weight * confidence.weights.mean() * alignment
        self.optimizer.zero_grad(set_to_none=True)
        self._update(fuzzy_loss + weighted_alignment)
        if self._shifted_forward is not None:
            self._shifted_forward.undo()  # where the optimizer made no step (AMP, a gradient that is not finite)
        return record(non_fuzzy_loss, fuzzy_loss, alignment, confidence, is_fuzzy, self.config)

    def _partition(self, images: Tensor, target: Tensor) -> tuple[Tensor, View, View]:
        """m, the fuzzy and the non-fuzzy view (Eqs. 3–7)."""
        m = self._fuzziness(images, target)
        return (m, *self._views(images, m))

    def _fuzziness(self, images: Tensor, target: Tensor) -> Tensor:
        """m (Eqs. 3–5)."""
        return fuzziness_map(
            images[:, : self.image_channels],
            self.loss.labels(target),
            patch_shape(images.shape[2:], self.config.patch_size, self.spacing_mm),
            self.config.entropy_bins,
            self.loss.valid(target),
            self.config.fuzziness_source,
        ).combined

    def _views(self, images: Tensor, m: Tensor) -> tuple[View, View]:
        """The fuzzy and the non-fuzzy view (Eqs. 6–7)."""
        config = self.config
        masks = fuzzy_mask(m, config.fuzzy_threshold), non_fuzzy_mask(m, config.fuzzy_threshold)
        fuzzy, non_fuzzy = (view_of(images, mask, config.view, self.image_channels) for mask in masks)
        return fuzzy, non_fuzzy

    def _forward(self, network: Callable[[Tensor], Outputs], images: Tensor) -> Outputs:
        with self.autocast():
            return network(images)

    def _loss(
        self, loss: MaskedLoss, outputs: Outputs, targets: Outputs, view: View, weights: Tensor | None = None
    ) -> Tensor:
        """L of a view, its voxels weighted by ω as well where it is given."""
        voxel_weight = view.voxel_weight
        if weights is not None:
            voxel_weight = weights if voxel_weight is None else voxel_weight * weights
        return loss(outputs, targets, view.label_mask, voxel_weight)

    def _update(self, loss: Tensor) -> None:
        if self.update is not None:
            self.update(loss)
            return
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def _learned_confidence(
        self, fuzzy_outputs: Outputs, targets: Outputs, fuzzy_view: View, non_fuzzy_view: View
    ) -> tuple[LabelConfidence, Outputs]:
        """ω* of the fuzzy view (Eqs. 8–11), from ω = 1; 1 without meta steps. And the logits for its update."""
        if self._shadow is None:
            return full_confidence(fuzzy_outputs), fuzzy_outputs
        reuse = self.config.confidence_gradient == "reuse"
        loss, images = self._local_loss, fuzzy_view.images
        shifted: list[Outputs] = []

        def shifted_forward(direction: Sequence[Tensor], distance: Tensor) -> Outputs:
            assert self._shifted_forward is not None
            shifted.append(self._shifted_forward(images, direction, distance))
            return shifted[0]

        learned = learn_confidence(
            self._shadow,
            self._parameters,
            FuzzyPass(
                images,
                fuzzy_outputs,
                lambda z, w: self._loss(loss, z, targets, fuzzy_view, w),
                None if self._shifted_forward is None else shifted_forward,
            ),
            NonFuzzyPass(non_fuzzy_view.images, lambda z: self._loss(loss, z, targets, non_fuzzy_view)),
            step_size=self.optimizer.param_groups[0]["lr"],
            config=self.config,
            line5_gradient=self._line5_gradient() if reuse else None,
            loss_scale=self.loss_scale(),
        )
        if self.config.fuzzy_graph == "recompute":
            return learned, self._forward(self.network, images)
        return learned, shifted[0] if shifted else fuzzy_outputs

    def _confidence(
        self,
        learned: LabelConfidence,
        outputs: Outputs,
        target: Tensor,
        is_fuzzy: Tensor,
        cases: Sequence[str] | None,
    ) -> LabelConfidence:
        """ω*, learned (Eqs. 8–11), from the likelihood of the labels, or both; in the voxels it may weigh."""
        weights = learned.weights
        if self.likelihood is not None:
            weights = weights * self.likelihood(outputs, target, cases, self.trust_all)
        if self.trust_all:
            weights = torch.ones_like(weights)
        if self.config.confidence_scope == "fuzzy":
            weights = torch.where(is_fuzzy, weights, 1.0)
        return LabelConfidence(weights, learned.non_finite)

    def _line5_gradient(self) -> list[Tensor]:
        """The gradient of the non-fuzzy update, still in the parameters; zeros for heads it did not reach."""
        return [torch.zeros_like(w) if w.grad is None else w.grad for w in self._parameters]

    def _features(self) -> Tensor | None:
        """Those of the last forward, which are then forgotten; None while the alignment is off."""
        features = None if self._tap is None else self._tap.take()
        return features if self.align else None

    def _gaussians(self, features: Tensor | None, target: Tensor, selected: Tensor) -> ClassGaussians | None:
        """Gaussians of the features in the selected voxels (Eq. 12); None while the alignment is off."""
        if features is None:
            return None
        return class_gaussians(
            features,
            self.loss.labels(target),
            selected,
            self.num_classes,
            self.config.alignment_max_voxels,
            self.loss.regions,
            self.generator,
        )

    def _alignment(self, reference: ClassGaussians | None, fuzzy: ClassGaussians | None) -> Tensor:
        """L_W (Eqs. 13–14)."""
        if reference is None or fuzzy is None:
            return torch.zeros((), device=self._parameters[0].device)
        config = self.config
        return alignment_loss(reference, fuzzy, config.alignment_min_voxels, config.covariance_noise, self.generator)


def _switch_off(settings: object, name: str) -> None:
    """Set one of PyTorch's internal settings to False, in the versions that have it."""
    if hasattr(settings, name):
        setattr(settings, name, False)


def both(selected: Tensor, further: Tensor | None) -> Tensor:
    """The voxels of two masks; None is all."""
    return selected if further is None else selected & further


def full_confidence(outputs: Outputs) -> LabelConfidence:
    """ω = 1 at every voxel of the full resolution."""
    first = outputs if isinstance(outputs, Tensor) else outputs[0]
    ones = torch.ones_like(first[:, :1], dtype=torch.promote_types(first.dtype, torch.float32))
    return LabelConfidence(ones.detach(), torch.zeros((), dtype=torch.bool, device=first.device))


def record(
    non_fuzzy_loss: Tensor,
    fuzzy_loss: Tensor,
    alignment: Tensor,
    confidence: LabelConfidence,
    is_fuzzy: Tensor,
    config: DaleConfig,
) -> StepRecord:
    """The numbers of one iteration, for the log."""
    reach = config.confidence_reach
    noisy = is_fuzzy & ~confidence.clean
    histogram = confidence.weights.clamp(1 - reach, 1 + reach).histc(10, 1 - reach, 1 + reach)
    return StepRecord(
        non_fuzzy_loss=non_fuzzy_loss.detach(),
        fuzzy_loss=fuzzy_loss.detach(),
        alignment=alignment.detach(),
        confidence_mean=confidence.weights.mean(),
        confidence_std=confidence.weights.std(correction=0),
        fuzzy_fraction=is_fuzzy.float().mean(),
        noisy_fraction=noisy.sum() / is_fuzzy.sum().clamp_min(1),
        non_finite=confidence.non_finite.float(),
        confidence_histogram=histogram / histogram.sum(),
    )
