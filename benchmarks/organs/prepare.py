"""The datasets of a study, made with the product's commands; what is there already stays."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.organs.study import (
    Comparison,
    Data,
    Study,
    dataset_name,
    noise_command,
    plans_name,
    replaced_plans,
)
from benchmarks.plans_file import PLANNED, plan_command, smaller_plans
from benchmarks.results_file import write_results
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.csv_table import read_keyed_table, write_table
from nnunetv2_dale.nnunet_files.atomic_output import new_folder

Runner = Callable[[Sequence[str]], None]


def prepare(study: Study, each: Comparison, source: Path, output: Path, run: Runner) -> None:
    """Make the raw dataset, its copy with these labels, and the plans; `output` holds nnU-Net's folders `raw` and
    `preprocessed`.
    """
    raw, preprocessed, data = output / "raw", output / "preprocessed", study.data[each.data]
    own, dataset = (dataset_name(study, each.data, labels) for labels in (next(iter(study.labels)), each.labels))
    if not (raw / own).exists():
        if data.convert:
            number = ["--new_id", str(data.id), "--name", each.data]
            run(["nnUNetv2_dale_convert", data.convert[0], "-i", str(source / data.folder), *number, *data.convert[1:]])
        else:
            copy_cases(data, source / data.folder, raw / own)
    if data.patients and not (raw / own / "splits_final.json").exists():
        (preprocessed / own).mkdir(parents=True, exist_ok=True)  # where the folds are wanted too
        table = str(raw / own / "patients.csv")
        run(["nnUNetv2_dale_convert", "splits", "-d", str(data.id), "--patients", table])
    if not (raw / dataset).exists():
        run(noise_command(study, each.data, each.labels))
    configuration = each.step.configuration
    plan_smaller(preprocessed / dataset, configuration, replaced_plans(study, each.data, configuration), run)


def plan_smaller(folder: Path, configuration: str, changes: Mapping[str, Any], run: Runner) -> None:
    """Plan and preprocess the dataset of this preprocessed folder, and add plans with a smaller network.

    Args:
        changes: `features` of the network, and what else is replaced in nnU-Net's own plans.
    """
    edited = folder / f"{plans_name(configuration)}.json"
    if not edited.exists():
        run(plan_command(int(folder.name[7:10]), configuration))
    planned = json.loads((folder / f"{PLANNED}.json").read_text())
    plans = smaller_plans(planned, configuration, name=plans_name(configuration), **changes)
    if not edited.exists():
        write_results(edited, plans, overwrite=False)
    elif json.loads(edited.read_text()) != plans:
        raise UserError(f"{edited} was made with other changes to nnU-Net's plans; give another OUT, or remove it")


def copy_cases(data: Data, source: Path, target: Path) -> None:
    """Copy the cases of a raw dataset that the study takes, with a table of their patients where they are known."""
    description = json.loads((source / "dataset.json").read_text())
    ending = description["file_ending"]
    cases = sorted(file.name.removesuffix(ending) for file in (source / "labelsTr").glob(f"*{ending}"))
    if data.complete:
        classes = [name.casefold() for name in description["labels"] if name != "background"]  # as tables are read
        rows = read_keyed_table(source / data.complete, "case", classes, cases)
        cases = [case for case in cases if all(rows[case][name] == "1" for name in classes)]
    with new_folder(target) as unfinished:
        for name in ("imagesTr", "labelsTr"):
            (unfinished / name).mkdir()
        for case in cases:
            shutil.copy(source / "labelsTr" / f"{case}{ending}", unfinished / "labelsTr")
            for image in (source / "imagesTr").glob(f"{case}_[0-9][0-9][0-9][0-9]{ending}"):
                shutil.copy(image, unfinished / "imagesTr")
        (unfinished / "dataset.json").write_text(json.dumps({**description, "numTraining": len(cases)}))
        if data.patients:
            patients = {case: re.findall(data.patients, case)[0] for case in cases}
            write_table(unfinished / "patients.csv", ("case", "patient"), patients.items())
