"""Writes tables into docs/: all of the accuracy study as evidence_tables.md, and the short ones of `PAGES`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import other_methods, semi_supervised
from benchmarks.accuracy.study_chance import all_seeds_tables, seeds_table
from benchmarks.accuracy.study_tables import Result, all_tables, comparison, confidence, range_of_trainings, read
from benchmarks.trainings import rows_of

INTRODUCTION = """# Evidence: every table of the accuracy study

[evidence.md](evidence.md) says what was asked, how it was measured and what came out. Here is everything that was
measured. The page is written from `benchmarks/results/accuracy/` by `python -m benchmarks.accuracy.study tables`.

- **labels**: what the training cases were labelled with. The held-out cases are always judged on clean labels.
- **arm**: the trainer, or the printed method with one part changed. CaseTrust is `nnUNetTrainerCaseTrust`.
- **cost**: processor time of an iteration; plain nnU-Net is 1. An arm gets fewer **batches** the more it costs.
- **difference**: Dice points, arm minus plain nnU-Net, over the cases of the folds and seeds that both have. The
  interval resamples cases, not trainings.
- **AUROC**: how well a score finds the changed voxels near a contour. 0.5 is chance. The four numbers are at a quarter,
  half, three quarters and the end of the training.

Settings that are no longer in the code have no row here. Their results stay in the JSON.
"""
PAGES = ("evidence.md", "case_trust_evidence.md")
SHORT = ("labels", "arm", "batches", "folds × seeds", "Dice", "difference (95 % interval)", "HD95")


def _noise(folder: Path) -> str:
    return columns(comparison(_longest(read(folder, "confirm"))), SHORT)


def _elsewhere(folder: Path) -> str:
    tables = {
        "four times as long": _longest(read(folder, "converged")),
        "3d_fullres": _longest(read(folder, "volumes")),
        "LIDC": _longest(read(folder, "readers")),
    }
    return stacked("training", {name: columns(comparison(results), SHORT) for name, results in tables.items()})


def _dale(folder: Path) -> str:
    return columns(comparison(read(folder, "dale")), SHORT)


def _dale_elsewhere(folder: Path) -> str:
    tables = {"3d_fullres": read(folder, "dale_volumes"), "LIDC": read(folder, "dale_readers")}
    return stacked("training", {name: columns(comparison(results), SHORT) for name, results in tables.items()})


def _collapse(folder: Path) -> str:
    return range_of_trainings(read(folder, "dale_collapse"))


def _dale_parts(folder: Path) -> str:
    """Beside plain nnU-Net and DALE of the same fold and seed, which the table "dale" has."""
    compared = [
        each
        for each in read(folder, "dale")
        if each["run"]["arm"] in ("plain", "DALE", "CaseTrust")
        and (each["run"]["labels"], each["run"]["fold"], each["run"]["seed"]) == ("dilated", 2, 0)
    ]
    table = comparison([*compared, *read(folder, "dale_parts")])
    return columns(table, ("arm", "batches", "Dice", "difference (95 % interval)"))


def _dale_finding(folder: Path) -> str:
    results = [each for each in read(folder, "dale") if each["run"]["arm"] == "DALE"]
    return columns(confidence(results), ("labels", "arm", "score", "AUROC over time"))


def _few_labels(folder: Path) -> str:
    return semi_supervised.table(folder.parent / semi_supervised.RESULTS.name)


def _other_methods(folder: Path) -> str:
    rows = rows_of(folder.parent / other_methods.RESULTS.name)
    lengths = sorted({other_methods.Run(**row["run"]).iterations for row in rows})
    tables = {str(length): other_methods.results_table(rows, length) for length in lengths}
    return stacked("iterations", {name: columns(table, other_methods.COLUMNS) for name, table in tables.items()})


BLOCKS: dict[str, Callable[[Path], str]] = {
    "noise": _noise,
    "chance": lambda folder: seeds_table(folder, "seeds"),
    "elsewhere": _elsewhere,
    "dale": _dale,
    "dale_elsewhere": _dale_elsewhere,
    "collapse": _collapse,
    "dale_parts": _dale_parts,
    "dale_finding": _dale_finding,
    "other_methods": _other_methods,
    "few_labels": _few_labels,
}
"""The short tables, by the name in their marks: `<!-- table: noise -->` … `<!-- end -->`."""


def tables_page(folder: Path) -> str:
    """The whole of docs/evidence_tables.md."""
    return "\n\n".join(filter(None, [INTRODUCTION.strip(), all_seeds_tables(folder), all_tables(folder)]))


def write_pages(folder: Path, docs: Path) -> None:
    """Write evidence_tables.md and the short tables of `PAGES` into `docs`."""
    (docs / "evidence_tables.md").write_text(tables_page(folder), encoding="utf-8")
    for page in (docs / name for name in PAGES):
        page.write_text(filled(page.read_text(encoding="utf-8"), folder), encoding="utf-8")


def filled(page: str, folder: Path) -> str:
    """The page with the table of every mark as the results give it today.

    Raises:
        KeyError: a mark names a table that is not in `BLOCKS`.
    """

    def table(mark: re.Match[str]) -> str:
        return f"<!-- table: {mark[1]} -->\n\n{BLOCKS[mark[1]](folder)}\n\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->.*?<!-- end -->", table, page, flags=re.DOTALL)


def columns(table: str, titles: Sequence[str]) -> str:
    """A Markdown table with these columns alone."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    places = [rows[0].index(title) for title in titles]
    return "\n".join("| " + " | ".join(row[place] for place in places) + " |" for row in rows)


def stacked(title: str, tables: Mapping[str, str]) -> str:
    """Markdown tables of the same columns as one, with the name of each in a first column."""
    head, rule = next(iter(tables.values())).splitlines()[:2]
    assert all(table.splitlines()[0] == head for table in tables.values())
    lines = [f"| {title} {head}", f"| --- {rule}"]
    return "\n".join(lines + [f"| {name} {row}" for name, table in tables.items() for row in table.splitlines()[2:]])


def _longest(results: Sequence[Result]) -> list[Result]:
    """The trainings of the largest number of batches, of which a table may have shorter ones for comparison."""
    most = max((each["run"]["budget"] for each in results), default=0)
    return [each for each in results if each["run"]["budget"] == most]
