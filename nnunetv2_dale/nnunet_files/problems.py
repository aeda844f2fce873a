"""All that is wrong with a dataset, in one report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from nnunetv2_dale.commands.command_line import UserError

Read = TypeVar("Read")


@dataclass(frozen=True)
class Problem:
    """One thing the user has to put right: the file or folder, and what is wrong with it."""

    where: Path
    what: str

    def line(self, source: Path) -> str:
        """Return the problem as one line, with the path relative to `source` where it lies below it."""
        where = self.where.relative_to(source) if self.where.is_relative_to(source) else self.where
        return f"{where}: {self.what}"


class FileError(UserError):
    """A file that cannot be used: its name, then what is wrong with it and what to do; `problem` has the two apart."""

    def __init__(self, file: Path, what: str) -> None:
        super().__init__(file, what)  # both, so that it comes whole out of a worker process
        self.problem = Problem(file, what)

    def __str__(self) -> str:
        return f"{self.problem.where} {self.problem.what}"


class DatasetProblemsError(UserError):
    """A dataset has problems: the message lists all of them, sorted by file or folder, and nothing was written."""

    def __init__(self, problems: Sequence[Problem], source: Path) -> None:
        self.lines = sorted({problem.line(source) for problem in problems})
        count = f"{len(self.lines)} problem{'s' if len(self.lines) > 1 else ''}"
        super().__init__(f"nothing was written, because of {count}:\n  " + "\n  ".join(self.lines))


def refuse_problems(problems: Sequence[Problem], source: Path) -> None:
    """Raise a `DatasetProblemsError` where there is any problem."""
    if problems:
        raise DatasetProblemsError(problems, source)


def attempt(problems: list[Problem], path: Path, read: Callable[[], Read]) -> Read | None:
    """Return the result of `read`, or None with its `ValueError` noted as a problem of `path`."""
    try:
        return read()
    except FileError as error:
        problems.append(error.problem)
        return None
    except ValueError as error:
        problems.append(Problem(path, str(error)))
        return None
