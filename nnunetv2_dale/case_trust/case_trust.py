"""What the labels of a case are worth: 1, but for suspect labels of cases whose contours are displaced."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nnunetv2_dale.case_trust.case_displacement import CaseDisplacement
from nnunetv2_dale.case_trust.config import CaseTrustConfig
from nnunetv2_dale.case_trust.label_weights import class_probabilities, label_weights
from nnunetv2_dale.dale.masked_loss import MaskedLoss, Outputs, full_resolution


class CaseTrust:
    """Looks at the logits of forwards that are made anyway; costs no pass of the network.

    Args:
        loss: says what the targets are: label map or regions, and what is ignored.
        config: see there.
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
        self, images: Tensor, outputs: Outputs, target: Tensor, cases: Sequence[str] | None
    ) -> Tensor | None:
        """As `weigh`, after remembering what the batch shows of its cases: for forwards of whole images."""
        probabilities = class_probabilities(full_resolution(outputs), self._loss.regions)
        labels, valid = self._loss.labels(target), self._loss.valid(target)
        own = images[:, : self._image_channels]  # what the stage before has learned would confirm itself
        self.displacement.observe(_named(cases), own, probabilities, labels, valid, self._loss.regions)
        return self._trust(probabilities, labels, valid, _named(cases))

    @torch.no_grad()
    def weigh(self, outputs: Outputs, target: Tensor, cases: Sequence[str] | None) -> Tensor | None:
        """Return what each label of the batch is worth, (B, 1, *S) in [0, 1], float32; None: all alike.

        Args:
            outputs: logits, full resolution first.
            target: of the full resolution.
            cases: the name of each sample's case.
        Raises:
            ValueError: no `cases`.
        """
        if not self.displacement.has_groups:
            return None
        probabilities = class_probabilities(full_resolution(outputs), self._loss.regions)
        return self._trust(probabilities, self._loss.labels(target), self._loss.valid(target), _named(cases))

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
