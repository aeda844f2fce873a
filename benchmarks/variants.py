"""The iterations that are compared, on real trainer objects of nnU-Net without data loading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch

from benchmarks.cases import Case, batch, dataset_json, plans
from benchmarks.synthetic_training import started, without_data
from nnunetv2_dale.case_trust.case_trust import CaseTrust
from nnunetv2_dale.dale.config import ADAPTED, PRINTED, DaleConfig

# Iterations of Algorithm 1 as printed, and what each setting costs.
_PRINTED = {
    "lookahead": PRINTED,
    "lookahead_shifted": replace(PRINTED, fuzzy_graph="shifted"),
    "lookahead_recompute": replace(PRINTED, fuzzy_graph="recompute"),
    "reuse": replace(PRINTED, confidence_gradient="reuse"),
    "head": replace(PRINTED, confidence_gradient="head"),
    "alternation": replace(PRINTED, confidence_steps=0, alignment_weight=0.0),
    "double_backward": PRINTED,
}
# Iterations of nnUNetTrainerDALE and two variants of it, while cases are doubted: Algorithm 1, and its whole batches.
_ADAPTED = {
    "dale": ADAPTED,
    "dale_reuse": replace(ADAPTED, confidence_gradient="reuse", fuzzy_graph="keep"),
    "dale_head": replace(ADAPTED, confidence_gradient="head", fuzzy_graph="keep"),
}
SETTINGS: dict[str, DaleConfig] = _PRINTED | _ADAPTED | {"dale_whole": ADAPTED}

VARIANTS = (
    *("plain", "lookahead", "lookahead_shifted", "lookahead_recompute", "reuse", "head", "alternation"),
    *("dale", "dale_reuse", "dale_head", "dale_whole", "case_trust", "double_backward"),
)
QUICK_VARIANTS = ("plain", "lookahead", "reuse", "alternation", "double_backward")
ONCE_IF_QUICK = ("double_backward",)  # no target is stated for it, and it takes longest


def trainer(case: Case, device: torch.device, dale: DaleConfig | None = None, base: type | None = None) -> Any:
    """A started trainer on the case: nnUNetTrainerDALE with the settings, or the base; without both nnU-Net's own."""
    # imported here: nnU-Net reads its folders from the environment when it is imported
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from nnunetv2_dale.trainer.config import CaseTrustSwitch, DaleTrainerConfig
    from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE

    kind = without_data(base or (nnUNetTrainer if dale is None else nnUNetTrainerDALE))
    if dale is not None:
        # as in nnUNetTrainerDALE and its variants: cases are trusted where there are whole batches
        trust: CaseTrustSwitch = "groups" if dale.phase_in > 0 else "off"
        kind.dale = DaleTrainerConfig(**asdict(dale), case_trust=trust)
    return started(kind, case, plans(case), dataset_json(case), device)


def iteration(variant: str, case: Case, device: torch.device) -> Callable[..., object]:
    """One training iteration of a variant of VARIANTS, to be called again and again.

    On a batch of the case, or on the one given; "plain" is nnU-Net's own train_step.
    """
    if variant == "case_trust":
        return _case_trust(case, device)
    made = trainer(case, device, SETTINGS.get(variant))
    data = batch(case, made._get_deep_supervision_scales(), device)
    if variant == "double_backward":
        from benchmarks.double_backward import TextbookIteration

        textbook = TextbookIteration(made.dale_step.algorithm)
        return lambda other=None: textbook(other or data)
    if variant in _ADAPTED or variant == "dale_whole":
        return _dale(made, data, case, device, whole=variant == "dale_whole")
    return lambda other=None: made.train_step(other or data)


def _dale(made: Any, data: dict[str, Any], case: Case, device: torch.device, whole: bool) -> Callable[..., object]:
    """One kind of iteration of nnUNetTrainerDALE, as its train_step makes it, while cases are doubted."""
    from nnunetv2_dale.trainer.training_log import numbers_of

    step = made.dale_step
    kind = step.whole_batch if whole else step.algorithm

    def train(other: dict[str, Any] | None = None) -> object:
        given = other or data
        step.catch_up()
        return numbers_of(kind(*made._on_device(given), given["keys"])).cpu().numpy()

    _doubt(made.trust, case, device)
    return train


def _case_trust(case: Case, device: torch.device) -> Callable[..., object]:
    """An iteration of nnUNetTrainerCaseTrust while cases are doubted."""
    from nnunetv2_dale.trainer.case_trust import nnUNetTrainerCaseTrust

    made = trainer(case, device, base=nnUNetTrainerCaseTrust)
    data = batch(case, made._get_deep_supervision_scales(), device)
    _doubt(made.weighted_step.trust, case, device)
    return lambda other=None: made.train_step(other or data)


def _doubt(trust: CaseTrust, case: Case, device: torch.device) -> None:
    """As if every third case were drawn two voxels wider than the others, of the batch's and others."""
    contour, no_contrast, learned = ([each] * case.classes for each in (100.0, 0.0, 1.0))
    drawn = {
        f"case {sample}": [
            [200.0 * (sample % 3 == 0)] * case.classes,
            *(contour, no_contrast, no_contrast),
            *(learned, learned),
        ]
        for sample in range(case.batch + 9)
    }
    trust.displacement.restore(drawn, device)
    trust.displacement.look_for_groups(tolerance=0.4, explained=0.75)
    if not trust.displacement.has_groups:
        raise RuntimeError("no case is doubted: the trust of cases would cost nothing")
