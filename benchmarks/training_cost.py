"""What a whole training costs: its batches of Algorithm 1 and its whole ones, each at its own price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.variants import SETTINGS
from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.phased_step import Phases

BATCHES = 1000 * 250  # of nnU-Net's training: epochs times iterations


@dataclass(frozen=True)
class Training:
    """A trainer class, and the iterations it is made of, by their names among the variants."""

    trainer: str
    algorithm_1: str
    whole: str


TRAININGS = (
    Training("nnUNetTrainerDALE", "dale", "dale_whole"),
    Training("nnUNetTrainerDALE_reuse", "dale_reuse", "dale_whole"),
    Training("nnUNetTrainerDALE_head", "dale_head", "dale_whole"),
    Training("nnUNetTrainerDALE_asPrinted", "lookahead", "plain"),
    Training("nnUNetTrainerCaseTrust", "plain", "case_trust"),
)
VARIANTS = ("plain", "lookahead", "dale", "dale_reuse", "dale_head", "dale_whole", "case_trust")


def share_of_algorithm_1(config: DaleConfig, batches: int = BATCHES) -> float:
    """The part of a training's batches that Algorithm 1 takes, where it never has to wait for a class."""
    phases = Phases(replace(config, learned=0.0), batches)
    return sum(phases.takes(batch) for batch in range(batches)) / batches


def training_costs(variants: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """Per trainer class its cost by count and by measurement, divided by plain nnU-Net's, and its step's memory.

    A training that has variants which `step_cost.measure` has not measured is left out.
    """
    found = {}
    for training in TRAININGS:
        if not {training.algorithm_1, training.whole} <= set(variants):
            continue
        config = SETTINGS.get(training.algorithm_1)
        share = 0.0 if config is None else share_of_algorithm_1(config)
        count = 1.0 if config is None else config.plain_iterations
        kinds = [variants[name] for name in (training.algorithm_1, training.whole)]
        measured = [kind["ratio_median"] for kind in kinds]
        row = {
            "share": share,
            "algorithm_1": count,
            "by_count": 1 + share * (count - 1),
            "by_measurement": share * measured[0] + (1 - share) * measured[1],
        }
        if all("step_memory_ratio" in kind for kind in kinds):
            row["step_memory"] = max(kind["step_memory_ratio"] for kind in kinds)
        found[training.trainer] = row
    return found
