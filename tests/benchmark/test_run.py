"""The real command on the phantom: two folds at once, one of them killed and picked up again."""

from __future__ import annotations

import signal
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from nnunetv2_dale.commands.lock import read_holder
from tests.benchmark.fixtures import DATASET, benchmark_command, preprocessed_phantom, until_in_work

pytestmark = pytest.mark.integration
PARTS = "__nnUNetPlans__2d"


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return preprocessed_phantom(tmp_path_factory.mktemp("with spaces") / "nnU-Net data")


def _fold(environment: dict[str, str], trainer: str, fold: int) -> Path:
    return Path(environment["nnUNet_results"]) / DATASET / f"{trainer}{PARTS}" / f"fold_{fold}"


def _can_be_continued(fold: Path) -> bool:
    """Whether a kill leaves a whole checkpoint: nnU-Net writes the two one after the other, each in place."""
    return all(zipfile.is_zipfile(fold / f"checkpoint_{name}.pth") for name in ("latest", "best"))


def _run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = benchmark_command("-device", "cpu", *arguments)
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture
def started(phantom: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the command in the background and makes sure that it is gone afterwards."""
    commands: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = benchmark_command("-device", "cpu", *arguments)
        with (tmp_path / "output.txt").open("w") as output:
            commands.append(
                subprocess.Popen(command, env=phantom, cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT, text=True)
            )
        return commands[-1]

    yield start
    for command in commands:
        command.kill()
        command.wait()


def test_two_folds_at_once_one_killed_and_picked_up_again(phantom: dict[str, str], started, tmp_path) -> None:
    command = started("-tr", "nnUNetTrainer_long", "-f", "0", "1", "--workers", "2", "--no_report")
    folds = [_fold(phantom, "nnUNetTrainer_long", fold) for fold in (0, 1)]
    until_in_work(command, lambda: all(read_holder(fold) is not None for fold in folds), "both folds at once")
    until_in_work(command, lambda: _can_be_continued(folds[0]), "a checkpoint")
    holder = read_holder(folds[0])
    assert holder is not None
    psutil.Process(holder.process.pid).children()[0].send_signal(signal.SIGKILL)
    assert command.wait(400) == 0, (tmp_path / "output.txt").read_text()
    output = (tmp_path / "output.txt").read_text()
    assert "ended by signal 9; continues" in output
    logs = sorted(folds[0].glob("benchmark_log_*.txt"))
    assert [" --c" in log.read_text().splitlines()[0] for log in logs] == [False, True]
    assert len(list(folds[1].glob("benchmark_log_*.txt"))) == 1
    for fold in folds:
        assert (fold / "validation" / "summary.json").exists()
        assert read_holder(fold) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["output.txt"]  # nothing in the current folder


def test_a_failed_fold_is_named_with_its_log_and_the_others_go_on(phantom: dict[str, str]) -> None:
    trainers = ("nnUNetTrainer_broken", "nnUNetTrainer_short")
    ended = _run(phantom, "-tr", *trainers, "-f", "0", "--workers", "2", "--no_report")
    assert ended.returncode == 1
    assert f"nnUNetTrainer_broken{PARTS} fold 0 failed: nnUNetv2_train ended with exit code 1" in ended.stdout
    assert "RuntimeError: this trainer breaks in its second epoch" in ended.stdout
    assert (_fold(phantom, "nnUNetTrainer_short", 0) / "validation" / "summary.json").exists()
    dry = _run(phantom, "-tr", *trainers, "-f", "0", "1", "--dry_run")
    states = [line.split()[4] for line in dry.stdout.splitlines()[1:5]]
    assert (dry.returncode, states) == (0, ["resumable", "missing", "done", "missing"])


def test_sigterm_stops_the_trainings_and_frees_their_folds(phantom: dict[str, str], started, tmp_path) -> None:
    command = started("-tr", "nnUNetTrainer_long", "-f", "2", "--no_report")
    fold = _fold(phantom, "nnUNetTrainer_long", 2)
    until_in_work(command, (fold / "checkpoint_latest.pth").exists, "a checkpoint")
    children = psutil.Process(command.pid).children(recursive=True)
    command.send_signal(signal.SIGTERM)
    assert command.wait(60) == 128 + signal.SIGTERM
    assert "stopped by SIGTERM; the same command continues" in (tmp_path / "output.txt").read_text()
    assert read_holder(fold) is None
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
