"""The threads that the environment allows; and what glibc keeps, counted in pages that the system brings again."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from nnunetv2_dale.trainer.case_trust import nnUNetTrainerCaseTrust
from nnunetv2_dale.trainer.cpu_process import (
    _OWN_SETTINGS,
    THREADS_VARIABLE,
    keep_freed_memory,
    take_allowed_threads,
)
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from nnunetv2_dale.trainer.variants import nnUNetTrainerDALE_asPrinted as Printed
from tests.trainer.fixtures import make_trainer, started

_PROGRAM = """
import resource, sys
import torch
from nnunetv2_dale.trainer.cpu_process import keep_freed_memory

told = keep_freed_memory() if "keep" in sys.argv else None
for round in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.ones(5 * 2**18) for _ in range(40)]  # 5 MiB each
    del blocks
print(told, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _run(*arguments: str, **environment: str) -> tuple[str, int]:
    """What keep_freed_memory said, and page faults of the last round in a process of its own."""
    command = [sys.executable, "-c", _PROGRAM, *arguments]
    clean = {name: value for name, value in os.environ.items() if name not in _OWN_SETTINGS}
    done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=True)
    told, faults = done.stdout.split()
    return told, int(faults)


@pytest.mark.skipif("glibc" not in os.confstr("CS_GNU_LIBC_VERSION").lower(), reason="not glibc")
def test_freed_memory_is_not_fetched_again() -> None:
    pages = 40 * 5 * 2**20 // os.sysconf("SC_PAGE_SIZE")
    # by default it depends on what happens to lie at the end of the heap; with this glibc always gives back
    given_back = _run(MALLOC_MMAP_THRESHOLD_="131072")[1]
    told, kept = _run("keep")
    assert told == "True"
    assert given_back > pages / 2
    assert kept < pages / 100


def test_settings_of_ones_own_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert not keep_freed_memory()


def test_another_system_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()


@pytest.mark.usefixtures("nnunet")
@pytest.mark.parametrize(("trainer_class", "told"), [(Printed, 1), (nnUNetTrainerDALE, 1), (nnUNetTrainerCaseTrust, 0)])
def test_a_trainer_on_the_cpu_tells_it_where_there_is_a_look_ahead(trainer_class, told, monkeypatch) -> None:
    calls: list[bool] = []
    monkeypatch.setattr("nnunetv2_dale.trainer.dale.keep_freed_memory", lambda: calls.append(True))
    trainer = started(make_trainer(trainer_class))
    assert trainer.device == torch.device("cpu")
    assert len(calls) == told


@pytest.mark.parametrize(
    ("value", "threads"), [("3", 3), (" 2 ,1", 2), ("", None), ("0", None), ("-1", None), ("many", None), (None, None)]
)
def test_the_variable_decides_on_threads_where_it_is_a_number(value, threads, monkeypatch) -> None:
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(THREADS_VARIABLE, value)
    torch.set_num_threads(5)
    assert take_allowed_threads() == threads
    assert torch.get_num_threads() == (threads or 5)


@pytest.mark.usefixtures("nnunet")
def test_a_trainer_takes_back_the_threads_that_nnunet_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """nnU-Net sets the threads to the machine's cores before it makes the trainer."""
    monkeypatch.setenv(THREADS_VARIABLE, "2")
    torch.set_num_threads(7)
    make_trainer(nnUNetTrainerCaseTrust).initialize()
    assert torch.get_num_threads() == 2
