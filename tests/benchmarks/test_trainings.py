"""What the studies share: a training belongs to one process, rows are added, nnU-Net's folders are the workspace's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.trainings import add_row, claimed, rows_of, use_workspace
from tests.conftest import REPOSITORY


def test_a_training_that_another_process_makes_is_left_to_it(tmp_path: Path) -> None:
    with claimed(tmp_path, "a/b c") as first, claimed(tmp_path, "a/b c") as second, claimed(tmp_path, "other") as other:
        assert (first, second, other) == (True, False, True)
    with claimed(tmp_path, "a/b c") as again:
        assert again


def test_a_claim_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    code = "import sys, time; from pathlib import Path; from benchmarks.trainings import claimed\n"
    code += "with claimed(Path(sys.argv[1]), 'x') as mine: print(mine, flush=True); time.sleep(100)"
    command, folder = [sys.executable, "-c", code, str(tmp_path)], REPOSITORY
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        with claimed(tmp_path, "x") as mine:
            assert not mine
        process.kill()
        process.wait()
    with claimed(tmp_path, "x") as mine:
        assert mine


def test_rows_are_added(tmp_path: Path) -> None:
    file = tmp_path / "new folder" / "rows.jsonl"
    assert rows_of(file) == []
    add_row(file, {"dice": 0.5})
    add_row(file, {"dice": 0.25, "run": {"seed": 1}})
    assert rows_of(file) == [{"dice": 0.5}, {"dice": 0.25, "run": {"seed": 1}}]


def test_nnunet_works_in_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("raw", "preprocessed", "results", "compile", "def_n_proc"):
        monkeypatch.setenv(f"nnUNet_{name}", "")  # so that what it sets ends with this test
    use_workspace(tmp_path)
    for name in ("raw", "preprocessed", "results"):
        assert Path(os.environ[f"nnUNet_{name}"]) == tmp_path / name
        assert (tmp_path / name).is_dir()
