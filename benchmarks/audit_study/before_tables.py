"""The tables of docs/evidence/audit.md on the audit before any training, from the stored results."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.table import markdown

NAMES = {"Dataset030_HeadNeckCT": "HeadNeckCT", "Dataset004_Hippocampus": "Hippocampus"}
Data = Mapping[str, Mapping[str, Any]]


def errors_table(data: Data) -> str:
    """AUROC and named labels of every error, one row each."""
    there = [dataset for dataset in NAMES if dataset in data]
    head = [f"{NAMES[each]}: {what}" for each in there for what in ("AUROC", "named", "false of 100")]
    rows = [["error", *head]]
    for name in next(iter(data.values()))["errors"]:
        line = [name]
        for dataset in there:
            row = data[dataset]["errors"][name]
            line += [f"{row['auroc']:.3f}", f"{row['named']} of {row['wrong']}", f"{row['false_per_100']:.1f}"]
        rows.append(line)
    return markdown(rows[0], rows[1:])


def clean_table(data: Data) -> str:
    """What is listed on the labels as they are."""
    rows = [["labels as they are", "cases", "findings: right", "arguable", "wrong", "wrong (with arguable) of 100"]]
    for dataset in (dataset for dataset in NAMES if dataset in data):
        found, row = data[dataset]["as_it_is"], data[dataset]
        verdicts = [str(found["findings"].get(each, 0)) for each in ("right", "arguable", "wrong")]
        rates = f"{found['wrong_per_100']:.1f} ({found['wrong_or_arguable_per_100']:.1f})"
        rows.append([NAMES[dataset], str(row["cases"]), *verdicts, rates])
    return markdown(rows[0], rows[1:])


def judged_table(data: Data, judged: Path, dataset: str, first: int) -> str:
    """The first findings on the labels as they are, one by one, with what a person saw."""
    with judged.open(newline="") as file:
        seen = {(row["case"], row["class"], row["kind"]): row["what"] for row in csv.DictReader(file)}
    rows = [["", "case", "class", "kind", "by eye", "what the image shows"]]
    for number, found in enumerate(data[dataset]["as_it_is"]["listed"][:first], start=1):
        what = seen.get((found["case"], found["class"], found["kind"]), "the data's own table: not drawn")
        rows.append([str(number), *(found[each] for each in ("case", "class", "kind", "by_eye")), what])
    return markdown(rows[0], rows[1:], text=6)


def right_of_first(data: Data, dataset: str, first: int) -> int:
    """How many of the first findings are right by eye or by the data's own table."""
    listed: Sequence[Mapping[str, str]] = data[dataset]["as_it_is"]["listed"][:first]
    return sum(each["by_eye"] == "right" for each in listed)
