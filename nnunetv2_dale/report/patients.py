"""The patient of each case: cases of one patient are no independent evidence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.csv_table import read_keyed_table


def read_patients(table: Path, case_names: Sequence[str]) -> list[str]:
    """Return the patient of each case, from a table with the columns `case` and `patient`.

    Raises:
        UserError: no such table, other columns, a case that is listed twice or has no patient.
    """
    rows = read_keyed_table(table, "case", ["patient"], case_names)
    without = [name for name in case_names if name not in rows or not rows[name]["patient"]]
    if without:
        raise UserError(f"{table} has no patient for case {without[0]} ({len(without)} of {len(case_names)} cases)")
    return [rows[name]["patient"] for name in case_names]
