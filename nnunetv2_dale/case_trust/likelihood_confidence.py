"""ω of a batch from the likelihood of its labels, for every sample alike or only where the case is displaced."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nnunetv2_dale.case_trust.case_displacement import CaseDisplacement, displacement_weights
from nnunetv2_dale.case_trust.label_likelihood import (
    class_means,
    class_probabilities,
    label_probability,
    learned,
    likelihood_weights,
)
from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.masked_loss import MaskedLoss, Outputs

# Threshold and exponent in the smaller of two groups, ω = p²: harsher than elsewhere, its labels being known to be off
_SMALLER_GROUP = (1.0, 2.0)


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
    def __call__(
        self, outputs: Outputs, target: Tensor, cases: Sequence[str] | None, trust_all: bool = False
    ) -> Tensor:
        """ω, (B, 1, *S), float32 (float64 where the logits are); the displacement of the cases is remembered.

        Args:
            outputs: logits, full resolution first.
            target: of the full resolution.
            cases: the name of each sample's case; needed by the sources that remember cases.
            trust_all: remember, but let ω be 1.
        Raises:
            ValueError: no `cases`, where they are needed.
        """
        config, regions = self._config, self._loss.regions
        probabilities = class_probabilities(outputs if isinstance(outputs, Tensor) else outputs[0], regions)
        labels, valid = self._loss.labels(target), self._loss.valid(target)
        if config.remembers_cases:
            if cases is None:
                raise ValueError(
                    f'confidence_source "{config.confidence_source}" expects the name of each sample\'s case, got none'
                )
            self.displacement.observe(cases, probabilities, labels, valid, regions)
        if trust_all:
            return torch.ones_like(probabilities[:, :1])
        if config.confidence_source == "displacement":
            assert cases is not None
            distrust = self.displacement.distrust(cases, config.displacement_tolerance, regions)
            return displacement_weights(
                probabilities, labels, distrust, config.likelihood_threshold, config.likelihood_exponent, regions
            )
        if config.confidence_source == "grouped":
            assert cases is not None
            doubted = self.displacement.smaller_group(cases)
            if doubted is None:
                return torch.ones_like(probabilities[:, :1])
            return displacement_weights(probabilities, labels, doubted, *_SMALLER_GROUP, regions)
        weights = self._of_labels(probabilities, labels, valid)
        if config.confidence_source == "gated":
            beyond = self.displacement.spread(regions) / max(config.displacement_tolerance, 1e-6) - 1
            return 1 - beyond.clamp(0, 1) * (1 - weights)
        return weights

    def look_for_groups(self) -> list[str]:
        """Find the cases that "grouped" doubts from now on; to be called once per epoch.

        Returns:
            a sentence for each class whose cases fall into two groups; none with another source.
        """
        config = self._config
        if config.confidence_source != "grouped":
            return []
        return self.displacement.look_for_groups(
            config.displacement_tolerance,
            config.displacement_groups,
            self._loss.regions,
            config.displacement_fewest,
        )

    def _of_labels(self, probabilities: Tensor, labels: Tensor, valid: Tensor | None) -> Tensor:
        """The likelihood's weight of every label of an object that the network finds."""
        config, regions = self._config, self._loss.regions
        probability = label_probability(probabilities, labels, regions)
        weights = likelihood_weights(probability, config.likelihood_threshold, config.likelihood_exponent)
        if config.likelihood_learned == 0:
            return weights
        means = class_means(probabilities, labels, valid, regions)
        return torch.where(learned(means, config.likelihood_learned), weights, 1.0)
