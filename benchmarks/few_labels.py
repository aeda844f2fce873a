"""Few labels: ACDC in 2D with 3 or 7 of 40 training patients labelled, judged on 16 other patients.

    python -m benchmarks.few_labels --workspace W --source FOLDER     data, then every training that is not stored
    python -m benchmarks.few_labels                                   the tables of what is stored

FOLDER holds Dataset027_ACDC. Patients are taken in the order of their numbers: the first 3 or 7 keep their labels, the
last 16 are predicted by the last weights of each training, and choose nothing. Data, plans, trainings, predictions and
pseudo-labels are made by the commands that a user gives, on one thread, with smaller networks in the plans. Every
training adds a line to results/few_labels.jsonl. The same command again goes on. An epoch has fewer iterations than
nnU-Net's 250, so that a study ends on a processor; the learning rate falls as in a full training.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.expected_dice import in_numbers
from benchmarks.plans_file import PLANNED, architecture, plan_command
from benchmarks.svl_drl_training import cost_beside, shorter, train_seeded
from benchmarks.table import markdown
from benchmarks.trainings import add_missing, rows_of, use_workspace
from nnunetv2_dale.commands.command_line import UserError, run_command
from nnunetv2_dale.masks.overlap import dice
from nnunetv2_dale.nnunet_files.json_files import read_json, write_json

RESULTS = Path(__file__).resolve().parent / "results" / "few_labels.jsonl"
SOURCE = "Dataset027_ACDC"
TRAINING, TEST, TEACHERS, CLASSES = 40, 16, 3, (1, 2, 3)
IGNORE = 4
LAST = TEACHERS  # the fold that trains on every case; those before it leave patients out, for the judges
EPOCHS = 5  # as in the trainer's name
PATCH, BATCH, FEATURES = [64, 64], 6, [8, 16, 32, 64]  # minutes on a processor
SMALL = {"query_count": 16, "query_channels": 32, "attention_heads": 4, "feed_forward_channels": 128}
NO_AGREEMENT = {f"agreement_{quarter}": 0.0 for quarter in ("first", "second", "third", "last")}
DKNET, PLAIN = "nnUNetTrainerDKNet", "nnUNetTrainer"
# arm → trainer, settings of DKNet, and what the cases without labels are given
ARMS: dict[str, tuple[str, dict[str, Any], str]] = {
    "labels alone": (PLAIN, {}, "nothing"),
    "all labels": (PLAIN, {}, "labels"),
    "pseudo-labels, gated": (PLAIN, {}, "gated"),
    "pseudo-labels": (PLAIN, {}, "pseudo"),
    "DKNet": (DKNET, {}, "ignore"),
    "DKNet, no agreement": (DKNET, NO_AGREEMENT, "ignore"),
}
GIVEN = ("nothing", "ignore", "gated", "pseudo", "labels")
GATE = ["--rest", "ignore"]  # of the command


@dataclass(frozen=True)
class Run:
    """One training."""

    arm: str
    labelled: int  # patients
    seed: int
    iterations: int

    @property
    def name(self) -> str:
        """For files and folders."""
        return f"{self.arm}_{self.labelled}_{self.seed}_{self.iterations}".replace(" ", "_").replace(",", "")

    @property
    def dataset(self) -> str:
        """The pseudo-labels of every seed are of its own teachers."""
        given = ARMS[self.arm][2]
        own = self.seed if given in ("gated", "pseudo") else 0
        return f"Dataset{800 + 50 * own + 10 * GIVEN.index(given) + self.labelled % 10:03d}_ACDC{self.labelled}"


def patients_of(source: Path) -> list[list[str]]:
    """The cases of every patient, patients in the order of their numbers."""
    cases = sorted(path.name.removesuffix(".nii.gz") for path in (source / SOURCE / "labelsTr").glob("*.nii.gz"))
    names = sorted({case.partition("_")[0] for case in cases})
    return [[case for case in cases if case.startswith(f"{name}_")] for name in names]


def folds_of(labelled: Sequence[Sequence[str]], others: Sequence[str], often: int = 1) -> list[dict[str, list[str]]]:
    """Folds by patient for the judges, then one that trains on every case and validates on two of them.

    Args:
        often: how many times that one names each labelled case.
    """
    training = [case for cases in labelled for case in cases]
    folds = []
    for fold in range(TEACHERS):
        held_out = [case for cases in labelled[fold::TEACHERS] for case in cases]
        folds.append({"train": [case for case in training if case not in held_out] + [*others], "val": held_out})
    return [*folds, {"train": [*training * often, *others], "val": training[:2]}]


def prepare(run: Run, workspace: Path, source: Path) -> None:
    """Make the dataset of an arm with its plans and preprocessed cases; what is there already stays."""
    from nnunetv2.experiment_planning.plan_and_preprocess_entrypoints import plan_and_preprocess_entry

    given = ARMS[run.arm][2]
    patients = patients_of(source)[:TRAINING]
    labelled = patients if given == "labels" else patients[: run.labelled]
    others = [case for cases in patients[len(labelled) :] for case in cases]
    raw, made = (workspace / place / run.dataset for place in ("raw", "preprocessed"))
    if not raw.exists():
        if given in ("gated", "pseudo"):
            make_pseudo_labels(run, workspace, source, others)
        else:
            copy_cases(
                source / SOURCE, raw, [case for cases in labelled for case in cases], others * (given == "ignore")
            )
    if not (made / "done").exists():
        with mock.patch.dict(os.environ, {"nnUNet_n_proc_DA": "1"}):  # planning needs one
            call(plan_and_preprocess_entry, *plan_command(int(run.dataset[7:10]), "2d"))
        (made / "done").touch()
    others = [case for case in others if given not in ("nothing", "labels") and _is_in(case, raw)]
    # as the command names labelled cases; DKNet itself draws both kinds equally
    often = max(1, round(len(others) / sum(map(len, labelled)))) if given in ("gated", "pseudo") else 1
    write_json(made / "splits_final.json", folds_of(labelled, others, often))


def _is_in(case: str, raw: Path) -> bool:
    return (raw / "labelsTr" / f"{case}.nii.gz").is_file()  # the command leaves out cases of which nothing is kept


def copy_cases(
    source: Path, target: Path, cases: Sequence[str], ignored: Sequence[str], labels: Path | None = None
) -> None:
    """A dataset of some cases with their labels, and of others that are all ignore label, or have labels elsewhere."""
    import SimpleITK

    unfinished = target.with_name(f".unfinished_{target.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    for folder in ("imagesTr", "labelsTr"):
        (unfinished / folder).mkdir(parents=True)
    for case in [*cases, *ignored]:
        label = unfinished / "labelsTr" / f"{case}.nii.gz"
        shutil.copy(source / "imagesTr" / f"{case}_0000.nii.gz", unfinished / "imagesTr")
        if case in cases:
            shutil.copy(source / "labelsTr" / label.name, label)
        elif labels is not None:
            shutil.copy(labels / label.name, label)
        else:
            nothing = SimpleITK.ReadImage(str(source / "labelsTr" / label.name)) * 0 + IGNORE
            SimpleITK.WriteImage(nothing, str(label), True)
    description = read_json(source / "dataset.json")
    description["numTraining"] = len(cases) + len(ignored)
    if ignored and labels is None:
        description["labels"]["ignore"] = IGNORE
    write_json(unfinished / "dataset.json", description)
    unfinished.rename(target)


def make_pseudo_labels(run: Run, workspace: Path, source: Path, others: Sequence[str]) -> None:
    """Train the judges of a seed and let the command judge: it makes the gated dataset; the other has all as given."""
    from nnunetv2_dale.pseudo_labels.cli import main as judge

    alone = Run("labels alone", run.labelled, run.seed, run.iterations)
    gated = Run("pseudo-labels, gated", run.labelled, run.seed, run.iterations).dataset
    judged = workspace / f"judged_{gated}"
    prepare(alone, workspace, source)
    if not (workspace / "raw" / gated).exists():
        images = workspace / f"imagesUn_{run.labelled}"
        images.mkdir(exist_ok=True)
        for case in others:
            shutil.copy(source / SOURCE / "imagesTr" / f"{case}_0000.nii.gz", images)
        folders = {str(train(alone, fold, workspace).parent) for fold in range(TEACHERS)}
        given = ["-i", str(images), "-d", alone.dataset[7:10], "-o", str(judged), "--new_id", gated[7:10]]
        given += ["--overwrite", "-f", *map(str, range(TEACHERS)), "-device", "cpu", "--disable_tta", *GATE]
        if judge([*folders, *given]):
            raise RuntimeError("the pseudo-labels were not made")
        next((workspace / "raw").glob(f"{gated[:10]}_*")).rename(workspace / "raw" / gated)
    if run.dataset != gated:
        labelled = [case for cases in patients_of(source)[: run.labelled] for case in cases]
        copy_cases(source / SOURCE, workspace / "raw" / run.dataset, labelled, others, judged)


def train(run: Run, fold: int, workspace: Path) -> Path:
    """Train with nnU-Net's command, unless that is done; the folder of the fold."""
    settings = ARMS[run.arm][1]
    folder = folder_of(run, fold, workspace)
    trainer = folder.parent.name.partition("__")[0]
    made = workspace / "preprocessed" / run.dataset
    plans = read_json(made / f"{PLANNED}.json")
    plans["plans_name"] = f"small_{run.name}"
    plans["configurations"]["2d"] = small_configuration(plans["configurations"]["2d"], settings)
    write_json(made / f"{plans['plans_name']}.json", plans)
    if not (folder / "validation" / "summary.json").exists():
        with shorter(run.iterations // EPOCHS), mock.patch.dict(os.environ, {"nnUNet_n_proc_DA": "0"}):
            arguments = [run.dataset[7:10], "2d", str(fold), "-tr", trainer, "-p", plans["plans_name"]]
            resumed = any(folder.glob("checkpoint_[lf]*.pth"))  # the latest or the final one
            train_seeded([str(run.seed), *arguments, "-device", "cpu", *["--c"] * resumed])
    return folder


def folder_of(run: Run, fold: int, workspace: Path) -> Path:
    """Where nnU-Net trains a fold of an arm."""
    model = f"{ARMS[run.arm][0]}_{EPOCHS}epochs__small_{run.name}__2d"
    return workspace / "results" / run.dataset / model / f"fold_{fold}"


def small_configuration(planned: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The planned configuration with a smaller network, crop and batch, as a user edits plans."""
    stages = len(FEATURES)
    strides = [[1, 1], *[[2, 2]] * (stages - 1)]
    network = architecture(FEATURES, strides, [1, *[2] * (stages - 1)], 1)
    own = {"batch_size": BATCH, "patch_size": PATCH, "architecture": network, "dknet": {**SMALL, **settings}}
    return planned | own


def call(entry: Callable[[], object], *command: str) -> None:
    """One of nnU-Net's commands, in this process."""
    with mock.patch.object(sys, "argv", list(command)):
        entry()


def predicted(folder: Path, workspace: Path, source: Path) -> dict[str, list[float]]:
    """Dice of every class in every test case, predicted by nnU-Net's command without mirroring."""
    from nnunetv2.inference.predict_from_raw_data import predict_entry_point

    images, output = workspace / "imagesTs", workspace / "predicted" / folder.parent.name
    tested = [case for cases in patients_of(source)[-TEST:] for case in cases]
    images.mkdir(exist_ok=True)
    for case in tested:
        shutil.copy(source / SOURCE / "imagesTr" / f"{case}_0000.nii.gz", images)
    trainer, plans, _ = folder.parent.name.split("__")
    model = ["-d", folder.parent.parent.name[7:10], "-c", "2d", "-tr", trainer, "-p", plans, "-f", str(LAST)]
    only = ["-device", "cpu", "--disable_tta", "-npp", "0", "-nps", "0", "--disable_progress_bar"]
    call(predict_entry_point, "nnUNetv2_predict", "-i", str(images), "-o", str(output), *model, *only)
    return {
        case: dice_of(output / f"{case}.nii.gz", source / SOURCE / "labelsTr" / f"{case}.nii.gz") for case in tested
    }


def dice_of(found: Path, label: Path) -> list[float]:
    """Of every class, in a whole case."""
    import SimpleITK

    both = [SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(each))) for each in (found, label)]
    return [round(dice(both[0] == value, both[1] == value), 5) for value in CLASSES]


