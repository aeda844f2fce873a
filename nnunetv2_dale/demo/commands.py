"""Running one of nnU-Net's commands: its output in a log file, its progress on screen, and nothing left behind."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tqdm import tqdm

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.stop_signals import end_session

LAST_LINES = 8


@dataclass(frozen=True)
class Command:
    """One command line and how its progress is read from what it prints."""

    title: str  # what the user reads
    arguments: tuple[str, ...]  # program and arguments
    counted: str = ""  # regular expression of the lines that count as one step of progress
    total: int | None = None  # how many such lines there will be
    unit: str = "step"

    @property
    def line(self) -> str:
        """The command as one would type it."""
        return subprocess.list2cmdline(self.arguments)


def program(name: str) -> str:
    """Find a console script, preferably of this very environment.

    Raises:
        UserError: there is none.
    """
    beside = shutil.which(name, path=str(Path(sys.executable).parent))
    found = beside or shutil.which(name)
    if found is None:
        raise UserError(
            f"expected nnU-Net's command {name} beside {sys.executable} or on the PATH; install nnunetv2 there"
        )
    return found


def run_logged(command: Command, log: Path, environment: Mapping[str, str]) -> float:
    """Run a command to its end, its output going to `log`; returns the seconds it took.

    However this ends, no process of the command is left running. If this process is killed outright, the command ends
    at the next line it prints. The command's first argument is a console script of this environment, `environment` all
    of its variables.

    Raises:
        UserError: it failed, or its output cannot be written; the message names the log and has its last lines.
    """
    started = time.monotonic()
    arguments = [program(command.arguments[0]), *command.arguments[1:]]
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        with log.open("w", encoding="utf-8") as file:
            file.write(f"$ {command.line}\n")
            last_lines = _follow(process.stdout, file, command)
        code = process.wait()
    except OSError as error:
        raise UserError(f"cannot write {log} while running {command.title}: {error.strerror or error}") from error
    finally:
        end_session(process)
        process.stdout.close()
    if code != 0:
        ended = f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
        raise UserError(
            f"could not {command.title} ({ended}); the whole output is in {log}, and ends with:\n"
            + "\n".join(last_lines)
        )
    return time.monotonic() - started


def _follow(output: IO[str], log: IO[str], command: Command) -> Sequence[str]:
    """Copy the output to the log, count progress, and return the last lines that are not progress bars."""
    last_lines: deque[str] = deque(maxlen=LAST_LINES)
    counted = re.compile(command.counted) if command.counted else None
    with tqdm(total=command.total, desc=command.title, unit=command.unit, leave=False, disable=None) as bar:
        for line in output:
            log.write(line)
            log.flush()
            if line.strip() and "it/s]" not in line and "s/it]" not in line:
                last_lines.append("  " + line.rstrip())
            if counted and counted.search(line):
                bar.update()
            else:
                bar.refresh()
    return last_lines
