"""The audit before any training against known errors, on real data. See docs/evidence/audit.md for what came out.

    python -m benchmarks.audit_before_training --source FOLDER [--only DATASET …]

Each kind of error alone is put into one label of twenty; the other labels stay as they are. Four times, into other
labels each time. `--source` holds Dataset030_HeadNeckCT and Dataset004_Hippocampus. What a person saw in the pictures
of the findings on labels as they are stands in results/audit_judged_by_eye.csv.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.audit_study.gross_errors import GrossError, Scan, gross_errors
from benchmarks.audit_study.quality import ranking_quality
from benchmarks.machine import made_here
from benchmarks.results_file import write_results
from nnunetv2_dale.audit.audit_task import AuditTask, CaseInputs, dataset_task
from nnunetv2_dale.audit.case_volumes import read_case, read_images
from nnunetv2_dale.audit.findings import AuditedCase
from nnunetv2_dale.audit.without_network.intensities import Intensities, learned
from nnunetv2_dale.audit.without_network.judging import hints_of, rank_records
from nnunetv2_dale.audit.without_network.measuring import record_of
from nnunetv2_dale.audit.without_network.records import CaseRecord

HERE = Path(__file__).resolve().parent / "results"
RESULTS, JUDGED = HERE / "audit_before_training.json", HERE / "audit_judged_by_eye.csv"
ROUNDS, EVERY = 4, 5  # of each five labels one is made wrong, in one of four rounds: one of twenty in each
DATA = {  # the two classes that are exchanged; classes that so many lack that one more says nothing
    "Dataset030_HeadNeckCT": ((3, 4), {5}),
    "Dataset004_Hippocampus": ((1, 2), set[int]()),
}
Verdicts = Mapping[tuple[str, str, str], str]
"""(case, class, kind) → right, arguable or wrong."""


def study(dataset: str, source: Path) -> dict[str, Any]:
    """The dataset as it is, and every error alone."""
    task, pair_and_kept = dataset_task(dataset), DATA[dataset]
    known, errors = learned(task), gross_errors(*pair_and_kept)
    clean: list[CaseRecord] = []
    wrong: dict[str, dict[int, CaseRecord]] = {name: {} for name in errors}
    for number, inputs in enumerate(task.cases):
        mine = errors if number % EVERY == EVERY // 2 else {}
        record, made = records_of(task, known, inputs, mine, number)
        clean.append(record)
        for name, each in made.items():
            wrong[name][number] = each
    ranked, statements = rank_records(clean, task, known.step_mm)
    verdicts = by_eye(dataset) | by_table(source / dataset / "annotated.csv")
    as_it_is = [each.audited for each in ranked]
    mended = {case.case for case in as_it_is if "right" in judged(case, verdicts)}
    return {
        "cases": len(clean),
        "statements": [each.sentence for each in statements],
        "as_it_is": counted(as_it_is, verdicts, mended),
        "errors": {
            name: found_by(each, wrong[name], clean, task, known, mended, verdicts) for name, each in errors.items()
        },
    }


def records_of(
    task: AuditTask, known: Intensities, inputs: CaseInputs, errors: Mapping[str, GrossError], number: int
) -> tuple[CaseRecord, dict[str, CaseRecord]]:
    """(the record of a case as it is, its record with each error)."""
    volumes = read_case(inputs, task)
    images = read_images(inputs, task, volumes)
    scan = Scan(volumes.label.astype(np.int16), images, volumes.spacing_mm)
    made = {name: each.make(scan, np.random.default_rng(number)) for name, each in errors.items()}
    return (
        record_of(inputs.case, volumes, images, task, known),
        {
            name: record_of(inputs.case, replace(volumes, label=label), changed, task, known)
            for name, (label, changed) in made.items()
        },
    )


def found_by(
    error: GrossError,
    wrong: Mapping[int, CaseRecord],
    clean: Sequence[CaseRecord],
    task: AuditTask,
    known: Intensities,
    mended: Collection[str],
    verdicts: Verdicts,
) -> dict[str, Any]:
    """How well an error is found and named, over all rounds; labels with errors of their own are no right ones."""
    qualities, named, false = [], 0, []
    numbers = sorted(wrong)
    for turn in range(ROUNDS):
        mine = {number: wrong[number] for number in numbers[turn::ROUNDS]}
        records = [mine.get(number, record) for number, record in enumerate(clean)]
        chances = np.zeros(len(records))
        for hint in hints_of(records, task.classes, known.step_mm)[0]:
            if hint.kind in error.kinds:
                chances[hint.number] = max(chances[hint.number], hint.chance)
        asked = [number for number, record in enumerate(records) if number in mine or record.case not in mended]
        qualities.append(ranking_quality([number in mine for number in asked], chances[asked])["auroc"])
        ranked = [each.audited for each in rank_records(records, task, known.step_mm)[0]]
        names = {clean[number].case for number in mine}
        named += sum(any(f.kind in error.kinds for f in case.findings) for case in ranked if case.case in names)
        others = [case for case in ranked if case.case not in names and case.case not in mended]
        false.append(100 * sum(bool(case.findings) for case in others) / len(others))
    return {
        "wrong": len(numbers),
        "auroc": round(float(np.mean(qualities)), 4),
        "named": named,
        "false_per_100": round(float(np.mean(false)), 2),
    }


def counted(cases: Sequence[AuditedCase], verdicts: Verdicts, mended: Collection[str]) -> dict[str, Any]:
    """Findings on the labels as they are by verdict; wrong ones for each 100 cases without a right one."""
    findings = Counter(verdict for case in cases for verdict in judged(case, verdicts))
    clean = [case for case in cases if case.case not in mended]
    false = [case for case in clean if case.findings]
    wrong = [case for case in clean if set(judged(case, verdicts)) & {"wrong", "not judged"}]
    return {
        "cases_with_a_finding": sum(bool(case.findings) for case in cases),
        "findings": dict(findings),
        "clean_cases": len(clean),
        "wrong_per_100": round(100 * len(wrong) / len(clean), 2),
        "wrong_or_arguable_per_100": round(100 * len(false) / len(clean), 2),
        "listed": [
            {
                "case": case.case,
                "class": found.class_name,
                "kind": found.kind,
                "score": round(found.score, 2),
                "by_eye": verdict,
            }
            for case in cases
            for found, verdict in zip(case.findings, judged(case, verdicts), strict=True)
        ],
    }


def judged(case: AuditedCase, verdicts: Verdicts) -> list[str]:
    """The verdict on each finding of a case."""
    return [verdicts.get((case.case, found.class_name, found.kind), "not judged") for found in case.findings]


def by_eye(dataset: str) -> dict[tuple[str, str, str], str]:
    with JUDGED.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dataset"] == dataset]
    return {(row["case"], row["class"], row["kind"]): row["by_eye"] for row in rows}


def by_table(file: Path) -> dict[tuple[str, str, str], str]:
    """Classes that the data's own table says nobody drew: to miss them is right."""
    if not file.is_file():
        return {}
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {
        (row["case"], name, kind): "right"
        for row in rows
        for name, value in row.items()
        for kind in ("empty", "missed_object")
        if value == "0"
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="holds the raw datasets")
    parser.add_argument("--only", nargs="+", choices=list(DATA), default=list(DATA), help="datasets")
    arguments = parser.parse_args()
    source = arguments.source.resolve()
    os.environ["nnUNet_raw"] = str(source)  # noqa: SIM112 -- nnU-Net's name
    for dataset in arguments.only:
        row = study(dataset, source)
        data = json.loads(RESULTS.read_text())["data"] if RESULTS.is_file() else {}
        write_results(RESULTS, made_here() | {"data": data | {dataset: row}})


if __name__ == "__main__":
    main()
