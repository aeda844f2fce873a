"""The iterations that are compared, on real trainer objects of nnU-Net without data loading."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from cases import Case, batch, dataset_json, plans

from nnunetv2_dale.dale.config import RECOMMENDED, DaleConfig

VARIANTS = (
    "plain",
    "lookahead",
    "lookahead_shifted",
    "lookahead_recompute",
    "reuse",
    "alternation",
    "default",
    "double_backward",
)
QUICK_VARIANTS = ("plain", "lookahead", "reuse", "alternation", "double_backward")
ONCE_IF_QUICK = ("double_backward",)  # no target is stated for it, and it takes longest
SETTINGS: dict[str, dict[str, Any]] = {
    "lookahead": {"confidence_gradient": "look_ahead"},
    "lookahead_shifted": {"confidence_gradient": "look_ahead", "fuzzy_graph": "shifted"},
    "lookahead_recompute": {"confidence_gradient": "look_ahead", "fuzzy_graph": "recompute"},
    "reuse": {"confidence_gradient": "reuse"},
    "alternation": {"confidence_steps": 0, "alignment_weight": 0.0},
    "default": asdict(RECOMMENDED) | {"confidence_start": 0.0},  # with ω, from the first batch on
    "double_backward": {"confidence_gradient": "look_ahead"},
}


def trainer(case: Case, device: torch.device, settings: dict[str, Any] | None = None) -> Any:
    """A started trainer on the case: nnU-Net's own where there are no settings, else nnUNetTrainerDALE with them."""
    # imported here: nnU-Net reads its folders from the environment when it is imported
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE

    class WithoutDataLoading(nnUNetTrainer if settings is None else nnUNetTrainerDALE):  # type: ignore[misc]
        if settings is not None:
            dale = DaleConfig(**settings)

        def get_dataloaders(self) -> tuple[None, None]:
            return None, None

        def plot_network_architecture(self) -> None:
            pass

    torch.manual_seed(0)
    with Path(os.devnull).open("w") as silence, contextlib.redirect_stdout(silence):
        made = WithoutDataLoading(plans(case), case.configuration, 0, dataset_json(case), device)
        made.on_train_start()
        made.on_train_epoch_start()
    return made


def iteration(variant: str, case: Case, device: torch.device) -> Callable[..., object]:
    """One training iteration of a variant, to be called again and again; on a batch of the case, or on the one given.

    Args:
        variant: one of VARIANTS; "plain" is nnU-Net's own train_step.
    """
    made = trainer(case, device, SETTINGS.get(variant))
    data = batch(case, made._get_deep_supervision_scales(), device)
    if variant != "double_backward":
        return lambda other=None: made.train_step(other or data)
    from double_backward import TextbookIteration

    made.alternating_step._tap.remove()
    textbook = TextbookIteration(made.alternating_step)
    return lambda other=None: textbook(other or data)
