import json
from pathlib import Path

import pytest
import SimpleITK

from nnunetv2_dale.demo import pipeline
from nnunetv2_dale.demo.pipeline import commands, run_demo
from nnunetv2_dale.demo.scale import QUICK
from nnunetv2_dale.demo.workspace import Workspace

TRAINED_AND_COMPARED = ["train plain nnU-Net", "train DALE", "compare both"]


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace.create(tmp_path / "a demo")


@pytest.fixture
def pretended(monkeypatch):
    """Commands that are only noted; planning leaves plans like nnU-Net's."""
    noted = []

    def run_logged(command, log, environment):
        noted.append((command.title, log, dict(environment)))
        if command.title == "plan the experiment":
            folder = Path(environment["nnUNet_preprocessed"]) / "Dataset998_DalePhantom"
            folder.mkdir()
            planned = {"batch_size": 12, "architecture": {"arch_kwargs": {"features_per_stage": [32, 64, 128]}}}
            (folder / "nnUNetDemoPlans.json").write_text(json.dumps({"configurations": {"2d": planned}}))
        return 1.0

    monkeypatch.setattr(pipeline, "run_logged", run_logged)
    return noted


def test_both_methods_get_the_same_commands_but_for_the_trainer(workspace):
    _, after = commands(workspace, QUICK, "cpu", 1)
    assert [command.title for command in after] == ["preprocess", *TRAINED_AND_COMPARED]
    differing = [pair for pair in zip(after[1].arguments, after[2].arguments, strict=True) if pair[0] != pair[1]]
    assert differing == [("nnUNetTrainer_demoQuick", "nnUNetTrainerDALE_demoQuick")]


def test_the_report_compares_both_and_links_to_the_page_on_dale(workspace):
    *_, report = commands(workspace, QUICK, "cpu", 1)[1]
    names = [Path(argument).name for argument in report.arguments]
    folders = [f"{trainer}_demoQuick__nnUNetDemoPlans__2d" for trainer in ("nnUNetTrainer", "nnUNetTrainerDALE")]
    assert names[:3] == ["nnUNetv2_dale_report", *folders]
    assert report.arguments[report.arguments.index("--page_link") + 1] == str(workspace.page)


def test_device_and_processes_reach_the_commands(workspace):
    before, after = commands(workspace, QUICK, "cuda", 3)
    assert "-np 3" in before[0].line
    assert "-np 3" in after[0].line
    assert all("-device cuda" in command.line for command in after[1:3])


def test_steps_come_in_their_order_with_numbered_logs_and_leave_their_files(workspace, pretended, caplog):
    caplog.set_level("INFO")
    steps = run_demo(workspace, QUICK, seed=4, device="cpu", processes=1)
    made = ["make the phantom (6 cases)", "check the data and take its fingerprint", "plan the experiment"]
    halved = "halve the planned network for a CPU, validate on true labels"
    assert [step.title for step in steps] == [*made, halved, "preprocess", *TRAINED_AND_COMPARED]
    assert [log.name[:3] for _, log, _ in pretended] == ["02_", "03_", "05_", "06_", "07_", "08_"]
    assert caplog.messages[-1] == "[8/8] compare both: 1 s"
    workers = {title: environment.get("nnUNet_n_proc_DA") for title, _, environment in pretended}
    assert workers["train DALE"] == workers["train plain nnU-Net"] == "0"  # batches are drawn in their own process
    assert workers["plan the experiment"] is None  # nnU-Net's planner does not accept 0

    raw, preprocessed = (folder / "Dataset998_DalePhantom" for folder in (workspace.raw, workspace.preprocessed))
    assert json.loads((raw / "dataset.json").read_text())["demo_seed"] == 4  # by which it reaches the trainers
    plans = json.loads((preprocessed / "nnUNetDemoPlans.json").read_text())
    halved_network = {"arch_kwargs": {"features_per_stage": [16, 32, 64]}}
    assert plans["configurations"]["2d"] == {"batch_size": 4, "architecture": halved_network}
    (fold,) = json.loads((preprocessed / "splits_final.json").read_text())
    for case in (*fold["train"], *fold["val"]):
        files = [str(raw / folder / f"{case}.nii.gz") for folder in ("labelsTr", "labelsTr_clean")]
        given, true = (SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(file)) for file in files)
        assert (given == true).all() == (case in fold["val"]), case  # those with true labels validate
    assert sum(map(len, fold.values())) == len(list((raw / "imagesTr").iterdir()))
