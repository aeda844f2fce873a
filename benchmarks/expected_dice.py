"""Is the Dice that `nnUNetv2_dale_pseudo_labels` expects the Dice that comes? On held-out labelled cases, by its table.

    python -m benchmarks.expected_dice --add NAME FOLDER     stores FOLDER/calibration.csv of the command under a name
    python -m benchmarks.expected_dice --figure              docs/evidence/expected_dice.png
    python -m benchmarks.expected_dice                       the table of what is stored

What a case is expected to reach comes from the other folds' cases; of one fold, from its other cases.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import made_here
from benchmarks.table import markdown
from benchmarks.trainings import add_row, rows_of
from nnunetv2_dale.commands.command_line import UserError, run_command
from nnunetv2_dale.pages.html_page import OKABE_ITO

RESULTS = Path(__file__).resolve().parent / "results" / "expected_dice.jsonl"
FIGURE = Path(__file__).resolve().parent.parent / "docs" / "evidence" / "expected_dice.png"
KEPT = 0.8  # the command's default of --keep_from


def row_of(name: str, folder: Path) -> dict[str, Any]:
    """[case, fold, label, expected Dice, Dice] of the labelled cases, as the command wrote them."""
    table = folder / "calibration.csv"
    if not table.is_file():
        raise UserError(f"expected {table}, which nnUNetv2_dale_pseudo_labels writes, found no such file; give its -o")
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    numbers = [[float(each[column]) for column in ("expected_dice", "dice")] for each in rows]
    return {
        "data": name,
        "held_out": [
            [row["case"], row["fold"], int(row["label"]), *both] for row, both in zip(rows, numbers, strict=True)
        ],
    }


def in_numbers(pairs: Sequence[tuple[float, float]]) -> tuple[list[str], list[str]]:
    """Of pairs of expected Dice and Dice: both means and the mean absolute error; Dice of what is kept, of the rest."""
    means = [statistics.mean(column) for column in zip(*pairs, strict=True)]
    error = statistics.mean(abs(expected - reached) for expected, reached in pairs)
    parts = [[reached for expected, reached in pairs if (expected >= KEPT) is kept] for kept in (True, False)]
    shown = [f"{statistics.mean(part):.3f} ({len(part)})" if part else "-" for part in parts]
    return [f"{value:.3f}" for value in (*means, error)], shown


def results_table(rows: Sequence[dict[str, Any]]) -> str:
    """How far the expected Dice is from the Dice, over cases and classes, beside guessing each class's median."""
    header = ["data", "classes of cases", "expected", "Dice", "mean absolute error", "of one guess per class"]
    header += [f"Dice where at least {KEPT} is expected", "Dice of the rest"]
    lines = []
    for row in rows:
        pairs = [(expected, reached) for _, _, _, expected, reached in row["held_out"]]
        numbers, parts = in_numbers(pairs)
        of_class = {label: [each[4] for each in row["held_out"] if each[2] == label] for label in labels_of(row)}
        guesses = [abs(each - statistics.median(own)) for own in of_class.values() for each in own]
        lines.append([row["data"], str(len(pairs)), *numbers, f"{statistics.mean(guesses):.3f}", *parts])
    return markdown(header, lines)


def labels_of(row: dict[str, Any]) -> list[int]:
    """The label values of a row."""
    return sorted({each[2] for each in row["held_out"]})


def draw(rows: Sequence[dict[str, Any]], target: Path) -> None:
    """A panel for each data, a dot per case and class; on the diagonal, what was expected came."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(rows), 4), layout="constrained")
    for axes, row in zip(figure.subplots(1, len(rows), squeeze=False)[0], rows, strict=True):
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
        for number, label in enumerate(labels_of(row)):
            points = [each[3:] for each in row["held_out"] if each[2] == label]
            axes.plot(*zip(*points, strict=True), "o", color=OKABE_ITO[number], markersize=4, label=f"label {label}")
        axes.set(title=row["data"], xlabel="expected Dice", ylabel="Dice", xlim=(0, 1.02), ylim=(0, 1.02))
        axes.legend(fontsize="small")
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=100)


def run(arguments: argparse.Namespace) -> None:
    if arguments.add:
        add_row(RESULTS, {**row_of(arguments.add[0], Path(arguments.add[1])), **made_here()})
    if arguments.figure:
        draw(rows_of(RESULTS), FIGURE)
    print(results_table(rows_of(RESULTS)))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--add", nargs=2, metavar=("NAME", "FOLDER"), help="store what the command wrote with -o")
    parser.add_argument("--figure", action="store_true", help="draw what is stored")
    return run_command(parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
