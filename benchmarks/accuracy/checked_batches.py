"""Batches of which some cases are checked: these have their clean labels, and the labels of the others are doubted."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.accuracy.batches import Batches
from nnunetv2_dale.trainer.safe_training import SafeTraining


@dataclass(frozen=True)
class CheckedCases:
    """Who was checked, and how far the labels of the others are trusted."""

    checked: frozenset[str]  # have clean labels and confidence 1
    # the checked ones of all trainings that are compared, so that all are measured on the same cases
    not_measured: frozenset[str]
    confidence: float  # c of the others, the same for all their voxels

    @classmethod
    def drawn(cls, cases: Sequence[str], count: int, most: int, confidence: float) -> CheckedCases:
        """Draw the first `count` of `most` cases in a fixed order."""
        order = random.Random(1).sample(sorted(cases), most)
        return cls(frozenset(order[:count]), frozenset(order), confidence)

    def given_to(self, trainer: SafeTraining, batches: Batches, clean: str) -> Batches:
        """Let a trainer take the doubt as the last channel of the batches that come out, as it is loaded in a training.

        `clean` is the version of the labels that checked cases have.
        """
        trainer._has_maps = True
        return _CheckedBatches(**vars(batches), known=self, clean=clean)


@dataclass(frozen=True)
class _CheckedBatches(Batches):
    known: CheckedCases
    clean: str

    def batch(self, number: int, version: str) -> dict[str, Any]:
        batch, clean = super().batch(number, version), super().batch(number, self.clean)
        checked = self._checked(number)
        each = [checked.view(-1, *(1 for _ in target.shape[1:])) for target in batch["target"]]
        targets = [torch.where(*of) for of in zip(each, clean["target"], batch["target"], strict=True)]
        doubt = torch.where(each[0], 0.0, 1 - self.known.confidence).expand(-1, 1, *batch["data"].shape[2:])
        return {**batch, "data": torch.cat([batch["data"], doubt], dim=1), "target": targets}

    def changed(self, number: int, version: str) -> Tensor:
        changed = super().changed(number, version)
        return changed & ~self._checked(number).view(-1, *(1 for _ in changed.shape[1:]))

    def _checked(self, number: int) -> Tensor:
        return torch.tensor([case in self.known.checked for case in self.cases[number % len(self)]])
