import json
from pathlib import Path

import pytest

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.demo import pipeline
from nnunetv2_dale.demo.pipeline import commands, run_demo
from nnunetv2_dale.demo.scale import QUICK
from nnunetv2_dale.demo.workspace import Workspace

TRAINED_AND_PREDICTED = ["train plain nnU-Net", "train DALE", "predict with plain nnU-Net", "predict with DALE"]


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
    assert [command.title for command in after] == ["preprocess", *TRAINED_AND_PREDICTED]
    for plain, dale in ((after[1], after[2]), (after[3], after[4])):
        differing = [pair for pair in zip(plain.arguments, dale.arguments, strict=True) if pair[0] != pair[1]]
        assert ("nnUNetTrainer_demoQuick", "nnUNetTrainerDALE_demoQuick") in differing
        assert len(differing) == 1 + ("predict" in plain.title)  # and where predictions go


def test_device_and_processes_reach_the_commands(workspace):
    before, after = commands(workspace, QUICK, "cuda", 3)
    assert "-np 3" in before[0].line
    assert "-np 3" in after[0].line
    assert all("-device cuda" in command.line for command in after[1:])


def test_steps_come_in_their_order_with_numbered_logs(workspace, pretended, caplog):
    caplog.set_level("INFO")
    steps = run_demo(workspace, QUICK, seed=4, device="cpu", processes=1)
    assert [step.title for step in steps] == [
        "make the phantom (6 cases)",
        "check the data and take its fingerprint",
        "plan the experiment",
        "halve the planned network, for a CPU",
        "preprocess",
        *TRAINED_AND_PREDICTED,
    ]
    assert [log.name[:3] for _, log, _ in pretended] == ["02_", "03_", "05_", "06_", "07_", "08_", "09_"]
    assert caplog.messages[-1] == "[9/9] predict with DALE: 1 s"


def test_the_plans_are_halved_and_the_batch_is_small(workspace, pretended):
    run_demo(workspace, QUICK, seed=4, device="cpu", processes=1)
    plans = json.loads((workspace.preprocessed / "Dataset998_DalePhantom" / "nnUNetDemoPlans.json").read_text())
    assert plans["configurations"]["2d"] == {
        "batch_size": 4,
        "architecture": {"arch_kwargs": {"features_per_stage": [16, 32, 64]}},
    }


def test_the_seed_reaches_the_trainers_through_the_dataset(workspace, pretended):
    run_demo(workspace, QUICK, seed=4, device="cpu", processes=1)
    assert json.loads((workspace.raw / "Dataset998_DalePhantom" / "dataset.json").read_text())["demo_seed"] == 4


def test_trainings_draw_their_batches_in_their_own_process(workspace, pretended):
    run_demo(workspace, QUICK, seed=4, device="cpu", processes=1)
    workers = {title: environment.get("nnUNet_n_proc_DA") for title, _, environment in pretended}
    assert workers["train DALE"] == workers["train plain nnU-Net"] == "0"
    assert workers["plan the experiment"] is None  # nnU-Net's planner does not accept 0


def test_a_failed_step_ends_the_demo(workspace, monkeypatch):
    def fail(command, log, environment):
        raise UserError(f"could not {command.title}")

    monkeypatch.setattr(pipeline, "run_logged", fail)
    with pytest.raises(UserError, match="could not check the data"):
        run_demo(workspace, QUICK, seed=0, device="cpu", processes=1)
