"""Numbers of the paper's own setting: points of test Dice, three seeds where nothing else is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pages.shown import between, signed
from benchmarks.paper import paper_tables
from benchmarks.paper.paper_plan import UNET

RESULTS = Path(__file__).resolve().parents[1] / "results/paper"


def paper(arm: str, like: str) -> str:
    """Mean of the seeds above ordinary training that is as long by `like`, on polyps with clean labels."""
    return signed(float(np.mean(_above(arm, like))))


def paper_range(arm: str, like: str) -> str:
    """Lowest and highest of the seeds."""
    found = _above(arm, like)
    return between(min(found), max(found))


def paper_masks(printed: str, masked: str) -> str:
    """How far masks on the loss are above masks on the image: mean and range over the seeds."""
    found = np.subtract(_dice(masked), _dice(printed))
    return f"{signed(float(found.mean()))} ({between(float(found.min()), float(found.max()))})"


def paper_first_seed(table: str, arm: str, epochs: int) -> str:
    """Test Dice of the first seed after so many epochs."""
    (result,) = (each for each in paper_tables.read(RESULTS)[table] if each["run"]["arm"] == arm)
    return f"{100 * paper_tables.chosen(result['curve'][:epochs])['test']:.1f}"


def all_paper_tables() -> str:
    """Every table of the setting."""
    return paper_tables.all_tables(RESULTS).strip()


def _seeds(arm: str) -> list[dict[str, Any]]:
    place = {"data": "polyps", "labels": "clean", "network": UNET, "arm": arm}
    every = [each for runs in paper_tables.read(RESULTS).values() for each in runs]
    found = [each for each in every if place.items() <= each["run"].items()]
    if not found:
        raise LookupError(f"{RESULTS} has no training of {arm!r} on clean polyps")
    return sorted(found, key=lambda each: each["run"]["seed"])


def _above(arm: str, like: str) -> list[float]:
    seeds, ordinary = paper_tables.of_one_length(_seeds(arm)), _seeds("ordinary")
    found = [paper_tables.difference(each, ordinary, paper_tables.LIKE[like]) for each in seeds]
    if None in found:
        raise LookupError(f"a seed of {arm!r} has no ordinary training that is as long ({like})")
    return [each for each in found if each is not None]


def _dice(arm: str) -> list[float]:
    return [100 * float(paper_tables.chosen(each["curve"])["test"]) for each in paper_tables.of_one_length(_seeds(arm))]
