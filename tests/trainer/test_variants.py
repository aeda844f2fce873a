"""Every variant is what its name says: lengths equal their plain twins, ablations change one thing, seen in the log."""

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
from tests.trainer.fixtures import (
    make_trainer,
    next_batch,
    started,
)

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
# so that the first batch is an iteration of Algorithm 1 in every variant
FROM_THE_FIRST_BATCH = {"dale": {"phase_in": 0.0, "phase_out": 0.0, "learned": 0.0}}


def variant(name: str) -> type[nnUNetTrainerDALE]:
    found: type[nnUNetTrainerDALE] = getattr(variants, f"nnUNetTrainerDALE_{name}")
    return found


def first_step(trainer_class: type[nnUNetTrainerDALE], seed: int = 0) -> tuple[dict[str, float], list[Tensor], Tensor]:
    """The record of one iteration from the same weights on the same batch, the network's inputs, and the images."""
    torch.manual_seed(0)
    trainer = started(make_trainer(trainer_class, settings=FROM_THE_FIRST_BATCH))
    seen: list[Tensor] = []
    trainer.network.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach().clone()))
    batch = next_batch(trainer, seed)
    values = trainer.train_step(batch)["dale"]
    return dict(zip(SCALARS, values.tolist(), strict=False)), seen, batch["data"]


# --- ablations --------------------------------------------------------------------------------------------------------


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
    """The other tests here say what is missing without a part; this one, that it is there."""
    record, inputs, images = first_step(trainer_class)
    assert record["confidence_mean"] != 1
    assert record["confidence_std"] > 0
    assert 0 < record["noisy_fraction"] < 1
    assert record["alignment"] > 0
    assert len(inputs) == passes
    assert all(not torch.equal(view, images) for view in inputs)


def test_without_confidence_every_label_is_trusted_alike() -> None:
    record, _, _ = first_step(variant("noConfidence"))
    assert (record["confidence_mean"], record["confidence_std"], record["noisy_fraction"]) == (1, 0, 0)
    assert record["alignment"] > 0


def test_without_alignment_nothing_is_aligned() -> None:
    record, _, _ = first_step(variant("noAlignment"))
    assert record["alignment"] == 0
    assert record["confidence_std"] > 0


def test_alternation_only_has_neither() -> None:
    record, _, _ = first_step(variant("alternationOnly"))
    assert (record["confidence_mean"], record["confidence_std"], record["alignment"]) == (1, 0, 0)
    assert record["fuzzy_fraction"] > 0


def test_each_source_of_fuzziness_alone_finds_at_most_what_both_find() -> None:
    """m is the larger of both (Eq. 5), so a voxel that is fuzzy for one of them is fuzzy for both, and conversely."""
    sources = [variant("entropyOnly"), variant("edgesOnly"), nnUNetTrainerDALE]
    by_seed = [[first_step(source, seed)[0]["fuzzy_fraction"] for source in sources] for seed in range(4)]
    assert all(max(entropy, edges) <= both <= entropy + edges for entropy, edges, both in by_seed)
    assert any(entropy < both for entropy, _, both in by_seed)
    assert any(edges < both for _, edges, both in by_seed)


def test_a_masked_loss_leaves_the_images_whole() -> None:
    record, inputs, images = first_step(variant("maskedLoss"))
    assert len(inputs) == 3
    assert all(torch.equal(view, images) for view in inputs)
    assert record["non_fuzzy_loss"] != first_step(nnUNetTrainerDALE)[0]["non_fuzzy_loss"]


@pytest.mark.parametrize("name", ["reuse", "head"])
def test_reusing_the_gradient_of_line_5_saves_the_look_ahead(name: str) -> None:
    """Same first update and losses, other ω."""
    look_ahead, other = first_step(nnUNetTrainerDALE)[0], first_step(variant(name))[0]
    assert other["non_fuzzy_loss"] == look_ahead["non_fuzzy_loss"]
    assert other["confidence_std"] > 0
    assert other["confidence_mean"] != look_ahead["confidence_mean"]


def test_without_deep_supervision_there_is_one_output() -> None:
    trainer = started(make_trainer(variant("noDeepSupervision")))
    batch = next_batch(trainer)
    assert isinstance(batch["target"], Tensor)
    assert isinstance(trainer.network(batch["data"]), Tensor)
    assert np.isfinite(trainer.train_step(batch)["loss"])