def calibration_of(run: Run, workspace: Path, source: Path) -> list[list[Any]]:
    """[case, label, expected Dice, Dice] of the judged cases, whose labels no training had."""
    judged = workspace / f"judged_{run.dataset}"
    rows = []
    with (judged / "expected_dice.csv").open(encoding="utf-8") as table:
        for row in csv.DictReader(table):
            file = f"{row['case']}.nii.gz"
            reached = dice_of(judged / file, source / SOURCE / "labelsTr" / file)
            value = int(row["label"])
            rows.append([row["case"], value, float(row["expected_dice"]), reached[CLASSES.index(value)]])
    return rows


def measure(run: Run, workspace: Path, source: Path) -> dict[str, Any]:
    """Train an arm and predict the test patients with it; the row of the results file."""
    prepare(run, workspace, source)
    started, at_once = time.process_time(), not folder_of(run, LAST, workspace).exists()
    folder = train(run, LAST, workspace)
    seconds = round(time.process_time() - started) if at_once else None
    cases = predicted(folder, workspace, source)
    row = {
        "run": asdict(run),
        "settings": ARMS[run.arm][1],
        "processor_seconds": seconds,
        "dice": round(statistics.mean(value for case in cases.values() for value in case), 5),
        "cases": cases,
    }
    return row | ({"judged": calibration_of(run, workspace, source)} if ARMS[run.arm][2] == "gated" else {})


