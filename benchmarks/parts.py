"""Each part of a DALE iteration alone, prepared and timed by itself."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks.cases import Case, batch
from benchmarks.timing import seconds_of
from nnunetv2_dale.dale import hypergradient
from nnunetv2_dale.dale.alignment import FEWEST_VOXELS, MOST_VOXELS
from nnunetv2_dale.dale.confidence_step import LabelConfidence
from nnunetv2_dale.dale.feature_alignment import alignment_loss, class_gaussians
from nnunetv2_dale.dale.hypergradient import FuzzyPass, NonFuzzyPass
from nnunetv2_dale.dale.label_confidence import ConfidenceLearner, Reuse
from nnunetv2_dale.dale.views import View, weighted_loss


class Parts:
    """The parts of an iteration of a started nnUNetTrainerDALE, on one batch."""

    def __init__(self, trainer: Any, case: Case, device: torch.device) -> None:
        data = batch(case, trainer._get_deep_supervision_scales(), device)
        self.trainer, self.step, self.device = trainer, trainer.dale_step.algorithm, device
        self.images = data["data"]
        self.targets = [target.to(device) for target in data["target"]]
        self.batch = self.step.partition(self.images, self.targets[0])
        self.fuzzy, self.non_fuzzy = self.batch.fuzzy, self.batch.non_fuzzy

    def seconds(self) -> dict[str, float]:
        """Seconds of each part, run once each."""
        step = self.step
        found: dict[str, float] = {}

        timed = functools.partial(self._timed, found)
        timed("partition, masks and views", lambda: step.partition(self.images, self.targets[0]))
        step.optimizer.zero_grad(set_to_none=True)
        outputs, reference_features = timed("forward, non-fuzzy", lambda: step.see(self.non_fuzzy.images))
        loss = timed("loss", lambda: self._loss(outputs, self.non_fuzzy))
        timed("backward, non-fuzzy", loss.backward)
        timed("optimizer update", self._optimizer_update)
        outputs, features = timed("forward, fuzzy", lambda: step.see(self.fuzzy.images))
        look_ahead = step.confidence
        reuse = Reuse(
            step.config, look_ahead.shadow, look_ahead.weights, look_ahead.step_size, copy.copy(look_ahead.average)
        )
        with self._passes_timed(found):
            confidence = timed("omega, look-ahead", lambda: self._omega(look_ahead, outputs))
        timed("omega, reuse", lambda: self._omega(reuse, outputs))
        timed("L_W with its gradient", lambda: self._alignment(reference_features.detach(), features.detach()))
        loss = self._loss(outputs, self.fuzzy, confidence.omega)
        timed("backward, fuzzy", loss.backward)
        return found

    def _timed(self, found: dict[str, float], name: str, run: Callable[[], Any]) -> Any:
        """What `run` returns; its seconds go into `found`."""
        results: list[Any] = []
        found[name] = seconds_of(lambda: results.append(run()), self.device)
        return results[0]

    @contextlib.contextmanager
    def _passes_timed(self, found: dict[str, float]) -> Iterator[None]:
        """Within it, the passes through the network that ω takes are timed too, in the order of lines 7 to 10."""
        forwards = iter(("  of it, forward, look-ahead", "  of it, forward, shifted weights"))
        backwards = iter(("  of it, backward, pseudo-step", "  of it, backward, look-ahead"))

        def timed(run: Callable[..., Any], names: Iterator[str]) -> Callable[..., Any]:
            return lambda *arguments: self._timed(found, next(names), lambda: run(*arguments))

        shadow = self.step.confidence.shadow
        with (
            mock.patch.object(shadow, "forward", timed(shadow.forward, forwards)),
            mock.patch.object(hypergradient, "_gradient", timed(hypergradient._gradient, backwards)),
        ):
            yield

    def _loss(self, outputs: Any, view: View, omega: Tensor | None = None) -> Tensor:
        return weighted_loss(self.step.loss, outputs, self.targets, view, omega)

    def _optimizer_update(self) -> None:
        torch.nn.utils.clip_grad_norm_(self.trainer.network.parameters(), 12)
        self.step.optimizer.step()

    def _omega(self, learner: ConfidenceLearner, outputs: Any) -> LabelConfidence:
        fuzzy = FuzzyPass(self.fuzzy.images, outputs, lambda z, w: self._loss(z, self.fuzzy, w))
        non_fuzzy = NonFuzzyPass(self.non_fuzzy.images, lambda z: self._loss(z, self.non_fuzzy))
        return learner(fuzzy, non_fuzzy)[0]

    def _alignment(self, non_fuzzy: Tensor, fuzzy: Tensor) -> None:
        """Gaussians of both sides, L_W, and its gradient in the features."""
        step, config = self.step, self.step.config
        is_fuzzy = self.batch.is_fuzzy
        leaf = fuzzy.requires_grad_()
        reference, moving = (
            class_gaussians(features, self.targets[0], selected, step.num_classes, MOST_VOXELS, False, step.generator)
            for features, selected in ((non_fuzzy, ~is_fuzzy), (leaf, is_fuzzy))
        )
        loss = alignment_loss(
            reference,
            moving,
            FEWEST_VOXELS,
            config.covariance_noise,
            config.alignment_scale == "relative",
            step.generator,
        )
        torch.autograd.grad(loss, leaf)
