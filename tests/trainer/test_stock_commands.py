"""nnU-Net's own commands with DALE's trainers: plan, train, kill, resume, validate, predict, compare.

The commands are real, on a small phantom: processes where one is killed, resumed or looks for a trainer, the others in
this process. The trainers of few iterations lie in a folder of their own on `nnUNet_extTrainer`; `nnUNetTrainerDALE`
itself is found with nothing but this package installed beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import SimpleITK
import torch

from nnunetv2_dale.demo.anatomy import LABELS
from nnunetv2_dale.demo.phantom import write_phantom_dataset
from tests.run_commands import run, use_threads

pytestmark = [
    pytest.mark.integration,
    # nnU-Net: Dice of a class that one validation batch does not hold
    pytest.mark.filterwarnings("ignore:invalid value encountered in scalar divide:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning"),
]

DATASET, DATASET_ID, PLANS = "Dataset905_Commands", 905, "nnUNetPlans"
DALE, PLAIN = "nnUNetTrainerDALE_short", "nnUNetTrainer_short"
SHORT_TRAINERS = Path(__file__).parent.parent / "benchmark/short_trainers"


@dataclass(frozen=True)
class Workplace:
    """nnU-Net's folders with a preprocessed dataset."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        folders = {f"nnUNet_{name}": str(self.root / name) for name in ("raw", "preprocessed", "results")}
        processes = {"nnUNet_n_proc_DA": "0", "nnUNet_def_n_proc": "1"}
        return {**os.environ, **folders, **processes, "nnUNet_extTrainer": str(SHORT_TRAINERS)}

    def fold(self, trainer: str, fold: int, configuration: str = "2d") -> Path:
        return self.root / "results" / DATASET / f"{trainer}__{PLANS}__{configuration}" / f"fold_{fold}"

    def start(self, command: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        executable = Path(sys.executable).parent / command
        return subprocess.Popen(
            [str(executable), *map(str, arguments)],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: object) -> str:
        """Run a command as a process of its own; what it prints. Fails when it does."""
        name, *arguments = command
        process = self.start(str(name), *arguments)
        try:
            printed, _ = process.communicate(timeout=600)
        finally:
            process.kill()
        assert process.returncode == 0, printed[-4000:]
        return printed

    def run_here(self, *commands: Sequence[object], **environment: str) -> None:
        """Run commands in this process."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**self.environment, **environment}.items():
                patch.setenv(name, value)
            use_threads(patch)
            run((shlex.join(map(str, command)) for command in commands), patch)


def train(fold: int, trainer: str, *flags: str, configuration: str = "2d") -> list[object]:
    return ["nnUNetv2_train", DATASET_ID, configuration, fold, "-tr", trainer, "-device", "cpu", *flags]


@pytest.fixture(scope="module")
def preprocessed(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """Planned and preprocessed by nnU-Net; then the plans get small networks and batches."""
    place = Workplace(tmp_path_factory.mktemp("commands with space"))
    write_phantom_dataset(
        place.root / "raw",
        dataset_id=DATASET_ID,
        name="Commands",
        training_cases=5,
        test_cases=1,
        shape=(10, 40, 40),
        spacing_mm=(4.0, 2.0, 2.0),
    )
    once = ("-c", "2d", "3d_fullres", "-np", 1, 1, "-npfp", 1)
    place.run_here(["nnUNetv2_plan_and_preprocess", "-d", DATASET_ID, *once], nnUNet_n_proc_DA="1")  # it refuses 0
    file = place.root / "preprocessed" / DATASET / f"{PLANS}.json"
    plans = json.loads(file.read_text())
    for name in ("2d", "3d_fullres"):
        plans["configurations"][name]["batch_size"] = 2
        architecture = plans["configurations"][name]["architecture"]["arch_kwargs"]
        architecture["features_per_stage"] = [4] * architecture["n_stages"]
    file.write_text(json.dumps(plans))
    return place


@pytest.fixture(scope="module")
def trained(preprocessed: Workplace) -> Workplace:
    """Two folds of two trainers; fold 0 of DALE was killed after its first checkpoint and resumed."""
    place = preprocessed
    place.run_here(train(0, PLAIN, "--npz"), train(1, PLAIN, "--npz"), train(1, DALE, "--npz"))
    victim = place.start(*train(0, DALE, "--npz"))
    kill_after(victim, place.fold(DALE, 0) / "checkpoint_latest.pth")
    assert not (place.fold(DALE, 0) / "checkpoint_final.pth").exists()
    resumed = place.run(*train(0, DALE, "--npz", "--c"))
    assert "Epoch 1" in resumed
    assert "Epoch 0" not in resumed
    return place


def kill_after(process: subprocess.Popen[str], file: Path) -> None:
    """SIGKILL, as the machine's memory guard or a cluster's time limit does it, once the file is there."""
    deadline = time.monotonic() + 600
    while not file.exists():
        assert process.poll() is None, process.communicate()[0][-4000:]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def summary(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return document


def test_a_killed_training_resumes_to_a_complete_one(trained: Workplace) -> None:
    folder = trained.fold(DALE, 0)
    checkpoint = torch.load(folder / "checkpoint_final.pth", map_location="cpu", weights_only=False)
    assert checkpoint["trainer_name"] == DALE
    assert {len(values) for values in checkpoint["logging"].values()} == {2}
    assert (folder / "debug.json").is_file()
    assert (folder / "progress.png").stat().st_size > 0  # other tests leave it empty
    assert not list(folder.glob("*.unfinished"))
    assert 0 <= summary(folder / "validation")["foreground_mean"]["Dice"] <= 1
    assert len(list((folder / "validation").glob("*.npz"))) == 1


def test_the_installed_trainer_is_found_beside_the_users_folder(preprocessed: Workplace) -> None:
    """The quick start's command, until it trains; 3d_fullres, with a trainer of the user's folder, to its end."""
    folder = preprocessed.fold("nnUNetTrainerDALE", 2)
    kill_after(preprocessed.start(*train(2, "nnUNetTrainerDALE")), folder / "debug.json")
    (log,) = folder.glob("training_log_*.txt")
    assert "dale settings" in log.read_text()

    preprocessed.run_here(train(0, DALE, configuration="3d_fullres"))
    folder = preprocessed.fold(DALE, 0, "3d_fullres")
    assert 0 <= summary(folder / "validation")["foreground_mean"]["Dice"] <= 1
    assert (folder / "checkpoint_final.pth").is_file()


def test_validates_again_with_the_final_and_the_best_weights(trained: Workplace) -> None:
    folder = trained.fold(DALE, 1)
    checksums = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.pth")}
    (folder / "validation" / "summary.json").unlink()
    trained.run_here(train(1, DALE, "--val", "--val_best"))
    assert summary(folder / "validation")["metric_per_case"]
    assert checksums == {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.pth")}


def test_predicts_with_an_ensemble_of_folds(trained: Workplace) -> None:
    images, output = trained.root / "raw" / DATASET / "imagesTs", trained.root / "predicted"
    model = ("-d", DATASET_ID, "-c", "2d", "-tr", DALE, "-f", 0, 1)
    trained.run("nnUNetv2_predict", "-i", images, "-o", output, *model, "-device", "cpu", "-npp", 1, "-nps", 1)
    (file,) = output.glob("*.nii.gz")
    predicted, image = SimpleITK.ReadImage(file), SimpleITK.ReadImage(images / file.name.replace(".nii", "_0000.nii"))
    assert predicted.GetSize() == image.GetSize()
    assert predicted.GetSpacing() == image.GetSpacing()
    assert set(SimpleITK.GetArrayFromImage(predicted).flat) <= set(LABELS.values())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # nnU-Net leaves a file open
def test_compares_with_plain_nnunet(trained: Workplace) -> None:
    """`nnUNetv2_find_best_configuration` and `nnUNetv2_accumulate_crossval_results` over two folds of two trainers."""
    both = ("-tr", PLAIN, DALE, "-f", 0, 1)
    trained.run_here(["nnUNetv2_find_best_configuration", DATASET_ID, "-c", "2d", *both, "-np", 1])
    results = trained.root / "results" / DATASET
    best = json.loads((results / "inference_information.json").read_text())
    assert [model["trainer"] for model in best["considered_models"]] == [PLAIN, DALE]
    assert len(best["all_results"]) == 3  # both, and their ensemble
    assert all(0 <= dice <= 1 for dice in best["all_results"].values())
    joined = trained.root / "joined"
    trained.run_here(
        ["nnUNetv2_accumulate_crossval_results", DATASET_ID, "-c", "2d", "-tr", DALE, "-f", 0, 1, "-o", joined]
    )
    assert len(summary(joined)["metric_per_case"]) == 2
