"""The loop over cases: order, errors, killed workers, Ctrl-C, threads; alone and in workers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import SimpleITK
import torch

from nnunetv2_dale.commands.cases import run_cases
from nnunetv2_dale.commands.command_line import UserError

CASES = [f"case_{number}" for number in range(6)]


def _after(number: int, folder: Path) -> int:
    """Case 0 ends when its neighbour has; alone, at once."""
    if number == 0 and multiprocessing.parent_process() is not None:
        while not (folder / "1").exists():
            time.sleep(0.01)
    (folder / str(number)).touch()
    return 10 * number


def _fails_from_two(number: int) -> int:
    if number >= 2:
        raise ValueError(f"case {number} is broken")
    return number


def _dies(number: int, folder: Path) -> int:
    """Case 4 is killed while case 3 still works."""
    if number == 3:
        while not (folder / "4").exists():
            time.sleep(0.01)
        time.sleep(300)
    if number == 4:
        (folder / "4").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def _interrupted(number: int, folder: Path) -> None:
    (folder / str(number)).touch()
    if multiprocessing.parent_process() is None:
        raise KeyboardInterrupt
    if number:
        time.sleep(300)


def _threads(_: int) -> tuple[int, int]:
    return torch.get_num_threads(), SimpleITK.ProcessObject.GetGlobalDefaultNumberOfThreads()


@pytest.mark.parametrize("processes", [1, 2, 20])
def test_results_keep_the_order_of_the_jobs(tmp_path: Path, processes: int) -> None:
    jobs = [(case, (number, tmp_path)) for number, case in enumerate(CASES)]
    expected = [(case, 10 * number) for number, case in enumerate(CASES)]
    assert list(run_cases(_after, jobs, processes, "testing")) == expected
    assert list(run_cases(_after, [], processes, "testing")) == []


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_comes_in_its_cases_turn(processes: int) -> None:
    jobs = [(case, (number,)) for number, case in enumerate(CASES)]
    with pytest.raises(ValueError, match="case 2 is broken"):
        list(run_cases(_fails_from_two, jobs, processes, "testing"))
    assert multiprocessing.active_children() == []


def test_a_killed_worker_names_the_cases_in_work(tmp_path: Path) -> None:
    done = []

    def loop() -> None:
        for case, _ in run_cases(_dies, [(case, (n, tmp_path)) for n, case in enumerate(CASES)], 2, "testing"):
            done.append(case)

    with pytest.raises(UserError, match=r"killed at case case_3 or case_4, .*; try a smaller -np"):
        loop()
    assert done == CASES[:3]


@pytest.mark.parametrize("processes", [1, 2])
def test_an_interrupt_ends_the_loop_and_its_workers(tmp_path: Path, processes: int) -> None:
    def loop() -> None:
        for _ in run_cases(_interrupted, [(case, (n, tmp_path)) for n, case in enumerate(CASES)], processes, "testing"):
            raise KeyboardInterrupt  # in workers, after the first case; the others sleep

    with pytest.raises(KeyboardInterrupt):
        loop()
    assert multiprocessing.active_children() == []
    assert not (tmp_path / "5").exists()


def test_workers_use_one_thread_each() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = dict(run_cases(_threads, [(case, (0,)) for case in CASES], 2, "testing"))
        (alone,) = run_cases(_threads, [("one", (0,))], 2, "testing")
    finally:
        torch.set_num_threads(before)
    assert set(found.values()) == {(1, 1)}
    assert alone[1][0] == 2
