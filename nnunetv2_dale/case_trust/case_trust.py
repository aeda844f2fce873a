"""What labels are worth: 1, but for those of down-weighted cases that the network finds unlikely."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nnunetv2_dale.case_trust.case_displacement import CaseDisplacement
from nnunetv2_dale.case_trust.config import CaseTrustConfig
from nnunetv2_dale.case_trust.doubted_cases import EXTRA, LARGE, MISSING, SMALL
from nnunetv2_dale.case_trust.far_objects import far_objects, given_classes
from nnunetv2_dale.dale.marginal_loss import class_weight_of, marginal_logits
from nnunetv2_dale.dale.masked_loss import MaskedLoss, Outputs, full_resolution


def class_probabilities(logits: Tensor, regions: bool = False) -> Tensor:
    """(B, K, *S) in float32 and without a graph: softmax over the classes, or a sigmoid per region."""
    scores = logits.detach()
    scores = scores if scores.dtype == torch.float64 else scores.float()
    return scores.sigmoid() if regions else scores.softmax(dim=1)


@torch.no_grad()
def label_weights(
    probabilities: Tensor,
    labels: Tensor,
    valid: Tensor | None,
    doubt: Tensor,
    regions: bool = False,
    objects: bool = True,
) -> Tensor:
    """Trust of each label, (B, 1, *S) in [0, 1]: below 1 where its case makes it suspect.

    Labels of a class that is too large are suspect in its own voxels, of one that is too small in all others; an object
    that is suspect in its voxels alone. There the weight is 1 − d · (1 − p²), d how far the case is down-weighted there
    and p the label's probability under the network; with several classes the smallest weight counts.

    Args:
        probabilities: (B, K, *S).
        labels: (B, 1, *S) label map with values below K, or (B, K, *S) regions.
        valid: (B, 1, *S) bool, False where the label is to be ignored; None: everywhere.
        doubt: (B, 4, K) in [0, 1], from `CaseDisplacement.doubt_of`.
        objects: whether any is above 0 for objects; without, these are not looked for.
    """
    gates = doubt.reshape(*doubt.shape, *[1] * (probabilities.ndim - 2)).to(probabilities.dtype)
    inside = given_classes(labels, probabilities.shape[1], regions)
    of_answer = torch.where(inside, probabilities, 1 - probabilities)
    suspicion = torch.where(inside, gates[:, LARGE], gates[:, SMALL])
    if objects:
        extra, missing = far_objects(probabilities, labels, valid, regions)
        for side, where in ((EXTRA, extra), (MISSING, missing)):
            suspicion = torch.maximum(suspicion, gates[:, side] * where)
    weights: Tensor = 1 - suspicion * (1 - of_answer.square())
    return weights.amin(dim=1, keepdim=True)


class CaseTrust:
    """Looks at the logits of forwards that are made anyway; costs no pass of the network.

    Args:
        loss: says what the targets are: label map or regions, and what is ignored.
        batches: of the whole training.
        image_channels: leading channels of the input that are image; None is all.
        spacing_mm: of the voxels; None is isotropic.
    """

    def __init__(
        self,
        loss: MaskedLoss,
        config: CaseTrustConfig,
        batches: int,
        image_channels: int | None = None,
        spacing_mm: Sequence[float] | None = None,
    ) -> None:
        self.displacement = CaseDisplacement(config.memory, spacing_mm, loss.distributed)
        self._loss, self._config, self._image_channels = loss, config, image_channels
        self._first = max(config.start * batches, config.after)

    def may_doubt(self, batch: int) -> bool:
        """Return whether cases may be doubted from this batch on, counted from 0."""
        return batch >= self._first

    def look_for_groups(self) -> list[str]:
        """Find the cases that are doubted from now on; to be called once per epoch.

        Returns:
            a sentence for each class, and side, on which cases are down-weighted.
        """
        config = self._config
        return self.displacement.look_for_groups(config.tolerance, config.explained, self._loss.regions, config.fewest)

    @torch.no_grad()
    def observe_and_weigh(
        self, images: Tensor, outputs: Outputs, targets: Outputs, cases: Sequence[str] | None
    ) -> Tensor | None:
        """As `weigh`, after remembering what the batch shows of its cases: for forwards of whole images."""
        probabilities, labels, valid = self._seen(outputs, targets)
        own = images[:, : self._image_channels]  # what the stage before has learned would confirm itself
        self.displacement.observe(_named(cases), own, probabilities, labels, valid, self._loss.regions)
        return self._trust(probabilities, labels, valid, _named(cases))

    @torch.no_grad()
    def weigh(self, outputs: Outputs, targets: Outputs, cases: Sequence[str] | None) -> Tensor | None:
        """Return what each label of the batch is worth, (B, 1, *S) in [0, 1], float32; None: all alike.

        Args:
            outputs: logits, full resolution first.
            targets: full resolution first. Of `KnownTargets` a class that is not annotated in a sample counts as its
                background: what the network finds of it there is no object that the label lacks.
            cases: the name of each sample's case.
        Raises:
            ValueError: no `cases`.
        """
        if not self.displacement.has_groups:
            return None
        return self._trust(*self._seen(outputs, targets), _named(cases))

    def _seen(self, outputs: Outputs, targets: Outputs) -> tuple[Tensor, Tensor, Tensor | None]:
        """Probabilities, labels, and which of them count."""
        logits, target = full_resolution(outputs), full_resolution(targets)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        logits = marginal_logits(logits, class_weight_of(targets), self._loss.regions)
        return class_probabilities(logits, self._loss.regions), self._loss.labels(target), self._loss.counted(targets)

    def _trust(
        self, probabilities: Tensor, labels: Tensor, valid: Tensor | None, cases: Sequence[str]
    ) -> Tensor | None:
        doubted = self.displacement.doubt_of(cases)
        if doubted is None:
            return None
        objects = self.displacement.has_objects
        return label_weights(probabilities, labels, valid, doubted, self._loss.regions, objects)


def _named(cases: Sequence[str] | None) -> Sequence[str]:
    if cases is None:
        raise ValueError("the trust of cases expects the name of each sample's case, got none")
    return cases
