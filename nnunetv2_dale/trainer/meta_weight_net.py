"""nnU-Net's trainer with Meta-Weight-Net: nnU-Net's hooks, no formulas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from torch import Tensor, nn
from torch._dynamo import OptimizedModule

from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.dale.hypergradient import FuzzyPass, NonFuzzyPass, confidence_derivative, look_ahead_gradient
from nnunetv2_dale.dale.masked_loss import Outputs, full_resolution
from nnunetv2_dale.dale.random_draws import draws_from_here
from nnunetv2_dale.dale.shadow_network import ShadowNetwork, allow_two_backwards_through_compiled_networks
from nnunetv2_dale.rivals.config import MetaWeightConfig
from nnunetv2_dale.rivals.meta_weight_net import MetaBatch, MetaRecord, MetaWeightStep, VirtualStep, WeightNet
from nnunetv2_dale.rivals.non_fuzzy import non_fuzzy
from nnunetv2_dale.trainer.distributed_gradients import average_gradients
from nnunetv2_dale.trainer.modules_beside import TrainsBeside


class nnUNetTrainerMWNet(TrainsBeside):
    """Every voxel is weighted by a small network of its loss (Shu et al., NeurIPS 2019).

    The small network is taught by clean cases, which `"meta_cases": [...]` in the plans' configuration names and which
    then teach nothing else; without them, by what is not fuzzy in each batch. A `"mwnet": {...}` object overrides the
    settings.
    """

    method = "MWNet"
    key = "mwnet"
    record = MetaRecord
    mwnet: MetaWeightConfig = MetaWeightConfig()
    step: MetaWeightStep
    dataloader_meta: Any = None  # -> get_dataloaders, with meta cases
    _serves_meta_cases = False  # while their batches' loader is made

    plans_keys: ClassVar[tuple[str, ...]] = ("meta_cases",)

    @property
    def meta_cases(self) -> list[str]:
        """As the plans name them."""
        cases: list[str] = self.configuration_manager.configuration.get("meta_cases", [])
        return cases

    def _build_beside(self) -> nn.Module:
        return WeightNet(self.mwnet.hidden)

    def _build_own_optimizer(self) -> torch.optim.Optimizer:
        config = self.mwnet
        return torch.optim.Adam(self.beside.parameters(), config.meta_lr, weight_decay=config.meta_weight_decay)

    @property
    def _optimizers(self) -> list[torch.optim.Optimizer]:
        return [self.optimizer]  # the own one takes its steps in `_meta_step`

    def get_tr_and_val_datasets(self) -> tuple[Any, Any]:
        """Return the loader without the meta cases, or of them alone."""
        training, validation = super().get_tr_and_val_datasets()
        if self.meta_cases:
            meta, others = divided(training.identifiers, self.meta_cases, self.fold)
            training.identifiers = meta if self._serves_meta_cases else others
        return training, validation

    def get_dataloaders(self) -> tuple[Any, Any]:
        loaders: tuple[Any, Any] = super().get_dataloaders()
        if self.meta_cases:
            self._serves_meta_cases = True
            self.dataloader_meta, unused = super().get_dataloaders()
            self._serves_meta_cases = False
            _finish(unused)
        return loaders

    def on_train_start(self) -> None:
        compiled = isinstance(self._unwrapped_network(), OptimizedModule) or self._do_i_compile()
        if compiled:
            allow_two_backwards_through_compiled_networks()
        super().on_train_start()
        self._loss_of_rank = replace(self._masked_loss(), distributed=False)
        self._shadow = ShadowNetwork(self._plain_network(), compiled, self._autocast)
        assert isinstance(self.beside, WeightNet)
        self.step = MetaWeightStep(
            network=self._forward,
            weight_net=self.beside,
            loss=self._masked_loss(),
            by_weights=self._by_weights,
            meta_step=self._meta_step,
            backward=self._backward,
            autocast=self._autocast,
        )
        source = counted(len(self.meta_cases), "case") if self.meta_cases else "what is not fuzzy in each batch"
        self.print_to_log_file("MWNet's clean labels:", source)

    def on_train_end(self) -> None:
        super().on_train_end()
        _finish(self.dataloader_meta)

    def _learn(self, images: Tensor, targets: Outputs) -> MetaRecord:
        return self.step(images, targets, self._meta_batch(images, targets))

    def _meta_batch(self, images: Tensor, targets: Outputs) -> MetaBatch:
        """The next batch of the meta cases; else the batch itself, where it is not fuzzy."""
        loss = self._loss_of_rank
        if self.meta_cases:
            clean_images, clean_targets = self._on_device(next(self.dataloader_meta))
            return MetaBatch(clean_images, lambda outputs: loss(outputs, clean_targets))
        certain = non_fuzzy(
            images, full_resolution(targets), loss, self.mwnet, self.configuration_manager.spacing, self._image_channels
        )
        return MetaBatch(images, lambda outputs: loss(outputs, targets, None, certain))

    def _forward(self, images: Tensor) -> Outputs:
        """Logits, and a note of what the network drops out here: the virtual step is to drop the same."""
        self._same_draws = draws_from_here(images.device)
        outputs: Outputs = self._unwrapped_network()(images)
        return outputs

    def _by_weights(self, virtual: VirtualStep) -> Tensor:
        """∂L_meta(θ̂)/∂w = −η · d/dt ∂L/∂w along the meta gradient at θ̂, as Eq. 10 of DALE."""
        weights = [weight for weight in self._plain_network().parameters() if weight.requires_grad]
        step_size: float = self.optimizer.param_groups[0]["lr"]
        step = FuzzyPass(virtual.images, virtual.outputs, virtual.loss, same_draws=self._same_draws)
        judge = NonFuzzyPass(virtual.meta.images, virtual.meta.loss)
        direction, at_start = look_ahead_gradient(
            self._shadow, weights, step, judge, virtual.weights, step_size, self._loss_scale()
        )
        derivative = confidence_derivative(self._shadow, weights, step, direction)
        return -step_size * derivative(virtual.weights, at_start)

    def _meta_step(self) -> None:
        if self.is_ddp:
            average_gradients(self.beside.parameters())
        assert self.own_optimizer is not None
        self.own_optimizer.step()
        self.own_optimizer.zero_grad(set_to_none=True)


def divided(training: Sequence[str], meta: object, fold: int | str) -> tuple[list[str], list[str]]:
    """Return the meta cases, and the other cases of the training set.

    Raises:
        RuntimeError: no list of names, a case that is not in the training set, or none that is left to train on.
    """
    if not isinstance(meta, list) or not all(isinstance(case, str) for case in meta):
        raise RuntimeError(f'expected "meta_cases" to be a list of names of training cases, got {meta!r}')
    foreign = sorted(set(meta) - set(training))
    if foreign:
        raise RuntimeError(
            f'"meta_cases" has {counted(len(foreign), "name")} not in the training set of fold {fold}, first '
            f"{foreign[0]}; name training cases of this fold whose labels are clean"
        )
    others = [case for case in training if case not in set(meta)]
    if not others:
        raise RuntimeError(f'"meta_cases" names every training case of fold {fold}; leave some to train on')
    return list(meta), others


def _finish(loader: Any) -> None:
    """End a loader's processes, if it has any."""
    if isinstance(loader, NonDetMultiThreadedAugmenter):
        loader._finish()
