"""Organs that nobody drew in a part of the cases: what they cost, and what `confidence.csv` wins back.

    python -m benchmarks.confidence.partial_annotation --data FOLDER -o OUT [--results FILE]

FOLDER holds Dataset030_HeadNeckCT. Three sets of labels: `as_found` (all 120 cases; the mandible was drawn in 83),
`whole` (the 73 cases in which every organ was drawn), and `wiped` (these, each organ wiped in a random half of the
cases that fold 0 trains on). All are validated on complete labels, or where they are complete. A row is stored after
each training; the same command again makes those that are missing.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import SimpleITK
from nnunetv2.utilities.crossval_split import generate_crossval_split

from benchmarks.confidence.stock_trainings import (
    PLAIN,
    PLANS,
    TOLD,
    Runner,
    options,
    planned,
    result_folder,
    store_missing,
    train_command,
)
from benchmarks.organs.prepare import copy_cases
from benchmarks.organs.study import Data
from benchmarks.trainings import Row, rows_of
from nnunetv2_dale.commands.command_line import run_command
from nnunetv2_dale.nnunet_files.confidence_table import (
    TABLE,
    ConfidenceTable,
    read_confidence_table,
    write_confidence_table,
)
from nnunetv2_dale.nnunet_files.results.result_folder import read_result_folder

RESULTS = Path(__file__).resolve().parents[1] / "results" / "partial_annotation.jsonl"
SOURCE = "Dataset030_HeadNeckCT"
SETS = {"whole": "Dataset230_HeadNeckWhole", "wiped": "Dataset330_HeadNeckWiped", "as_found": "Dataset430_HeadNeckCT"}
WHOLE_SLICES = {
    **PLANS,
    "patch_size": [128, 112],
    "batch_size": 2,
}  # crops make the validation of CT take most of the time
ARMS = (("wiped", PLAIN), ("wiped", TOLD), ("whole", PLAIN), ("as_found", PLAIN), ("as_found", TOLD))


def wiped_classes(cases: Sequence[str], classes: Sequence[str], seed: int) -> dict[str, tuple[str, ...]]:
    """Case → classes to wipe: each in half of the cases; a case that would lose all keeps one of them."""
    drawing = random.Random(seed)
    halves = {name: set(drawing.sample(sorted(cases), len(cases) // 2)) for name in classes}
    wiped = {case: [name for name in classes if case in halves[name]] for case in cases}
    for names in wiped.values():
        if len(names) == len(classes):
            names.pop(drawing.randrange(len(names)))
    return {case: tuple(names) for case, names in wiped.items()}


def prepare(labels: str, source: Path, output: Path, run: Runner) -> None:
    """Make the raw dataset of one set of labels, its plans and its preprocessed confidence."""
    dataset = SETS[labels]
    raw = output / "raw" / dataset
    if not raw.exists():
        unfinished = raw.with_name(f".{dataset}")
        shutil.rmtree(unfinished, ignore_errors=True)
        complete = "" if labels == "as_found" else "annotated.csv"
        copy_cases(Data(SOURCE, int(dataset[7:10]), complete=complete), source / SOURCE, unfinished)
        if labels == "wiped":
            wipe(unfinished)
        elif labels == "as_found":
            shutil.copy(source / SOURCE / "annotated.csv", unfinished / TABLE)
        unfinished.rename(raw)
    planned(dataset, output, run, WHOLE_SLICES)


def wipe(raw: Path, seed: int = 1) -> None:
    """Make organs background in the cases of a raw dataset that fold 0 will train on, and say so in its table."""
    description = json.loads((raw / "dataset.json").read_text())
    values: Mapping[str, int] = {name: value for name, value in description["labels"].items() if value}
    cases = sorted(file.name.removesuffix(".nii.gz") for file in (raw / "labelsTr").iterdir())
    training: list[str] = generate_crossval_split(cases)[0]["train"]
    wiped = wiped_classes(training, list(values), seed)
    for case, names in wiped.items():
        file = str(raw / "labelsTr" / f"{case}.nii.gz")
        changes = {values[name]: 0 for name in names}
        SimpleITK.WriteImage(SimpleITK.ChangeLabel(SimpleITK.ReadImage(file), changes), file, useCompression=True)
    write_confidence_table(raw / TABLE, ConfidenceTable(tuple(values), {}, wiped))


def train(labels: str, trainer: str, output: Path, run: Runner) -> tuple[str, Row]:
    """One training and its validation; the Dice of each class in percent, over the cases in which it was drawn."""
    dataset = SETS[labels]
    run(train_command(dataset, trainer))
    result = read_result_folder(result_folder(dataset, trainer, output))
    names = {str(value): name for name, value in result.dataset_json["labels"].items() if value}
    of_class = {
        name: [100 * one.dice for case in result.cases.values() if (one := case.classes[key]).dice is not None]
        for key, name in names.items()
    }
    table = read_confidence_table(output / "raw" / dataset, result.dataset_json["labels"])
    return dataset, {
        "dice": {name: fmean(values) for name, values in of_class.items()},
        "judged": {name: len(values) for name, values in of_class.items()},
        "not_annotated": {name: sum(name in each for each in table.open_classes.values()) for name in names.values()},
        "fold": 0,
        "plans": dict(WHOLE_SLICES),
    }


def shares(rows: Sequence[Row]) -> dict[str, float]:
    """What wiping costs and the table wins back, in Dice points over all organs; and of the mandible as found."""
    dice: dict[tuple[str, str], Any] = {(row["labels"], row["trainer"]): row["dice"] for row in rows}
    mean = {arm: fmean(values.values()) for arm, values in dice.items()}
    found: dict[str, float] = {}
    if {("whole", PLAIN), ("wiped", PLAIN), ("wiped", TOLD)} <= set(mean):
        found["cost"] = mean["whole", PLAIN] - mean["wiped", PLAIN]
        found["won_back"] = mean["wiped", TOLD] - mean["wiped", PLAIN]
    if {("as_found", PLAIN), ("as_found", TOLD)} <= set(mean):
        found["mandible"] = dice["as_found", TOLD]["Mandible"] - dice["as_found", PLAIN]["Mandible"]
    return found


def run(arguments: argparse.Namespace) -> int:
    store_missing(arguments, ARMS, prepare, train)
    print(json.dumps(shares([row for row in rows_of(arguments.results) if row["length"] == arguments.length])))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(options("partial_annotation", __doc__, RESULTS), run, argv)


if __name__ == "__main__":
    sys.exit(main())
