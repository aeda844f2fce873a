"""The results of a benchmark on disk: whole after every case, so that an interrupted run keeps what it has measured."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import Case
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.atomic_output import new_file, refuse_existing

Row = dict[str, Any]


class ResultsFile:
    """A JSON file of one row per case under `cases`, beside what holds for all; without a path nothing is written.

    With `overwrite` it may replace a file; with `resume` it starts from the rows of the file, if it exists. A UserError
    refuses to replace one, or to go on from one of another machine or of other settings.
    """

    def __init__(self, path: Path | None, header: Row, overwrite: bool = False, resume: bool = False) -> None:
        if resume and path is None:
            raise UserError("--resume needs the --json FILE to go on with; name it")
        self._path, self._header = path, header
        self._kept: list[Row] = []
        if path is not None and resume and path.exists():
            self._kept = _rows_of(path, header)
        elif path is not None:
            refuse_existing(path, overwrite)

    def measured(self, cases: Sequence[Case], measure: Callable[[Case], Row], like: Row) -> Iterator[Row]:
        """The row of every case, those of the file first hand and the others measured; written after each.

        A row of the file is taken where it says what `like` says.
        """
        rows: list[Row] = []
        for case in cases:
            rows.append(self._row_of(case, like) or (measure(case) | like))
            self._write(rows)
            yield rows[-1]

    def _row_of(self, case: Case, like: Row) -> Row | None:
        wanted = _as_read({"case": case.describe()} | like)
        for row in self._kept:
            if wanted.items() <= row.items():
                return row
        return None

    def _write(self, rows: Sequence[Row]) -> None:
        if self._path is None:
            return
        measured = {row["case"]["name"]: row for row in rows}
        # rows of the file keep their place, measured again or not; new ones come after them
        cases = [measured.pop(row["case"]["name"], row) for row in self._kept] + list(measured.values())
        # the first case once more at the top: the 2D tiny plans, what the targets are stated for
        report = self._header | {"variants": cases[0]["variants"], "cases": cases}
        write_results(self._path, report)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json FILE`, and `--overwrite` for it."""
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results and the machine here")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")


def write_results(path: Path, content: Row, overwrite: bool = True) -> None:
    """Write a file of results, whole or not at all."""
    with new_file(path, overwrite) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1) + "\n")


def _rows_of(path: Path, header: Row) -> list[Row]:
    try:
        found = json.loads(path.read_text())
        rows: list[Row] = found["cases"]
        stated = {key: found[key] for key in header}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no result of this benchmark to go on with ({error!r}); name another") from error
    for name in ("machine", "compile"):
        if _lasting(stated[name]) != _lasting(_as_read(header[name])):
            raise UserError(f"{path} was measured with {name} {stated[name]}, here it is {header[name]}; name another")
    return rows


def _lasting(value: Any) -> Any:
    """Without what differs from run to run on one machine."""
    return {k: v for k, v in value.items() if k != "load_average_at_start"} if isinstance(value, dict) else value


def _as_read(value: Any) -> Any:
    """As JSON gives it back: lists for tuples."""
    return json.loads(json.dumps(value))
