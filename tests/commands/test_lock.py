import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.lock import (
    LOCK_NAME,
    STALE_AFTER_S,
    FoldLock,
    LockHolder,
    LockLostError,
    acquire,
    held,
    living_holder,
)
from nnunetv2_dale.commands.process_identity import ProcessIdentity


def _write(folder: Path, process: ProcessIdentity, age_s: float = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / LOCK_NAME
    lock.write_text(json.dumps(asdict(LockHolder("token", "other", process, "today"))))
    os.utime(lock, (time.time() - age_s, time.time() - age_s))


def test_a_held_lock_is_refused_and_a_released_one_is_free(tmp_path: Path) -> None:
    lock = acquire(tmp_path / "a fold", "first")
    assert lock is not None
    assert acquire(tmp_path / "a fold", "second") is None
    lock.release()
    assert list((tmp_path / "a fold").iterdir()) == []
    assert acquire(tmp_path / "a fold", "second") is not None


def test_a_dead_process_on_this_machine_is_stale_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, os; from pathlib import Path; from nnunetv2_dale.commands.lock import acquire; "
        "acquire(Path(sys.argv[1]), 'crashed'); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    assert (tmp_path / LOCK_NAME).exists()
    assert living_holder(tmp_path) is None
    assert acquire(tmp_path, "next") is not None


def test_a_reused_process_number_is_another_process(tmp_path: Path) -> None:
    _write(tmp_path, replace(ProcessIdentity.current(), started="1"))
    assert living_holder(tmp_path) is None
    _write(tmp_path, ProcessIdentity.current(), age_s=10 * STALE_AFTER_S)  # alive, however long ago it was refreshed
    assert living_holder(tmp_path) is not None


@pytest.mark.parametrize(("age_s", "held"), [(0, True), (STALE_AFTER_S - 60, True), (STALE_AFTER_S + 60, False)])
def test_another_machine_is_judged_by_its_signs_of_life(tmp_path: Path, age_s: float, held: bool) -> None:
    _write(tmp_path, ProcessIdentity("elsewhere/boot/1", 1, "1"), age_s)
    assert (living_holder(tmp_path) is not None) == held
    assert (acquire(tmp_path, "next") is None) == held


def test_an_unreadable_lock_counts_until_it_is_old(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).write_text('{"tok')
    assert acquire(tmp_path, "next") is None
    os.utime(tmp_path / LOCK_NAME, (0, 0))
    assert acquire(tmp_path, "next") is not None


def test_one_of_many_gets_a_stale_lock(tmp_path: Path) -> None:
    for attempt in range(20):
        folder = tmp_path / str(attempt)
        _write(folder, replace(ProcessIdentity.current(), started="1"))
        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(acquire, [folder] * 8, "abcdefgh"))
        owners = []
        for lock in filter(None, taken):
            try:
                lock.refresh()
                owners.append(lock)
            except LockLostError:  # took part in the race that the documentation describes
                pass
        assert len(owners) == 1


def test_who_lost_the_lock_is_told_and_leaves_the_new_one_alone(tmp_path: Path) -> None:
    lock = acquire(tmp_path, "first")
    assert lock is not None
    lock.refresh()
    _write(tmp_path, ProcessIdentity("elsewhere/boot/1", 1, "1"))
    with pytest.raises(LockLostError, match=LOCK_NAME):
        lock.refresh()
    lock.release()
    assert (tmp_path / LOCK_NAME).exists()


def test_what_is_being_made_is_refused_with_who_is_at_it(tmp_path: Path) -> None:
    target = tmp_path / ("a" * 250)
    with held(target, "some_command"):
        with pytest.raises(UserError, match=f"is being written by another some_command .*process {os.getpid()} on"):
            held(target, "some_command").__enter__()
        with held(tmp_path / "beside", "some_command"):
            pass
    with held(target, "some_command"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_long_run_shows_that_it_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refreshed = threading.Event()
    monkeypatch.setattr("nnunetv2_dale.commands.lock.HEARTBEAT_S", 0.01)
    monkeypatch.setattr(FoldLock, "refresh", lambda _: refreshed.set())
    with held(tmp_path / "target", "some_command"):
        assert refreshed.wait(60)