def results_table(rows: Sequence[dict[str, Any]]) -> str:
    """Dice in points of each arm: every seed, and above the labels alone of the same seed."""
    header = ["patients with labels", "iterations", "arm", "Dice of each seed", "above the labels alone", "cost"]
    runs = {Run(**row["run"]): row for row in rows}
    lines = []
    for labelled, iterations in sorted({(run.labelled, run.iterations) for run in runs if run.labelled < TRAINING}):
        for arm in ARMS:
            of_all = ARMS[arm][2] == "labels"
            own = [run for run in runs if run.arm == arm and run.iterations == iterations]
            own = sorted((run for run in own if of_all or run.labelled == labelled), key=lambda run: run.seed)
            both = [(runs[run], runs.get(Run("labels alone", labelled, run.seed, iterations))) for run in own]
            above = [f"{100 * (row['dice'] - alone['dice']):+.2f}" for row, alone in both if alone]
            cost = [cost_beside(row, alone) for row, alone in both if alone]
            if own:
                each = ", ".join(f"{100 * row['dice']:.2f}" for row, _ in both)
                cells = [str(labelled), str(iterations), arm, each, ", ".join(above) or "-", ", ".join(cost) or "-"]
                lines.append(cells)
    return markdown(header, lines)


def calibration_table(rows: Sequence[dict[str, Any]]) -> str:
    """How far the expected Dice of judged cases is from the Dice, over cases and classes."""
    header = ["patients with labels", "iterations", "seed", "judged", "expected", "Dice", "mean absolute error"]
    header += ["Dice of what is kept", "of the rest"]
    lines = []
    for row in (row for row in rows if "judged" in row):
        pairs = [(expected, reached) for _, _, expected, reached in row["judged"]]
        numbers, parts = in_numbers(pairs)
        of = [str(row["run"][name]) for name in ("labelled", "iterations", "seed")]
        lines.append([*of, str(len(pairs)), *numbers, *parts])
    return markdown(header, lines)


