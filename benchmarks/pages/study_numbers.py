"""Numbers and tables of the accuracy study, as the pages show them: Dice in points, 0 to 100."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.accuracy.study_chance import all_seeds_tables, paired, seeds_table
from benchmarks.accuracy.study_tables import all_tables, case_values, comparison, confidence, range_of_trainings, read
from benchmarks.pages.shown import between, columns, signed, stacked

RESULTS = Path(__file__).resolve().parents[1] / "results/accuracy"
SHORT = ("labels", "arm", "batches", "folds × seeds", "Dice", "difference (95 % interval)", "HD95")
Trainings = dict[tuple[int, int], float]


def trainings(table: str, labels: str, arm: str, **run: object) -> Trainings:
    """(fold, seed) → mean Dice over the held-out cases, in points.

    Raises:
        LookupError: there is no such training.
    """
    wanted = run | {"labels": labels, "arm": arm}
    found = {
        (each["run"]["fold"], each["run"]["seed"]): 100 * float(case_values([each], "dice").mean())
        for part in table.split("+")
        for each in read(RESULTS, part)
        if wanted.items() <= each["run"].items()
    }
    if not found:
        raise LookupError(f"{table}.jsonl has no training of {wanted}")
    return found


def differences(table: str, labels: str, arm: str, **run: object) -> NDArray[np.float64]:
    """(trainings,) points above plain nnU-Net of the same fold and seed."""
    found = paired(trainings(table, labels, "plain", **run), trainings(table, labels, arm, **run))
    if not len(found):
        raise LookupError(f"{table}.jsonl has no plain training beside {labels}, {arm}, {run}")
    return found


def dice(table: str, labels: str, arm: str, digits: int = 1, **run: object) -> str:
    """Mean Dice over the trainings."""
    return f"{np.mean(list(trainings(table, labels, arm, **run).values())):.{digits}f}"


def gain(table: str, labels: str, arm: str, **run: object) -> str:
    """Mean difference to plain nnU-Net, signed."""
    return signed(float(differences(table, labels, arm, **run).mean()))


def gains(table: str, labels: str, arm: str, beside: str) -> str:
    """The differences of single trainings to another arm of the same fold and seed: "−3.8 and −1.3"."""
    found = paired(trainings(table, labels, beside), trainings(table, labels, arm))
    return " and ".join(signed(float(each)) for each in found)


def interval(table: str, labels: str, arm: str, **run: object) -> str:
    """95 % interval of the mean difference over trainings (Student's t)."""
    low, high = stats.ttest_1samp(differences(table, labels, arm, **run), 0).confidence_interval()
    return between(float(low), float(high))


def lowest_to_highest(table: str, labels: str, arm: str, **run: object) -> str:
    """The differences of single trainings."""
    found = differences(table, labels, arm, **run)
    return between(float(found.min()), float(found.max()))


def count(table: str, labels: str, arm: str, **run: object) -> int:
    """Pairs of trainings."""
    return len(differences(table, labels, arm, **run))


def largest_chance(table: str) -> str:
    """How far a training ends from plain nnU-Net, at most, where nothing was down-weighted: clean labels."""
    return f"{np.abs(differences(table, 'clean', 'CaseTrust')).max():.1f}"


def cost_of_labels(labels: str) -> str:
    """What wrong labels cost plain nnU-Net: its mean on clean labels minus that on these."""
    means = [np.mean(list(trainings("dale", each, "plain").values())) for each in ("clean", labels)]
    return f"{means[0] - means[1]:.1f}"


def study_table(name: str) -> str:
    """A table of the study with the columns that matter most."""
    if name == "chance":
        return seeds_table(RESULTS, "seeds")
    if name == "collapse":
        return range_of_trainings(read(RESULTS, "dale_collapse"))
    if name == "finding":
        found = confidence([each for each in read(RESULTS, "dale") if each["run"]["arm"] == "DALE"])
        return columns(found, ("labels", "arm", "score", "AUROC over time"))
    if name == "parts":
        return _parts()
    if name in ELSEWHERE:
        return stacked("training", {title: _short(table) for title, table in ELSEWHERE[name].items()})
    return _short(name)


def all_study_tables() -> str:
    """Every table there are results for."""
    return f"{all_seeds_tables(RESULTS)}\n\n{all_tables(RESULTS)}".strip()


ELSEWHERE = {
    "dale elsewhere": {"3d_fullres": "dale_volumes", "LIDC": "dale_readers"},
    "elsewhere": {"four times as long": "converged", "3d_fullres": "volumes", "LIDC": "readers"},
}


def _short(table: str) -> str:
    """The trainings of the largest number of batches, of which a table may have shorter ones for comparison."""
    results = read(RESULTS, table)
    most = max(each["run"]["budget"] for each in results)
    return columns(comparison([each for each in results if each["run"]["budget"] == most]), SHORT)


def _parts() -> str:
    """Beside plain nnU-Net and DALE of the same fold and seed, which the table "dale" has."""
    place = {"labels": "dilated", "fold": 2, "seed": 0}
    arms = ("plain", "DALE", "CaseTrust")
    compared = [
        each for each in read(RESULTS, "dale") if place.items() <= each["run"].items() and each["run"]["arm"] in arms
    ]
    table = comparison([*compared, *read(RESULTS, "dale_parts")])
    return columns(table, ("arm", "batches", "Dice", "difference (95 % interval)"))
