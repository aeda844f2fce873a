"""LIDC's four readers: a real disagreement, and what a soft border looks like."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.audit_study.quality import ranking_quality
from nnunetv2_dale.audit.kept_evidence import all_evidence
from nnunetv2_dale.audit.referees import audit_task
from nnunetv2_dale.audit.scoring import rank_cases
from nnunetv2_dale.masks.overlap import dice

READERS = 4
CLEARLY = 0.1  # Dice by which the farthest reader agrees less with the others than the next


def hard_cases(source: Path) -> frozenset[str]:
    """The third of the nodules on which the four readers agree least: their borders are soft."""
    with (source / "lidc_nodules" / "cases.csv").open(newline="") as file:
        agreement = {row["case"]: float(row["mean_pairwise_dice"]) for row in csv.DictReader(file)}
    least = sorted(agreement, key=lambda case: agreement[case])
    return frozenset(least[: len(least) // 3])


def measure_readers(source: Path, results: Path, kept: Path) -> dict[str, Any]:
    """Audit every reader's outline of every nodule with the networks of the consensus, all in one list.

    Returns how often the reader who is far from the other three (lowest mean Dice with them) ranks above the others,
    among all nodules and among those where it is far by `CLEARLY`; and how well the ranking finds these outlines.
    """
    evidence, task = [], None
    for reader in range(READERS):
        task = audit_task([results], references=source / "lidc_nodules" / f"rater{reader}")
        found = all_evidence(task, kept / f"rater{reader}", 1)
        evidence += [replace(each, case=f"{each.case}/{reader}") for each in found]
    assert task is not None
    names = [each.audited.case for each in rank_cases(evidence, task)]
    rank = {name: -float(place) for place, name in enumerate(names)}
    apart = {each.case: 1 - (each.classes["1"].dice or 0.0) for each in evidence}
    nodules = [inputs.case for inputs in task.cases]
    agreement = {nodule: _agreement(source, nodule) for nodule in nodules}
    clear = [each for each in nodules if np.diff(np.sort(agreement[each]))[0] >= CLEARLY]
    far = {f"{each}/{int(np.argmin(agreement[each]))}" for each in clear}
    pooled = [f"{each}/{reader}" for each in clear for reader in range(READERS)]
    scores = {"audit": rank, "1 - Dice": apart}
    return {
        "outlines": len(evidence),
        "nodules": len(nodules),
        "nodules_with_a_far_reader": len(clear),
        "far_reader_first": {name: _first(each, agreement, nodules) for name, each in scores.items()},
        "far_reader_first_where_clear": {name: _first(each, agreement, clear) for name, each in scores.items()},
        "outlines_ranked": {
            name: ranking_quality([label in far for label in pooled], [each[label] for label in pooled])
            for name, each in scores.items()
        },
    }


def _first(scores: dict[str, float], agreement: dict[str, NDArray[np.float64]], nodules: list[str]) -> float:
    """Share of the nodules whose farthest reader has the highest score of the four; by chance it is 0.25."""
    hits = [
        int(np.argmax([scores[f"{each}/{reader}"] for reader in range(READERS)])) == int(np.argmin(agreement[each]))
        for each in nodules
    ]
    return round(float(np.mean(hits)), 4)


def _agreement(source: Path, nodule: str) -> NDArray[np.float64]:
    """(4,) mean Dice of each reader's outline with the other three."""
    folder = source / "lidc_nodules"
    masks = [np.asarray(Image.open(folder / f"rater{each}" / f"{nodule}.png")) > 0 for each in range(READERS)]
    return np.array([np.mean([dice(one, other) for other in masks if other is not one]) for one in masks])
