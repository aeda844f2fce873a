"""The study over organs: its file, the order of its commands, its plans, what it stores, and that it goes on."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks.organs import __main__ as organs
from benchmarks.organs.prepare import copy_cases
from benchmarks.organs.study import Data, benchmark_command, comparisons, read_study, replaced_plans
from benchmarks.plans_file import smaller_plans
from nnunetv2_dale.benchmark.arguments import benchmark_parser
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.trainer.all_trainers import ALL_TRAINERS
from tests.conftest import REPOSITORY

STUDY = """
benchmark = ["-device", "cpu"]
[data]
Heart = { folder = "Dataset001_Heart", id = 1, patients = "(p\\\\d)_" }
Neck = { folder = "Dataset002_Neck", id = 2 }
[labels]
as_they_are = []
dilated = ["--kind", "dilate", "--amount", "2"]
[plans.2d]
batch_size = 3
features = [4, 8]
[[step]]
data = ["Heart", "Neck"]
configuration = "2d"
labels = ["dilated", "as_they_are"]
trainers = ["nnUNetTrainer", "nnUNetTrainerDALE"]
length = "_5epochs"
"""
PLANS = {
    "plans_name": "tiny",
    "configurations": {
        "2d": {
            "batch_size": 9,
            "patch_size": [64, 64],
            "architecture": {
                "arch_kwargs": {
                    "n_stages": 3,
                    "features_per_stage": [32, 64, 128],
                    "kernel_sizes": [[3, 3]] * 3,
                    "strides": [[1, 1], [2, 2], [2, 2]],
                    "n_conv_per_stage": [2, 2, 2],
                    "n_conv_per_stage_decoder": [2, 2],
                }
            },
        },
        "3d_fullres": {},
    },
}


def raw_dataset(folder: Path, cases: Sequence[str]) -> Path:
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for case in cases:
        (folder / "imagesTr" / f"{case}_0000.nii.gz").write_text("image")
        (folder / "labelsTr" / f"{case}.nii.gz").write_text("label")
    labels = {"background": 0, "Organ": 1, "b": 2}
    (folder / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".nii.gz", "numTraining": 9}))
    return folder


@pytest.mark.parametrize("name", ["study", "other_methods"])
def test_a_shipped_study_names_trainers_that_exist_and_flags_of_the_benchmark(name: str) -> None:
    study = read_study(REPOSITORY / "benchmarks" / "organs" / f"{name}.toml")
    for each in comparisons(study):
        command = benchmark_command(study, each, Path("raw"), Path("reports"))
        arguments = benchmark_parser().parse_args(command[1:])
        assert set(arguments.tr) <= {*ALL_TRAINERS, f"nnUNetTrainer{each.step.length}"}


def test_plans_of_one_of_the_data_are_those_of_the_study_but_for_what_it_replaces() -> None:
    study = read_study(REPOSITORY / "benchmarks" / "organs" / "study.toml")
    crops, slices = (replaced_plans(study, data, "2d") for data in ("ACDC", "HeadNeckCT"))
    assert (crops["patch_size"], slices["patch_size"]) == ([64, 64], [128, 112])
    assert crops["features"] == slices["features"]


def test_a_study_that_names_what_it_does_not_define_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text(STUDY.replace('labels = ["dilated"', 'labels = ["eroded"'))
    with pytest.raises(UserError, match="names eroded, which is neither data, labels nor plans"):
        read_study(file)
    file.write_text(STUDY.replace('["nnUNetTrainer", "nnUNetTrainerDALE"]', '["nnUNetTrainer"]'))
    with pytest.raises(UserError, match="two or more"):
        read_study(file)
    file.write_text("benchmark = [")
    with pytest.raises(UserError, match="is no study"):
        read_study(file)


def test_an_interrupted_study_goes_on_and_repeats_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands in the file's order; one is killed, and the second start makes what is missing and no more."""
    source, output = tmp_path / "data", tmp_path / "out"
    raw_dataset(source / "Dataset001_Heart", ["p1_1", "p1_2", "p2_1"])
    raw_dataset(source / "Dataset002_Neck", ["n1", "n2"])
    (tmp_path / "study.toml").write_text(STUDY)
    made: list[list[str]] = []
    kill_at = 4

    def pretended(command: Sequence[str], **_: Any) -> None:
        made.append(list(command))
        if len(made) == kill_at:
            raise KeyboardInterrupt
        flags = dict(pairwise(command))
        number = int(flags["-d"])
        dataset = f"Dataset{number:03d}_" + {1: "Heart", 2: "Neck"}[number % 100]
        if command[1] == "splits":
            (output / "raw" / dataset / "splits_final.json").write_text("[]")
        elif command[0] == "nnUNetv2_dale_corrupt_labels":
            raw_dataset(output / "raw" / f"Dataset{flags['--new_id']}_{dataset[11:]}", [])
        elif command[0] == "nnUNetv2_plan_and_preprocess":
            (output / "preprocessed" / dataset).mkdir(parents=True, exist_ok=True)
            (output / "preprocessed" / dataset / "tiny.json").write_text(json.dumps(PLANS))
        elif dataset != "Dataset102_Neck":
            runs = [
                {"trainer": name, "values": {"Dice": {"mean": [0.5]}}, "ran": {}, "dale": None, "costs": []}
                for name in ("nnUNetTrainer_5epochs", "nnUNetTrainerDALE_5epochs")
            ]
            report = {"case_names": ["c"], "runs": runs, "comparisons": [], "missing": [], "versions": {"torch": "2"}}
            (Path(flags["-o"]) / "2d").mkdir(parents=True)
            (Path(flags["-o"]) / "2d" / "report.json").write_text(json.dumps(report))
        else:
            raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(subprocess, "run", pretended)
    words = [str(tmp_path / "study.toml"), "--data", str(source), "-o", str(output)]
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", "")
    assert organs.main(words) == 130
    assert [command[0].removeprefix("nnUNetv2_") for command in made] == [
        *("dale_convert", "dale_corrupt_labels", "plan_and_preprocess", "dale_benchmark")
    ]
    assert made[1][1:5] == ["-d", "1", "--new_id", "101"]
    assert made[3][made[3].index("--references") + 1] == str(output / "raw" / "Dataset101_Heart" / "labelsTr_clean")
    assert not list(output.glob("results/*"))
    assert organs.main(words) == 1  # one comparison fails; the others are made
    assert [command[command.index("-d") + 1] for command in made if command[0] == "nnUNetv2_dale_benchmark"] == [
        *("101", "101", "102", "1", "2")
    ]
    assert "--references" not in made[-1]
    of_results = [file.name.removesuffix("_2d__5epochs_0.json") for file in output.glob("results/*")]
    assert sorted(of_results) == ["Heart_as_they_are", "Heart_dilated", "Neck_as_they_are"]
    stored = json.loads((output / "results" / "Heart_dilated_2d__5epochs_0.json").read_text())
    assert stored["trainings_a_side"] == 1
    assert "-d 101 -c 2d -p small_2d -f 0 -tr nnUNetTrainer_5epochs nnUNetTrainerDALE_5epochs" in stored["command"]
    assert str(tmp_path) not in json.dumps(stored)
    already = len(made)
    organs.main(words)
    assert [command[0] for command in made[already:]] == ["nnUNetv2_dale_benchmark"]  # the one that failed
    assert [row["trainer"] for row in stored["trainers"]] == ["nnUNetTrainer", "nnUNetTrainerDALE"]
    (tmp_path / "study.toml").write_text(STUDY.replace("nnUNetTrainerDALE", "nnUNetTrainerCaseTrust"))
    assert organs.main(words) == 2  # what is stored is of other trainers
    (tmp_path / "study.toml").write_text(STUDY.replace("batch_size = 3", "batch_size = 4"))
    (output / "results" / "Heart_dilated_2d__5epochs_0.json").unlink()
    assert organs.main(words) == 2  # and so are the plans of what is trained
    table = (output / "raw" / "Dataset001_Heart" / "patients.csv").read_text().split()
    assert table == ["case,patient", "p1_1,p1", "p1_2,p1", "p2_1,p2"]


def test_plans_keep_all_but_what_the_study_replaces() -> None:
    plans = smaller_plans(PLANS, "2d", [4, 8], "small_2d", batch_size=3)
    chosen = plans["configurations"]["2d"]
    network = chosen["architecture"]["arch_kwargs"]
    assert (plans["plans_name"], chosen["batch_size"], chosen["patch_size"]) == ("small_2d", 3, [64, 64])
    assert (network["n_stages"], network["features_per_stage"], len(network["strides"])) == (2, [4, 8], 2)
    assert network["n_conv_per_stage_decoder"] == [2]
    assert PLANS["plans_name"] == "tiny"  # those of nnU-Net stay


def test_only_cases_with_every_class_annotated_are_taken(tmp_path: Path) -> None:
    source = raw_dataset(tmp_path / "source", ["c1", "c2"])
    (source / "annotated.csv").write_text("case,Organ,b\nc1,1,0\nc2,1,1\n")
    copy_cases(Data("source", 1, complete="annotated.csv"), source, tmp_path / "copy")
    assert [file.name for file in (tmp_path / "copy" / "labelsTr").iterdir()] == ["c2.nii.gz"]
    assert json.loads((tmp_path / "copy" / "dataset.json").read_text())["numTraining"] == 1
