"""Does an audit pay in training? Labels with errors, and what an audit makes of them by itself.

    python -m benchmarks.confidence.audit_maps --data FOLDER -o OUT [--results FILE]

FOLDER holds Dataset004_Hippocampus. Every fifth case is held out: no network sees it, and its clean label judges. Of
the others 40 or 20 % have an error of some kind, or 45 % are drawn too wide, by 2 mm or to a Dice of 0.75. Five short
trainings of plain nnU-Net are the cross-validation that is audited; nobody decides. A row is stored after each
training; the same command again makes those that are missing.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from benchmarks.audit_study.conditions import HIPPOCAMPUS, MIXED, Condition
from benchmarks.confidence.stock_trainings import (
    PLAIN,
    STUDY,
    TOLD,
    judged,
    of_arms,
    options,
    planned,
    result_folder,
    store_missing,
    train_command,
)
from benchmarks.organs.prepare import Runner, copy_cases
from benchmarks.organs.study import Data, plans_name
from benchmarks.trainings import Row, rows_of
from nnunetv2_dale.commands.command_line import run_command
from nnunetv2_dale.commands.csv_table import write_table

RESULTS = Path(__file__).resolve().parents[1] / "results" / "audit_maps.jsonl"
CLEAN = "Dataset004_Hippocampus"
ERRORS = {  # name, with the percentage of wrong labels → the command that makes them
    "dilated 2 mm": [
        *("nnUNetv2_dale_corrupt_labels", "-d", "4", "--new_id", "160"),
        *("--kind", "dilate", "--amount", "2", "--fraction", "0.45", "--seed", "1", "-np", "1"),
    ],
    "dilated 45": ["nnUNetv2_dale_corrupt_labels", "-d", "4", "--new_id", "150", *STUDY.labels["dilated"], "-np", "1"],
    "mixed 40": Condition(HIPPOCAMPUS, 140, MIXED, 0.4).recipe(),
    "mixed 20": Condition(HIPPOCAMPUS, 120, MIXED, 0.2).recipe(),
}
FIRST_ID = {"dilated 2 mm": 160, "dilated 45": 150, "mixed 40": 140, "mixed 20": 120}
FURTHER = {"": 0, "maps": 100, "excluded": 200}  # what is made of them → what is added to their id
CASE_TRUST, DALE = "nnUNetTrainerCaseTrust", "nnUNetTrainerDALE"
OF_WRONG = (("", PLAIN), ("maps", TOLD), ("excluded", PLAIN), ("", CASE_TRUST), ("maps", DALE))


def labels_of(errors: str, made: str) -> str:
    """Name of the labels: "mixed 40" as they are, or "mixed 40, maps"."""
    return f"{errors}, {made}" if made else errors


ARMS = (("clean", PLAIN), *((labels_of(errors, made), trainer) for errors in ERRORS for made, trainer in OF_WRONG))
AUDITED, FOLDS = f"{PLAIN}_5epochs", "01234"


def dataset_of(labels: str) -> str:
    """The dataset of "clean", or of what `labels_of` names."""
    errors, _, made = labels.partition(", ")
    return CLEAN if labels == "clean" else f"Dataset{FIRST_ID[errors] + FURTHER[made]}_Hippocampus"


def prepare(labels: str, source: Path, output: Path, run: Runner) -> None:
    """Make the dataset of these labels, and before it what it is made of."""
    errors, _, made = labels.partition(", ")
    raw, dataset = output / "raw", dataset_of(labels)
    if made:
        prepare(errors, source, output, run)
        audit = audited(dataset_of(errors), output, run)
    if not (raw / CLEAN).exists():
        unfinished = raw / f".{CLEAN}"
        shutil.rmtree(unfinished, ignore_errors=True)
        copy_cases(Data(CLEAN, 4), source / CLEAN, unfinished)
        hold_out(unfinished)
        unfinished.rename(raw / CLEAN)
    if not (raw / dataset).exists():
        words = ["-d", str(FIRST_ID[errors]), "--new_id", str(int(dataset[7:10]))]
        if not made:
            run(ERRORS[errors])
        elif made == "maps":
            run(["nnUNetv2_dale_audit", "apply", str(audit / "decisions.csv"), *words, "--confidence"])
        else:
            run(["nnUNetv2_dale_audit", "apply", str(all_excluded(audit)), *words])
    planned(dataset, output, run)


def hold_out(raw: Path) -> None:
    """Make every fifth case of a raw dataset its test set."""
    description = json.loads((raw / "dataset.json").read_text())
    ending = description["file_ending"]
    cases = sorted(file.name.removesuffix(ending) for file in (raw / "labelsTr").iterdir())
    for name, files in (("images", f"_0000{ending}"), ("labels", ending)):
        (raw / f"{name}Ts").mkdir()
        for case in cases[::5]:
            (raw / f"{name}Tr" / f"{case}{files}").rename(raw / f"{name}Ts" / f"{case}{files}")
    left = len(cases) - len(cases[::5])
    (raw / "dataset.json").write_text(json.dumps({**description, "numTraining": left}))


def audited(dataset: str, output: Path, run: Runner) -> Path:
    """The folder of the audit of a dataset, by networks that have not seen the case."""
    audit = output / "audits" / dataset
    if not (audit / "audit.json").exists():
        run(train_command(dataset, AUDITED, *FOLDS))
        run(["nnUNetv2_dale_audit", str(result_folder(dataset, AUDITED)), "-o", str(audit), "-np", "1"])
    return audit


def all_excluded(audit: Path) -> Path:
    """A table of decisions that excludes every case on the audit's list."""
    with (audit / "decisions.csv").open(newline="") as stream:
        lines = [{**line, "decision": "exclude"} for line in csv.DictReader(stream)]
    table = audit / "all_excluded.csv"
    write_table(table, lines[0], (line.values() for line in lines))
    return table


