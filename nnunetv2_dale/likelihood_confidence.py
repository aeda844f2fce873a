"""ω of a batch from the likelihood of its labels, for every sample alike or only where the case is displaced."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nnunetv2_dale.case_displacement import CaseDisplacement, displacement_weights
from nnunetv2_dale.config import DaleConfig
from nnunetv2_dale.label_likelihood import class_probabilities, label_probability, likelihood_weights
from nnunetv2_dale.masked_loss import MaskedLoss, Outputs


class LikelihoodConfidence:
    """Looks at the logits of a forward that is made anyway; costs no pass of the network.

    Args:
        loss: says what the targets are: label map or regions, and what is ignored.
        config: its likelihood and displacement fields.
    """

    def __init__(self, loss: MaskedLoss, config: DaleConfig) -> None:
        self.displacement = CaseDisplacement(config.displacement_memory)
        self._loss, self._config = loss, config

    @torch.no_grad()
    def __call__(self, outputs: Outputs, target: Tensor, cases: Sequence[str] | None) -> Tensor:
        """ω, (B, 1, *S), float32 (float64 where the logits are); the displacement of the cases is remembered.

        Args:
            outputs: logits, full resolution first.
            target: of the full resolution.
            cases: the name of each sample's case; needed by the source "displacement".
        Raises:
            ValueError: no `cases`, where they are needed.
        """
        config, regions = self._config, self._loss.regions
        probabilities = class_probabilities(outputs if isinstance(outputs, Tensor) else outputs[0], regions)
        labels = self._loss.labels(target)
        if config.confidence_source != "displacement":
            probability = label_probability(probabilities, labels, regions)
            return likelihood_weights(probability, config.likelihood_threshold, config.likelihood_exponent)
        if cases is None:
            raise ValueError('confidence_source "displacement" expects the name of each sample\'s case, got none')
        self.displacement.observe(cases, probabilities, labels, self._loss.valid(target), regions)
        distrust = self.displacement.distrust(cases, config.displacement_tolerance, regions)
        return displacement_weights(
            probabilities, labels, distrust, config.likelihood_threshold, config.likelihood_exponent, regions
        )
