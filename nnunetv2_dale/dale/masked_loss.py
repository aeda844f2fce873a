"""nnU-Net's compound loss (Dice + cross-entropy) with soft label masks and voxel weights (L in Eqs. 1, 2, 8 and 15).

With mask and weight 1 it is exactly nnU-Net's `DC_and_CE_loss` (label maps, background left out of the Dice) or
`DC_and_BCE_loss` (regions) with `MemoryEfficientSoftDiceLoss`, inside its deep-supervision weighting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_dale.dale.dice_sums import spatial_sum, sum_over_ranks, sum_per_label
from nnunetv2_dale.dale.marginal_loss import Outputs, class_weight_of, confidence_of, exact, like, marginal_logits
from nnunetv2_dale.dale.resolutions import all_resolutions, full_resolution, resized

__all__ = ["MaskedLoss", "Outputs", "all_resolutions", "full_resolution", "resized"]


@dataclass(frozen=True)
class MaskedLoss:
    """L = cross-entropy − soft Dice, of soft labels and weighted voxels.

    A voxel weight w is a factor in the cross-entropy and the voxel weight of all three sums of the Dice (nnU-Net's
    `loss_mask`). A label mask M turns the target of a foreground voxel into probability M for its class and 1 − M for
    background (label maps: `M·nll[class] + (1 − M)·nll[background]`), or into target × M (regions).

    Ignored voxels count nowhere; a batch of nothing else has cross-entropy 0 and Dice 1, both finite.

    Of `KnownTargets` the confidence is a further voxel weight, and the weight of a case a factor of all its terms. A
    class that is not annotated in a sample may be its background (`marginal_logits`), and its Dice leaves the sample
    out; so does the binary cross-entropy of a region. A sample of weight 0 counts nowhere.
    """

    regions: bool = False  # sigmoid outputs and (B, R, *S) targets; otherwise softmax and (B, 1, *S) label maps
    ignore_label: int | None = None  # label maps: the value to ignore
    ignore_channel: bool = False  # regions: the last channel of the target marks voxels to ignore
    batch_dice: bool = False  # Dice over the whole batch (and over all DDP ranks) instead of per sample
    scale_weights: tuple[float, ...] | None = None  # deep supervision: one weight per resolution, None without it
    distributed: bool = False  # sum the batch Dice over the ranks of the default process group
    smooth: float = 1e-5

    def __call__(
        self, outputs: Outputs, targets: Outputs, label_mask: Tensor | None = None, voxel_weight: Tensor | None = None
    ) -> Tensor:
        """The loss, a float32 (or float64) scalar.

        Args:
            outputs: logits (B, K, *S) or (B, R, *S); under deep supervision a sequence, full resolution first.
            targets: what goes with each output, in nnU-Net's form; or `KnownTargets`.
            label_mask: M, (B, 1, *S) in [0, 1] at full resolution; None is 1.
            voxel_weight: w >= 0, (B, 1, *S) at full resolution; None is 1. Coarser resolutions use its mean over the
                voxels they cover, as for M.
        Raises:
            ValueError: outputs, targets and scale weights that do not go together.
        """
        class_weight = class_weight_of(targets)
        if (confidence := confidence_of(targets)) is not None:
            voxel_weight = _times(confidence, voxel_weight)
        return self.over_resolutions(
            lambda logits, target: self._at_one_resolution(logits, target, label_mask, voxel_weight, class_weight),
            outputs,
            targets,
        )

    def over_resolutions(self, term: Callable[..., Tensor], outputs: Outputs, *others: Outputs) -> Tensor:
        """Σ over the resolutions of a term of what each of them has, with the resolution's weight.

        Raises:
            ValueError: outputs, targets and scale weights that do not go together.
        """
        parts = [all_resolutions(each) for each in (outputs, *others)]
        weights = (1.0,) if len(parts[0]) == 1 else self.scale_weights or (1.0,) * len(parts[0])
        if {len(part) for part in parts} != {len(weights)}:
            found = ", ".join(str(len(part)) for part in parts)
            raise ValueError(f"expected as many outputs as targets and scale weights, got {found} and {len(weights)}")
        terms = [weight * term(*of_one) for weight, *of_one in zip(weights, *parts, strict=True) if weight != 0]
        return torch.stack(terms).sum(dim=0)

    def valid(self, target: Tensor) -> Tensor | None:
        """(B, 1, *S) bool, False where the target is to be ignored; None when nothing ever is."""
        if self.ignore_channel:
            return target[:, -1:] == 0
        return None if self.ignore_label is None else target != self.ignore_label

    def counted(self, targets: Outputs) -> Tensor | None:
        """Where the full resolution is `valid` and its given confidence is not 0, (B, 1, *S) bool; None: everywhere."""
        valid, confidence = self.valid(full_resolution(targets)), confidence_of(targets)
        if confidence is None:
            return valid
        return confidence > 0 if valid is None else valid & (confidence > 0)

    def labels(self, target: Tensor) -> Tensor:
        """The target without its ignore channel (regions), or with background for ignored voxels (label maps)."""
        if self.ignore_channel:
            return target[:, :-1]
        return target if self.ignore_label is None else torch.where(target != self.ignore_label, target, 0)

    def of_label(self, log_probability: Tensor) -> Tensor:
        """Loss of a voxel from the log-probability of its label."""
        return -log_probability

    def of_regions(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of a voxel in each region, (B, R, *S)."""
        return functional.binary_cross_entropy_with_logits(logits, target, reduction="none")

    def _at_one_resolution(
        self,
        logits: Tensor,
        target: Tensor,
        label_mask: Tensor | None,
        voxel_weight: Tensor | None,
        class_weight: Tensor | None,
    ) -> Tensor:
        logits = marginal_logits(exact(logits), class_weight, self.regions)
        valid, labels = self.valid(target), self.labels(target)
        mask, weight = resized(label_mask, logits), resized(voxel_weight, logits)
        if valid is not None:
            weight = valid.to(logits.dtype) if weight is None else weight * valid
        if class_weight is not None:
            weight = _times(like(class_weight.amax(dim=1).to(logits.dtype), logits), weight)
        if self.regions:
            return self._region_loss(logits, labels, mask, weight, valid, class_weight)
        return self._label_map_loss(logits, labels.long(), mask, weight, valid, class_weight)

    def _label_map_loss(
        self,
        logits: Tensor,
        labels: Tensor,
        mask: Tensor | None,
        weight: Tensor | None,
        valid: Tensor | None,
        class_weight: Tensor | None,
    ) -> Tensor:
        log_probability = logits.log_softmax(dim=1)
        of_label = log_probability.gather(1, labels)
        nll = self.of_label(of_label)
        if mask is not None:
            nll = -(mask * of_label + (1 - mask) * log_probability[:, :1])
        weighted = nll if weight is None else nll * weight
        if class_weight is not None:
            counted = class_weight.amax(dim=1, keepdim=True) > 0
            cross_entropy = _mean_of_counted(weighted, counted, valid).sum()
        else:
            cross_entropy = weighted.mean() if valid is None else weighted.sum() / valid.sum().clamp_min(1)

        label_weight = weight if mask is None else _times(mask, weight)
        in_label = of_label.exp()
        intersection = sum_per_label(_times(in_label, label_weight), labels, logits.shape[1])
        reference = sum_per_label(_times(torch.ones_like(in_label), label_weight), labels, logits.shape[1])
        predicted = spatial_sum(_times(log_probability[:, 1:].exp(), weight))
        foreground = None if class_weight is None else class_weight[:, 1:]
        return cross_entropy - self._dice(intersection[:, 1:], predicted, reference[:, 1:], foreground)

    def _region_loss(
        self,
        logits: Tensor,
        regions: Tensor,
        mask: Tensor | None,
        weight: Tensor | None,
        valid: Tensor | None,
        class_weight: Tensor | None,
    ) -> Tensor:
        soft_target = _times(regions.to(logits.dtype), mask)
        weighted = _times(self.of_regions(logits, soft_target), weight)
        # nnU-Net divides by the number of voxels, not of voxels times regions, when there is an ignore label
        if class_weight is not None:
            means = _mean_of_counted(weighted, class_weight > 0, valid)
            cross_entropy = means.mean() if valid is None else means.sum()
        else:
            cross_entropy = weighted.mean() if valid is None else weighted.sum() / valid.sum().clamp_min(1e-8)

        probability = _times(logits.sigmoid(), weight)
        intersection, predicted = spatial_sum(probability * soft_target), spatial_sum(probability)
        reference = spatial_sum(_times(soft_target, weight))
        return cross_entropy - self._dice(intersection, predicted, reference, class_weight)

    def _dice(
        self, intersection: Tensor, predicted: Tensor, reference: Tensor, class_weight: Tensor | None = None
    ) -> Tensor:
        """Mean soft Dice of (B, K) sums, of which those of a sample without a class are 0."""
        if self.batch_dice:
            sums = torch.stack([intersection, predicted, reference]).sum(dim=1)
            intersection, predicted, reference = sum_over_ranks(sums) if self.distributed else sums
        dice: Tensor = (2 * intersection + self.smooth) / (reference + predicted + self.smooth).clamp_min(1e-8)
        if class_weight is not None and not self.batch_dice:
            dice = (dice * class_weight).sum(dim=0) / (class_weight > 0).sum(dim=0).clamp_min(1)
        return dice.mean()


def _times(values: Tensor, factor: Tensor | None) -> Tensor:
    return values if factor is None else values * factor


def _mean_of_counted(values: Tensor, counted: Tensor, valid: Tensor | None) -> Tensor:
    """Means over the valid voxels of the samples that count, (K,), of (B, K, *S) values that are 0 elsewhere.

    Args:
        counted: (B, K) bool.
    """
    voxels = values[0, 0].numel() if valid is None else valid.flatten(1).sum(dim=1, keepdim=True)
    return spatial_sum(values).sum(dim=0) / (counted * voxels).sum(dim=0).clamp_min(1)
