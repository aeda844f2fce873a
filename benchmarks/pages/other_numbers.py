"""Numbers and tables of what was measured beside the accuracy study."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import case_trust_toy, expected_dice, other_methods, svl_drl_toy, svl_drl_training
from benchmarks import few_labels as acdc
from benchmarks.pages.cost_numbers import RESULTS, stored
from benchmarks.pages.shown import columns, signed, stacked
from benchmarks.table import markdown
from benchmarks.trainings import rows_of

DATA = {
    "Dataset020_CTAbdomen": "abdominal CT",
    "Dataset004_Hippocampus": "hippocampus",
    "lidc_nodules, 128 px": "lung nodules",
    "kvasir_seg, 96 px": "polyps",
}
FEW_LABELS = "semi_supervised.jsonl"  # its driver is in the repository's history; `few_labels` asks the same of ACDC
ARMS = ("plain", "dk_uxnet", "dk_uxnet_labels_only")
WAYS = {
    "look-ahead": "look-ahead, one-sided",
    "reuse": "reuse, one-sided",
    "reuse in bfloat16": "reuse, one-sided, bfloat16",
    "head": "head",
}


def case_trust_toy_table() -> str:
    """What the trust of cases finds among drawn displacements and contrasts."""
    return case_trust_toy.results_table(stored("case_trust_toy.json")["rows"])


def other_methods_table() -> str:
    """The other methods on the left atrium."""
    rows = rows_of(RESULTS / other_methods.RESULTS.name)
    lengths = sorted({other_methods.Run(**row["run"]).iterations for row in rows})
    tables = {str(length): other_methods.results_table(rows, length) for length in lengths}
    return stacked("iterations", {name: columns(table, other_methods.COLUMNS) for name, table in tables.items()})


def at_the_end(method: str, number: str, digits: int) -> str:
    """A number that a method logs, in the last epoch of its trainings of 500 iterations: one for each seed."""
    rows = rows_of(RESULTS / other_methods.RESULTS.name)
    found = [row["last_epoch"][number] for row in rows if (row["run"]["method"], row["iterations"]) == (method, 500)]
    return " and ".join(f"{value:.{digits}f}" for value in found)


def svl_drl_table() -> str:
    """SVL-DRL's trainings on the hippocampus, and what its policy does in them."""
    return svl_drl_training.results_table(rows_of(RESULTS / svl_drl_training.RESULTS.name))


def svl_drl_toy_table() -> str:
    """How far the policy has learned what is right."""
    return svl_drl_toy.table(stored("svl_drl_toy.json")["toys"])