def train(labels: str, trainer: str, output: Path, run: Runner) -> tuple[str, Row]:
    """One training, and its predictions of the held-out cases; Dice in percent."""
    dataset = dataset_of(labels)
    run(train_command(dataset, trainer))
    found, clean = result_folder(dataset, trainer) / "fold_0" / "held_out", output / "raw" / CLEAN
    words = ["-d", str(int(dataset[7:10])), "-c", "2d", "-p", plans_name("2d"), "-f", "0", "-tr", trainer]
    words += ["-device", "cpu", "-npp", "1", "-nps", "1"]
    run(["nnUNetv2_predict", "-i", str(clean / "imagesTs"), "-o", str(found), *words])
    of_class, cases = judged(found, clean / "labelsTs", [1, 2], run)
    errors, _, made = labels.partition(", ")
    on_list = listed(errors, output) if made else {}
    return dataset, {"dice": fmean(of_class), "of_class": of_class, "cases": cases, "audited": AUDITED, **on_list}


def listed(errors: str, output: Path) -> Row:
    """How many cases the audit lists, how many of them have a wrong label, and how many have one at all."""
    dataset = dataset_of(errors)
    with (output / "audits" / dataset / "decisions.csv").open(newline="") as stream:
        on_list = {line["case"] for line in csv.DictReader(stream)}
    with (output / "raw" / dataset / "label_noise.csv").open(newline="") as stream:
        wrong = {line["case"] for line in csv.DictReader(stream) if line["kind"]}
    return {"listed": len(on_list), "wrong_listed": len(on_list & wrong), "wrong": len(wrong)}


def won_back(rows: Sequence[Row], errors: str) -> Mapping[str, float]:
    """In Dice points over all trainings: what wrong labels cost plain nnU-Net, and what each other arm wins back."""
    dice = {arm: fmean(row["dice"] for row in trainings) for arm, trainings in of_arms(rows).items()}
    clean, plain = dice.get(("clean", PLAIN)), dice.get((errors, PLAIN))
    if clean is None or plain is None:
        return {}
    others = {(made, trainer): dice.get((labels_of(errors, made), trainer)) for made, trainer in OF_WRONG[1:]}
    won = {", ".join(filter(None, arm)): found - plain for arm, found in others.items() if found is not None}
    return {"cost": clean - plain, **won}


def run(arguments: argparse.Namespace) -> int:
    store_missing(arguments, ARMS, prepare, train, {labels: arguments.length for labels, _ in ARMS})
    stored = [row for row in rows_of(arguments.results) if row["length"] == arguments.length]
    print(json.dumps({errors: won_back(stored, errors) for errors in ERRORS}))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(options("audit_maps", __doc__, RESULTS, "_10epochs"), run, argv)


if __name__ == "__main__":
    sys.exit(main())
