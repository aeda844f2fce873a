"""nnU-Net's trainer with DALE's training iteration: nnU-Net's hooks, no formulas."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch._dynamo import OptimizedModule

from nnunetv2_dale.dale.alternating_step import AlternatingStep
from nnunetv2_dale.dale.feature_tap import segmentation_head
from nnunetv2_dale.dale.phased_step import PhasedStep, Phases
from nnunetv2_dale.trainer.config import DEFAULT, DaleTrainerConfig
from nnunetv2_dale.trainer.cpu_process import keep_freed_memory
from nnunetv2_dale.trainer.training_log import (
    NUMBERS,
    SHARE,
    algorithm_in,
    doubted_in,
    numbers_of,
    numbers_of_epoch,
    outcome,
    plan_in_words,
)
from nnunetv2_dale.trainer.trusted_cases import TrustsCases

# of each epoch's end, where the phases go on from
RUNNING, PROBABILITY, VOXELS = "dale_running", "dale_class_probability", "dale_class_voxels"
LEARNED = "dale_classes_learned"


class nnUNetTrainerDALE(TrustsCases):
    """Trains with DALE (*Minding Fuzzy Regions*, CVPR 2025); everything else is nnU-Net's.

    The settings, `dale`, are the paper's method in the form that holds inside nnU-Net (as printed:
    `nnUNetTrainerDALE_asPrinted`); a `"dale": {...}` object in the plans' configuration overrides them.
    """

    dale: DaleTrainerConfig = DEFAULT
    settings_of: ClassVar[tuple[str, ...]] = ("dale", "case_trust")
    log_keys: ClassVar[tuple[str, ...]] = (RUNNING, PROBABILITY, VOXELS, LEARNED, *(f"dale_{name}" for name in NUMBERS))
    dale_step: PhasedStep  # -> on_train_start

    def initialize(self) -> None:
        Phases(self.dale, self._batches)  # refuses a training too short for them
        super().initialize()
        if self.dale.uses_features:
            segmentation_head(self._plain_network())

    def on_train_start(self) -> None:
        if self.device.type == "cpu" and self.dale.learns_confidence:
            keep_freed_memory()
        super().on_train_start()
        loss, regions = self._masked_loss(), self.label_manager.has_regions
        if self.dale.case_trust != "off":
            self._trust_cases(loss)
        algorithm = AlternatingStep(
            network=self.network,
            module=self._plain_network(),
            optimizer=self.optimizer,
            loss=loss,
            num_classes=self.label_manager.num_segmentation_heads + (1 if regions else 0),
            config=self.dale,
            spacing_mm=self.configuration_manager.spacing,
            image_channels=self._image_channels,
            update=self._update,
            autocast=self._autocast,
            loss_scale=self._loss_scale,
            generator=torch.Generator(self.device),
            compiled=isinstance(self._unwrapped_network(), OptimizedModule),
            label_trust=self.trust,
        )
        self.dale_step = PhasedStep(algorithm, self._batches)
        self.print_to_log_file("DALE:", plan_in_words(self.dale_step.phases, self.dale.every, self._batches))

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        step = self.dale_step
        assert step.algorithm.generator is not None
        # all from the epoch's number and the log, so that a resumed training goes on as an uninterrupted one
        step.algorithm.generator.manual_seed(self.current_epoch * 1000 + self.local_rank)
        step.algorithm.forget()
        step.batch = self.current_epoch * self.num_iterations_per_epoch
        if self.current_epoch > 0:
            self._restore(step.phases)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        images, targets = self._on_device(batch)
        record = self.dale_step(images, targets, batch.get("keys"))
        values = numbers_of(record).cpu().numpy()  # one wait for all of them
        return {"loss": values[0], "dale": values}

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        super().on_train_epoch_end(train_outputs)
        step = self.dale_step
        numbers, histogram = numbers_of_epoch(train_outputs, self.is_ddp, self.dale.plain_iterations)
        self.log_numbers("DALE", numbers, "dale_")
        step.catch_up()
        for name, value in (
            (RUNNING, float(step.phases.running)),
            (PROBABILITY, step.phases.classes.probabilities),
            (VOXELS, step.phases.classes.voxels),
            (LEARNED, sorted(step.phases.ever_learned)),
        ):
            self.logger.log(name, value, self.current_epoch)
        if not math.isnan(histogram[0]):
            self.print_to_log_file("DALE confidence histogram, 0 to 2:", histogram)
        in_time = step.batch - self.num_iterations_per_epoch < step.phases.end
        if in_time and (waiting := step.phases.waiting_for()):
            self.print_to_log_file("DALE waits for", waiting)
        while step.phases.news:
            self.print_to_log_file("DALE:", step.phases.news.pop(0))
        if in_time and step.phases.running and step.phases.end <= step.batch < self._batches:
            self.print_to_log_file(f"DALE: batch {step.phases.end}: Algorithm 1 ends here, whole batches from here on")

    def _restore(self, phases: Phases) -> None:
        """Where the epoch before has left the phases; an epoch from before they were logged leaves them as they are."""
        running, probabilities, voxels, learned = (
            self.logger.get_value(name, self.current_epoch - 1) for name in (RUNNING, PROBABILITY, VOXELS, LEARNED)
        )
        if isinstance(probabilities, list):
            phases.restore(bool(running), probabilities, voxels, learned)

    def on_train_end(self) -> None:
        super().on_train_end()
        taken = algorithm_in(self.epochs_of(f"dale_{SHARE}"), self.num_iterations_per_epoch, self._batches)
        doubted = [doubted_in(self.epochs_of("dale_case_mean"), self.groups)] if self.trust is not None else []
        self.print_to_log_file("DALE:", outcome(taken, *doubted))
