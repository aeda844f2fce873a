"""The tables of docs/evidence/audit.md from the stored results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.table import markdown

Stored = Mapping[str, Any]
RIVALS = {"audit": "audit", "cleanlab softmin": "cleanlab", "mean loss": "mean loss", "1 - Dice": "1 − Dice"}
BAD = "cases_ranked_dice_at_most_0.8"


def cases_table(stored: Stored, which: str = "cases_ranked") -> str:
    """AUROC and average precision of every ranking, one row per condition with errors."""
    rows = [["labels", "cases", "wrong", *RIVALS.values()]]
    for name, row in stored["conditions"].items():
        if which in row:
            wrong = row["wrong_dice_at_most_0.8" if which == BAD else "wrong"]
            cases = row["cases"] - row["wrong"] + wrong
            rows.append([name, str(cases), str(wrong), *(_pair(row[which][rival]) for rival in RIVALS)])
    return markdown(rows[0], rows[1:])


def effort_table(stored: Stored) -> str:
    """What a user meets: false findings, found labels, names, and how far down the list 80 % lie."""
    header = [
        "labels",
        "wrong / expected",
        "right labels with a finding, of 100 (score ≥ 0.2)",
        "the same, score ≥ 0.5",
    ]
    rows = [[*header, "wrong labels with score < 0.5", "kind named right", "share to look at for 80 % (cleanlab)"]]
    for name, row in stored["conditions"].items():
        false = row["false_findings_per_100_right"]
        line = [name, f"{row['wrong']} / {row['expected']['wrong_cases']:g}"]
        line += [f"{false[f'score >= {least}']:.1f}" for least in ("0.2", "0.5")]
        if row["wrong"]:
            ranked = row["cases_ranked"]
            efforts = (ranked[rival]["effort_80"] for rival in ("audit", "cleanlab softmin"))
            line += [str(len(row["missed"])), f"{row['named']['right']} of {row['named']['of']}"]
            line.append("{:.1%} ({:.1%})".format(*efforts))
        rows.append([*line, *[""] * (7 - len(line))])
    return markdown(rows[0], rows[1:])


def voxels_table(stored: Stored) -> str:
    """The suspicion map beside one minus the probability of the label."""
    rows = [["labels", "audit", "1 − p of the label (cleanlab)"]]
    for name, row in stored["conditions"].items():
        if "voxels_ranked" in row:
            rows.append([name, *(_pair(each) for each in row["voxels_ranked"].values())])
    return markdown(rows[0], rows[1:])


def hard_table(stored: Stored) -> str:
    """Wrong labels among the right ones of the nodules on which readers agree least."""
    rows = [["labels", "wrong", "right and hard", *RIVALS.values()]]
    for name, row in stored["conditions"].items():
        if "against_hard_and_right" in row:
            ranked = row["against_hard_and_right"]
            counts = [str(row["wrong"]), str(ranked["right_and_hard"])]
            rows.append([name, *counts, *(_pair(ranked[rival]) for rival in RIVALS)])
    return markdown(rows[0], rows[1:])


def readers_table(stored: Stored) -> str:
    """How often the reader far from the other three comes first of the four."""
    row = stored["readers"]
    rows = [["", "nodules", "audit", "1 − Dice", "chance"]]
    for what, key, count in (
        ("all nodules", "far_reader_first", "nodules"),
        ("one reader clearly far", "far_reader_first_where_clear", "nodules_with_a_far_reader"),
    ):
        rows.append([what, str(row[count]), *(f"{row[key][name]:.0%}" for name in ("audit", "1 - Dice")), "25%"])
    return markdown(rows[0], rows[1:])


TABLES: Mapping[str, Callable[[Stored], str]] = {
    "cases": cases_table,
    "bad cases": lambda stored: cases_table(stored, BAD),
    "effort": effort_table,
    "voxels": voxels_table,
    "hard": hard_table,
    "readers": readers_table,
}


def _pair(quality: Mapping[str, float]) -> str:
    return f"{quality['auroc']:.3f} / {quality['average_precision']:.3f}"
