import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.demo import commands
from nnunetv2_dale.demo.commands import Command, program, run_logged


@pytest.fixture
def python(monkeypatch):
    """Commands of this interpreter: the "console script" is its own name."""
    monkeypatch.setattr(commands, "program", lambda name: sys.executable)

    def command(code: str, **progress) -> Command:
        return Command("try this", ("python", "-u", "-c", code), **progress)

    return command


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"


def wait_for(condition, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_output_goes_to_the_log_after_the_command_line(tmp_path, python):
    log = tmp_path / "a log.txt"
    seconds = run_logged(python("import sys; print('out'); print('err', file=sys.stderr)"), log, os.environ)
    first, *rest = log.read_text().splitlines()
    assert first.startswith("$ python -u -c")
    assert sorted(rest) == ["err", "out"]
    assert 0 < seconds < 60


def test_a_failure_names_the_log_and_quotes_its_last_lines_without_progress_bars(tmp_path, python):
    code = "for i in range(20): print('line', i)\nprint(' 50%|##   | 1/2 [00:01<00:01, 1.00s/it]')\nraise SystemExit(3)"
    with pytest.raises(UserError) as caught:
        run_logged(python(code), tmp_path / "log.txt", os.environ)
    message = str(caught.value)
    assert message.startswith("could not try this (exit code 3); ")
    assert str(tmp_path / "log.txt") in message
    assert [line.strip() for line in message.splitlines()[1:]] == [f"line {i}" for i in range(12, 20)]


def test_a_killed_command_is_named_by_its_signal(tmp_path, python):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(UserError, match="signal SIGKILL"):
        run_logged(python(code), tmp_path / "log.txt", os.environ)


def test_lines_that_match_advance_the_progress_bar(tmp_path, python, monkeypatch):
    made = MagicMock()
    monkeypatch.setattr(commands, "tqdm", made)
    code = "for i in range(3): print('Epoch', i); print('Epoch time: 1 s')"
    run_logged(python(code, counted="Epoch time:", total=3), tmp_path / "log.txt", os.environ)
    assert made.call_args.kwargs["total"] == 3
    assert made.return_value.__enter__.return_value.update.call_count == 3


def test_a_log_that_cannot_be_written_is_one_sentence(tmp_path, python):
    with pytest.raises(UserError, match=r"cannot write .* while running try this"):
        run_logged(python("print(1)"), tmp_path / "missing" / "log.txt", os.environ)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's device that is always full")
def test_a_full_disk_is_one_sentence_and_ends_the_command(tmp_path, python):
    log = tmp_path / "log.txt"
    log.symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"cannot write .*No space left"):
        run_logged(python("import time\nprint('x' * 10000)\ntime.sleep(60)"), log, os.environ)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for the processes in Linux's /proc")
def test_an_interrupt_ends_the_command_and_what_it_started(tmp_path, python):
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print('started', child.pid, flush=True)\ntime.sleep(600)"
    )
    log = tmp_path / "log.txt"

    def interrupt_when_started() -> None:
        wait_for(lambda: log.exists() and "started" in log.read_text())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt_when_started)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_logged(python(code), log, os.environ)
    thread.join()
    child = int(log.read_text().split()[-1])
    assert wait_for(lambda: not is_running(child))


def test_a_killed_demo_leaves_no_command_that_prints_on(tmp_path):
    """SIGKILL cannot be handled: the command ends by itself at the next line it prints."""
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom nnunetv2_dale.demo import commands\n"
        "commands.program = lambda name: sys.executable\n"
        "child = 'import os, time\\nprint(os.getpid(), flush=True)\\nwhile True: print(1, flush=True); time.sleep(1)'\n"
        "commands.run_logged(commands.Command('x', ('python', '-c', child)), Path('log.txt'), os.environ)"
    )
    demo = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    log = tmp_path / "log.txt"
    assert wait_for(lambda: log.exists() and log.read_text().splitlines()[-1:] == ["1"], seconds=30)
    demo.kill()
    demo.wait()
    child = next(int(line) for line in log.read_text().splitlines() if line.isdecimal())
    assert wait_for(lambda: not is_running(child))


def test_programs_are_those_of_this_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Path(program("nnUNetv2_train")).parent == Path(sys.executable).parent
    with pytest.raises(UserError, match="nnUNetv2_nonsense"):
        program("nnUNetv2_nonsense")
