"""Does an audit pay in training? Labels with errors, and what an audit makes of them by itself.

    python -m benchmarks.confidence.audit_maps --data FOLDER -o OUT [--results FILE]

FOLDER holds Dataset004_Hippocampus and Dataset027_ACDC (hearts). Every fifth patient is held out: no network sees it,
and its clean labels judge. Of the other cases some have an error. Five short trainings of plain nnU-Net are the
cross-validation that is audited; nobody decides. A row is stored after each training; the same command again makes
those that are missing.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from benchmarks.audit_study.conditions import AMOUNTS, MIXED
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
from benchmarks.organs.study import plans_name
from benchmarks.trainings import Row, rows_of
from nnunetv2_dale.commands.command_line import run_command
from nnunetv2_dale.commands.csv_table import write_table
from nnunetv2_dale.nnunet_files.json_files import read_json

RESULTS = Path(__file__).resolve().parents[1] / "results" / "audit_maps.jsonl"


@dataclass(frozen=True)
class Labels:
    """Training labels, clean or with errors."""

    data: str  # name in the study of organs
    id: int  # of the dataset
    noise: Sequence[str] = ()  # words of `nnUNetv2_dale_corrupt_labels`; none for clean ones

    @property
    def clean(self) -> str:
        """The dataset with the clean labels."""
        return f"Dataset{STUDY.data[self.data].id:03d}_{self.data}"


def _noise(kinds: Sequence[str], percentage: int, seed: int, *size: str) -> list[str]:
    """Words for these kinds of errors, of a size, in a percentage of the cases."""
    return ["--kind", *kinds, *size, "--fraction", f"{percentage / 100:g}", "--seed", str(seed)]


_AMOUNTS = [f"{AMOUNTS[kind]:g}" for kind in MIXED]
# What each kind alone needs for a mean foreground Dice of 0.60 on ACDC, in the order of MIXED; of swapped components as
# many as of missing ones.
_OF_HEARTS = ["93", "15", "9.2", "23", "77", "0.4", "0.4"]
LABELS = {  # name, with the percentage of wrong labels
    "clean": Labels("Hippocampus", 4),
    "dilated 2 mm": Labels("Hippocampus", 160, _noise(["dilate"], 45, 1, "--amount", "2")),
    "dilated 45": Labels("Hippocampus", 150, STUDY.labels["dilated"]),
    "mixed 40": Labels("Hippocampus", 140, _noise(MIXED, 40, 140, "--amount", *_AMOUNTS)),
    "mixed 20": Labels("Hippocampus", 120, _noise(MIXED, 20, 120, "--amount", *_AMOUNTS)),
    "hearts clean": Labels("ACDC", 27),
    "hearts mixed 40": Labels("ACDC", 170, _noise(MIXED, 40, 1, "--amount", *_OF_HEARTS)),
    "hearts dilated 45": Labels("ACDC", 180, _noise(["dilate"], 45, 1, "--dice", "0.6")),
}
CLEAN = {each.data: name for name, each in LABELS.items() if not each.noise}
ERRORS = [name for name, each in LABELS.items() if each.noise]
FURTHER = {"": 0, "maps": 100, "excluded": 200}  # what is made of them → what is added to their id
CASE_TRUST, DALE = "nnUNetTrainerCaseTrust", "nnUNetTrainerDALE"
OF_WRONG = (("", PLAIN), ("maps", TOLD), ("excluded", PLAIN), ("", CASE_TRUST), ("maps", DALE))


def labels_of(errors: str, made: str) -> str:
    """Name of the labels: "mixed 40" as they are, or "mixed 40, maps"."""
    return f"{errors}, {made}" if made else errors


ARMS = tuple(
    arm
    for name, each in LABELS.items()
    for arm in ([(labels_of(name, made), trainer) for made, trainer in OF_WRONG] if each.noise else [(name, PLAIN)])
)
AUDITED, FOLDS = f"{PLAIN}_5epochs", "01234"


def dataset_of(labels: str) -> str:
    """The dataset of what `labels_of` names."""
    name, _, made = labels.partition(", ")
    return f"Dataset{LABELS[name].id + FURTHER[made]:03d}_{LABELS[name].data}"


def prepare(labels: str, source: Path, output: Path, run: Runner) -> None:
    """Make the dataset of these labels, and before it what it is made of."""
    name, _, made = labels.partition(", ")
    raw, dataset, of = output / "raw", dataset_of(labels), LABELS[name]
    if made:
        prepare(name, source, output, run)
        audit = audited(dataset_of(name), output, run)
    if not (raw / of.clean).exists():
        data, unfinished = STUDY.data[of.data], raw / f".{of.clean}"
        shutil.rmtree(unfinished, ignore_errors=True)
        copy_cases(replace(data, patients=""), source / data.folder, unfinished)
        hold_out(unfinished, data.patients)
        unfinished.rename(raw / of.clean)
        if data.patients:
            table = str(raw / of.clean / "patients.csv")
            run(["nnUNetv2_dale_convert", "splits", "-d", str(data.id), "--patients", table])
    if not (raw / dataset).exists():
        words = ["-d", str(of.id), "--new_id", str(int(dataset[7:10]))]
        if not made:
            clean = ["-d", str(STUDY.data[of.data].id), "--new_id", str(of.id)]
            run(["nnUNetv2_dale_corrupt_labels", *clean, *of.noise, "-np", "1"])
        elif made == "maps":
            run(["nnUNetv2_dale_audit", "apply", str(audit / "decisions.csv"), *words, "--confidence"])
        else:
            run(["nnUNetv2_dale_audit", "apply", str(all_excluded(audit)), *words])
    planned(dataset, output, run)


def hold_out(raw: Path, patients: str) -> None:
    """Make every fifth patient of a raw dataset its test set.

    Args:
        patients: see `Data`; where it is given, a table of the patients that are left is written.
    """
    description = json.loads((raw / "dataset.json").read_text())
    ending = description["file_ending"]
    cases = sorted(file.name.removesuffix(ending) for file in (raw / "labelsTr").iterdir())
    patient_of = {case: re.findall(patients, case)[0] if patients else case for case in cases}
    held_out = set(sorted(set(patient_of.values()))[::5])
    left = {case: patient for case, patient in patient_of.items() if patient not in held_out}
    for name, files in (("images", f"_0000{ending}"), ("labels", ending)):
        (raw / f"{name}Ts").mkdir()
        for case in patient_of.keys() - left.keys():
            (raw / f"{name}Tr" / f"{case}{files}").rename(raw / f"{name}Ts" / f"{case}{files}")
    (raw / "dataset.json").write_text(json.dumps({**description, "numTraining": len(left)}))
    if patients:
        write_table(raw / "patients.csv", ("case", "patient"), left.items())


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
    name, _, made = labels.partition(", ")
    found, clean = result_folder(dataset, trainer) / "fold_0" / "held_out", output / "raw" / LABELS[name].clean
    words = ["-d", str(int(dataset[7:10])), "-c", "2d", "-p", plans_name("2d"), "-f", "0", "-tr", trainer]
    words += ["-device", "cpu", "-npp", "1", "-nps", "1"]
    run(["nnUNetv2_predict", "-i", str(clean / "imagesTs"), "-o", str(found), *words])
    classes = [value for value in read_json(clean / "dataset.json")["labels"].values() if value]
    of_class, cases = judged(found, clean / "labelsTs", classes, run)
    on_list = listed(name, output) if made else {}
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
    clean, plain = dice.get((CLEAN[LABELS[errors].data], PLAIN)), dice.get((errors, PLAIN))
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