def run_all(arguments: argparse.Namespace) -> None:
    if arguments.workspace is None and arguments.source is None:
        print(results_table(rows_of(RESULTS)), calibration_table(rows_of(RESULTS)), sep="\n\n")
        return
    if arguments.workspace is None or arguments.source is None:
        raise UserError("expected --workspace and --source, or neither of them; give both")
    workspace, source = arguments.workspace.resolve(), arguments.source.resolve()
    use_workspace(workspace)
    wanted = [
        Run(arm, TRAINING if ARMS[arm][2] == "labels" else labelled, seed, arguments.iterations)
        for seed in arguments.seeds
        for labelled in arguments.labelled
        for arm in arguments.arms
    ]
    for rows in add_missing(RESULTS, wanted, workspace, lambda run: measure(run, workspace, source)):
        print(results_table(rows), flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, metavar="W", help="folder for datasets and trainings")
    parser.add_argument("--source", type=Path, metavar="FOLDER", help="holds Dataset027_ACDC")
    parser.add_argument("--iterations", type=int, default=1000, help="of each training. Default: %(default)s")
    parser.add_argument("--labelled", type=int, nargs="+", default=[3, 7], help="patients. Default: %(default)s")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="Default: %(default)s")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS), help="Default: all")
    return run_command(parser, run_all, argv)


if __name__ == "__main__":
    sys.exit(main())
