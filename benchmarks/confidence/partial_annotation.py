"""Organs that nobody drew in a part of the cases: what they cost, and what `confidence.csv` wins back.

    python -m benchmarks.confidence.partial_annotation --data FOLDER -o OUT [--results FILE]

FOLDER holds Dataset027_ACDC and Dataset030_HeadNeckCT. Four sets of labels: `whole` and `wiped` are hearts, the latter
with each class wiped in a random half of the cases that fold 0 trains on; `complete` are those in which none was wiped:
the others have weight 0. `as_found` are heads and necks, all 120 cases; the mandible was drawn in 83 (of these organs a
network that a CPU trains in minutes learns the mandible alone, so it is trained for twice as long and nothing else is
wiped). All are validated on complete labels, or where they are
complete. A row is stored after each training; the same command again makes those that are missing.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import SimpleITK

from benchmarks.confidence.stock_trainings import (
    PLAIN,
    STUDY,
    TOLD,
    of_arms,
    options,
    planned,
    result_folder,
    store_missing,
    train_command,
)
from benchmarks.organs.prepare import Runner, copy_cases
from benchmarks.organs.study import replaced_plans
from benchmarks.trainings import Row, rows_of
from nnunetv2_dale.commands.command_line import run_command
from nnunetv2_dale.nnunet_files.confidence_table import (
    TABLE,
    ConfidenceTable,
    read_confidence_table,
    write_confidence_table,
)
from nnunetv2_dale.nnunet_files.results.result_folder import read_result_folder
from nnunetv2_dale.nnunet_files.splits import read_splits

RESULTS = Path(__file__).resolve().parents[1] / "results" / "partial_annotation.jsonl"
SETS = {  # labels → data, dataset, end of the trainers' names
    "whole": ("ACDC", "Dataset227_ACDC", "_10epochs"),
    "wiped": ("ACDC", "Dataset327_ACDC", "_10epochs"),
    "complete": ("ACDC", "Dataset527_ACDC", "_10epochs"),
    "as_found": ("HeadNeckCT", "Dataset430_HeadNeckCT", "_20epochs"),
}
ARMS = (
    *(("wiped", PLAIN), ("wiped", TOLD), ("complete", TOLD), ("whole", PLAIN)),
    *(("as_found", PLAIN), ("as_found", TOLD)),
)


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
    name, dataset, _ = SETS[labels]
    raw, preprocessed = output / "raw" / dataset, output / "preprocessed" / dataset
    data = replace(STUDY.data[name], complete="")
    if not raw.exists():
        copy_cases(data, source / data.folder, raw)
    if data.patients and not (preprocessed / "splits_final.json").exists():
        preprocessed.mkdir(parents=True, exist_ok=True)
        words = ["-d", str(int(dataset[7:10])), "--patients", str(raw / "patients.csv")]
        run(["nnUNetv2_dale_convert", "splits", *words])
    if not (raw / TABLE).exists():
        if labels in ("wiped", "complete"):
            wipe(raw, read_splits(preprocessed / "splits_final.json")[0]["train"], labels == "complete")
        elif labels == "as_found":
            shutil.copy(source / data.folder / "annotated.csv", raw / TABLE)
    planned(dataset, output, run, replaced_plans(STUDY, name, "2d"))


def wipe(raw: Path, training: Sequence[str], leave_out: bool = False) -> None:
    """Make organs background in the cases of a raw dataset that are trained on, and say so in its table.

    Args:
        leave_out: of these cases too, by weight 0.
    """
    description = json.loads((raw / "dataset.json").read_text())
    values: Mapping[str, int] = {name: value for name, value in description["labels"].items() if value}
    wiped = wiped_classes(training, list(values), seed=1)
    for case, names in wiped.items():
        file = str(raw / "labelsTr" / f"{case}{description['file_ending']}")
        changes = {values[name]: 0 for name in names}
        SimpleITK.WriteImage(SimpleITK.ChangeLabel(SimpleITK.ReadImage(file), changes), file, useCompression=True)
    weights = {case: 0.0 for case, names in wiped.items() if names and leave_out}
    write_confidence_table(raw / TABLE, ConfidenceTable(tuple(values), weights, wiped))


def train(labels: str, trainer: str, output: Path, run: Runner) -> tuple[str, Row]:
    """One training and its validation; the Dice of each class in percent, over the cases in which it was drawn."""
    data, dataset, _ = SETS[labels]
    run(train_command(dataset, trainer))
    result = read_result_folder(result_folder(dataset, trainer))
    names = {str(value): name for name, value in result.dataset_json["labels"].items() if value}
    of_class = {
        name: [100 * one.dice for case in result.cases.values() if (one := case.classes[key]).dice is not None]
        for key, name in names.items()
    }
    table = read_confidence_table(output / "raw" / dataset, result.dataset_json["labels"])
    return dataset, {
        "data": data,
        "dice": {name: fmean(values) for name, values in of_class.items()},
        "judged": {name: len(values) for name, values in of_class.items()},
        "not_annotated": {name: sum(name in each for each in table.open_classes.values()) for name in names.values()},
        "fold": 0,
        "plans": replaced_plans(STUDY, data, "2d"),
    }


def mean_dice(trainings: Sequence[Row]) -> dict[str, float]:
    """The Dice of each class in the mean over the trainings of an arm."""
    return {name: fmean(row["dice"][name] for row in trainings) for name in trainings[0]["dice"]}


def shares(rows: Sequence[Row]) -> dict[str, float]:
    """What wiping costs and the table wins back, in Dice points over all organs; and of the mandible as found."""
    dice = {arm: mean_dice(trainings) for arm, trainings in of_arms(rows).items()}
    mean = {arm: fmean(values.values()) for arm, values in dice.items()}
    found: dict[str, float] = {}
    if {("whole", PLAIN), ("wiped", PLAIN), ("wiped", TOLD)} <= set(mean):
        found["cost"] = mean["whole", PLAIN] - mean["wiped", PLAIN]
        found["won_back"] = mean["wiped", TOLD] - mean["wiped", PLAIN]
    if {("as_found", PLAIN), ("as_found", TOLD)} <= set(mean):
        found["mandible"] = dice["as_found", TOLD]["Mandible"] - dice["as_found", PLAIN]["Mandible"]
    return found


def run(arguments: argparse.Namespace) -> int:
    store_missing(arguments, ARMS, prepare, train, {labels: length for labels, (_, _, length) in SETS.items()})
    print(json.dumps(shares(rows_of(arguments.results))))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(options("partial_annotation", __doc__, RESULTS), run, argv)


if __name__ == "__main__":
    sys.exit(main())