def few_labels_table() -> str:
    """Few labelled cases on the left atrium: Dice of each arm in points, for every seed, and the mean of the seeds."""
    seeds: dict[tuple[int, int, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows_of(RESULTS / FEW_LABELS):
        seeds[row["run"]["labelled"], ARMS.index(row["run"]["arm"]), row["run"]["equal"]].append(row)
    lines = []
    for (labelled, arm, equal), rows in sorted(seeds.items()):
        dice = [100 * row["dice"] for row in sorted(rows, key=lambda row: int(row["run"]["seed"]))]
        iterations = "–".join(str(count) for count in sorted({row["iterations"] for row in rows}))
        each = ", ".join(f"{value:.2f}" for value in dice)
        lines.append([str(labelled), ARMS[arm], equal, iterations, each, f"{statistics.mean(dice):.2f}"])
    return markdown(["labelled", "arm", "equal", "iterations", "Dice of each seed", "mean"], lines)


def few_labels(arm: str, labelled: int, equal: str, digits: int = 1) -> str:
    """Mean Dice of the seeds, in points; `equal` is "epochs" or "time"."""
    wanted = {"arm": arm, "labelled": labelled, "equal": equal}
    rows = rows_of(RESULTS / FEW_LABELS)
    found = [row["dice"] for row in rows if wanted.items() <= row["run"].items()]
    if not found:
        raise LookupError(f"semi_supervised.jsonl has no training of {wanted}")
    return f"{100 * np.mean(found):.{digits}f}"


def acdc_table() -> str:
    """Few labelled patients of ACDC: what cases without labels add."""
    return _of_stored(acdc.results_table, acdc.RESULTS)


def acdc_gain(arm: str, labelled: int, iterations: int, beside: int = 3) -> str:
    """Dice points of an arm above the labels alone of `beside` patients and the same seed, one for each seed."""
    found = {acdc.Run(**row["run"]): row["dice"] for row in rows_of(RESULTS / acdc.RESULTS.name)}
    seeds = sorted(run.seed for run in found if (run.arm, run.labelled, run.iterations) == (arm, labelled, iterations))
    both = [
        (found[acdc.Run(arm, labelled, seed, iterations)], found[acdc.Run("labels alone", beside, seed, iterations)])
        for seed in seeds
    ]
    return " and ".join(signed(100 * (reached - alone)) for reached, alone in both)


def acdc_patients(which: str) -> int:
    """How many train ("TRAINING") or judge ("TEST")."""
    number: int = getattr(acdc, which)
    return number


def acdc_judged_table() -> str:
    """What was expected of the cases without labels, and what their labels say."""
    return _of_stored(acdc.calibration_table, acdc.RESULTS)


def expected_dice_table() -> str:
    """The expected Dice of held-out labelled cases."""
    return _of_stored(expected_dice.results_table, expected_dice.RESULTS)


def picture(of: str, file: Path) -> str:
    """A picture in docs/evidence, once it is drawn."""
    return f"![{of}]({file.name})" if file.exists() else ""


def svl_drl_curves() -> str:
    """The picture of SVL-DRL's trainings."""
    return picture("Entropy, shares of the actions and reward over the epochs", svl_drl_training.FIGURE)


def expected_dice_picture() -> str:
    """The picture of what was expected and what came."""
    return picture("Expected and actual Dice", expected_dice.FIGURE)


def _of_stored(table: Callable[[list[dict[str, Any]]], str], file: Path) -> str:
    rows = rows_of(RESULTS / file.name)
    return table(rows) if rows else "No training of it is stored yet."


def fuzzy_region_table() -> str:
    """Where the fuzzy region lies, with the bins of Eq. 3 as printed and near labels."""
    numbers = (("fuzzy_near_edges", 2), ("edges_fuzzy", 2), ("auroc", 3))
    rows = [
        [DATA[name], *(f"{each['printed'][key]:.{n}f} → {each['near edges'][key]:.{n}f}" for key, n in numbers)]
        for name, each in stored("fuzziness.json")["data"].items()
    ]
    header = ["data", "fuzzy region that is near an edge", "edges that are fuzzy", "AUROC of m, for being near an edge"]
    return markdown(header, rows)


def meta_gradient_table(*ways: str) -> str:
    """Cosine and right signs of cheap derivatives beside the exact one."""
    rows = []
    found = {(each["case"], each["iterations"], each["way"]): each for each in _fidelity("agreement")}
    for case, iterations in dict.fromkeys(place[:2] for place in found):
        row = [case, iterations]
        for each in (found[case, iterations, WAYS[way]] for way in ways):
            row += [f"{each['cosine']:.4f}", f"{each['sign']:.3f} / {each['sign_fuzzy']:.3f}"]
        rows.append(row)
    return markdown(["case", "iterations", *(title for way in ways for title in (f"{way}, cosine", "signs"))], rows)


def shifted_gradient_table() -> str:
    """How far the update's gradient moves when it is taken beside the weights."""
    rows = []
    for each in _fidelity("update_gradient"):
        cosines = [f"{each[name]:.4f}" for name in ("cosine", "worst_cosine")]
        rows.append([each["case"], each["iterations"], each["way"], *cosines, f"{each['relative_difference']:.3f}"])
    return markdown(["case", "iterations", "weights", "cosine", "lowest cosine", "difference / gradient"], rows)


def worst_head_cosine() -> str:
    """Of the head's derivative, beside the exact one of the head: the lowest of all batches."""
    found = [each["worst_cosine"] for each in _fidelity("agreement") if each["way"].startswith("head, to")]
    return f"{min(found):.4f}"


def published_dice() -> str:
    """Mean Dice, in points, of nnU-Net's published five-fold results on the hippocampus, read by our report."""
    return f"{100 * stored('published_hippocampus.json')['mean_dice']['nnUNetTrainer__nnUNetPlans__3d_fullres']:.0f}"


def speed(name: str, *keys: str) -> str:
    """Seconds or GiB of a tool."""
    found: Any = stored(name)
    for key in keys:
        found = found[key]
    return f"{found:.1f}"


def _fidelity(part: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((RESULTS / "confidence_fidelity.json").read_text())[part]
    return found
