"""Ctrl-C is for the process that started the workers; workers end with it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from nnunetv2_dale.commands.worker_pool import interrupts_held, worker_pool

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal masks")
PRELOADS = [(), ("nnunetv2_dale.commands.worker_pool",)]  # fresh interpreters, and a fork server


def _blocked_signals() -> set[int]:
    return {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])}


@pytest.mark.parametrize("preload", PRELOADS)
def test_workers_have_ctrl_c_blocked_from_their_first_instruction(preload: tuple[str, ...]) -> None:
    with worker_pool(2, os.getpid, preload=preload) as pool:
        assert all(signal.SIGINT in future.result() for future in [pool.submit(_blocked_signals) for _ in range(3)])
    assert signal.SIGINT not in _blocked_signals()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("other_thread", [False, True])
def test_a_ctrl_c_that_was_held_comes_after_the_block(other_thread: bool) -> None:
    reached = []

    def interrupted_block() -> None:
        released = threading.Event()
        taker = threading.Thread(target=released.wait)
        if other_thread:  # one that has SIGINT unblocked takes it, and Python tells the main thread at once
            taker.start()
        try:
            with interrupts_held():
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.05)
                reached.append(True)
        finally:
            released.set()

    with pytest.raises(KeyboardInterrupt):
        interrupted_block()
    assert reached


@pytest.mark.parametrize("preload", PRELOADS)
def test_an_interrupt_ends_the_work_at_once(preload: tuple[str, ...]) -> None:
    futures: list[Future[None]] = []

    def interrupted_work() -> None:
        with worker_pool(2, os.getpid, preload=preload) as pool:
            futures.extend(pool.submit(time.sleep, 300) for _ in range(4))
            while not futures[0].running():
                time.sleep(0.01)
            raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupted_work()
    assert time.monotonic() - start < 60
    assert all(future.done() for future in futures)


@pytest.mark.parametrize("preload", PRELOADS)
def test_workers_of_a_killed_process_end(tmp_path: Path, preload: tuple[str, ...]) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import os, time\n"
        "from nnunetv2_dale.commands.worker_pool import worker_pool\n"
        "if __name__ == '__main__':\n"
        f"    with worker_pool(2, os.getpid, preload={preload!r}) as pool:\n"
        "        print(*{pool.submit(os.getpid).result() for _ in range(8)}, flush=True)\n"
        "        pool.submit(time.sleep, 300).result()\n"
    )
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert workers
    assert psutil.wait_procs(workers, timeout=30)[1] == []


def test_an_interrupt_does_not_wait_for_slow_imports(tmp_path: Path) -> None:
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(100)\n")
    program = (
        "import os\n"
        "from nnunetv2_dale.commands.worker_pool import worker_pool\n"
        "print('ready', flush=True)\n"
        "with worker_pool(2, os.getpid, preload=['slow_to_import']):\n"
        "    pass\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command, cwd=tmp_path, start_new_session=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        time.sleep(0.5)
        os.killpg(parent.pid, signal.SIGINT)
        said = parent.communicate(timeout=50)[1]
    assert parent.returncode == -signal.SIGINT
    assert said.count("Traceback") == 1  # the parent's own
