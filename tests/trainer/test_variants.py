"""Every variant is what its name says: ablations change one thing, and the whole method has all of its parts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.trainer import variants
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from nnunetv2_dale.trainer.training_log import SCALARS
from tests.trainer.fixtures import inputs_of, make_trainer, next_batch, started

pytestmark = pytest.mark.usefixtures("nnunet")

PRINTED = variants.nnUNetTrainerDALE_asPrinted
ABLATIONS: dict[str, dict[str, Any]] = {
    "noConfidence": {"confidence_steps": 0, "case_trust": "off"},
    "noMeta": {"confidence_steps": 0},
    "noCaseTrust": {"case_trust": "off"},
    "noAlignment": {"alignment_weight": 0.0},
    "alternationOnly": {"confidence_steps": 0, "case_trust": "off", "alignment_weight": 0.0},
    "entropyOnly": {"fuzziness_source": "entropy"},
    "edgesOnly": {"fuzziness_source": "edges"},
    "maskedLoss": {"view": "masked_loss"},
    "reuse": {"confidence_gradient": "reuse", "fuzzy_graph": "keep"},
    "head": {"confidence_gradient": "head", "fuzzy_graph": "keep"},
}
# so that the first batch is an iteration of Algorithm 1
FROM_THE_FIRST_BATCH = {"dale": {"phase_in": 0.0, "phase_out": 0.0, "learned": 0.0}}


def variant(name: str) -> type[nnUNetTrainerDALE]:
    found: type[nnUNetTrainerDALE] = getattr(variants, f"nnUNetTrainerDALE_{name}")
    return found


@pytest.mark.parametrize(("name", "fields"), ABLATIONS.items(), ids=ABLATIONS)
def test_an_ablation_changes_exactly_its_fields(name: str, fields: dict[str, Any]) -> None:
    assert asdict(variant(name).dale) == {**asdict(nnUNetTrainerDALE.dale), **fields}


def test_as_printed_has_the_papers_settings() -> None:
    assert asdict(variant("asPrinted").dale) == {**asdict(DaleConfig()), "case_trust": "off"}


@pytest.mark.parametrize(
    ("trainer_class", "passes"),
    [(PRINTED, 2), (nnUNetTrainerDALE, 3)],  # the third is the fuzzy view at shifted weights, whose graph is used
)
def test_the_whole_method_uses_all_of_its_parts(trainer_class: type[nnUNetTrainerDALE], passes: int) -> None:
    """In one iteration; `tests/dale` has what each setting of an ablation does."""
    torch.manual_seed(0)
    trainer = started(make_trainer(trainer_class, settings=FROM_THE_FIRST_BATCH))
    batch, inputs = next_batch(trainer), inputs_of(trainer.network)
    record = dict(zip(SCALARS, trainer.train_step(batch)["dale"].tolist(), strict=False))
    assert record["confidence_mean"] != 1
    assert record["confidence_std"] > 0
    assert 0 < record["noisy_fraction"] < 1
    assert record["alignment"] > 0
    assert len(inputs) == passes
    assert all(not torch.equal(view, batch["data"]) for view in inputs)


def test_without_deep_supervision_there_is_one_output() -> None:
    trainer = started(make_trainer(variant("noDeepSupervision")))
    batch = next_batch(trainer)
    assert isinstance(batch["target"], Tensor)
    assert isinstance(trainer.network(batch["data"]), Tensor)
    assert np.isfinite(trainer.train_step(batch)["loss"])
