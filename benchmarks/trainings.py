"""What the studies share: nnU-Net's folders, a training for one process, and rows that are added."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def use_workspace(workspace: Path) -> None:
    """Let nnU-Net, here and in its commands, work in a folder, with one process and without compiling."""
    for name in ("raw", "preprocessed", "results"):
        (workspace / name).mkdir(parents=True, exist_ok=True)
        os.environ[f"nnUNet_{name}"] = str(workspace / name)
    os.environ["nnUNet_compile"] = "f"  # noqa: SIM112 -- nnU-Net's names
    os.environ["nnUNet_def_n_proc"] = "1"  # noqa: SIM112


@contextmanager
def claimed(workspace: Path, name: str) -> Iterator[bool]:
    """Whether this process is the one that makes a training; another's lock ends with that process."""
    folder = workspace / "claims"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name.replace("/", "_").replace(" ", "_")).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = True
        except BlockingIOError:
            mine = False
        yield mine


def rows_of(file: Path) -> list[Row]:
    """What is stored, JSON lines; nothing without a file."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def add_missing(file: Path, runs: Iterable[Any], workspace: Path, train: Callable[[Any], Row]) -> Iterator[list[Row]]:
    """Store a row of each training that has none and that no other process makes; yields all rows after each.

    A training is a dataclass of what tells it from others, its row's "run", with a name for files.
    """
    from benchmarks.machine import made_here

    for run in runs:
        with claimed(workspace, run.name) as mine:
            if mine and run not in [type(run)(**row["run"]) for row in rows_of(file)]:
                add_row(file, train(run) | made_here())
                yield rows_of(file)


def add_row(file: Path, row: Row) -> None:
    """Store a row; several processes may do so at once."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lines:
        fcntl.flock(lines, fcntl.LOCK_EX)
        lines.write(json.dumps(row) + "\n")
