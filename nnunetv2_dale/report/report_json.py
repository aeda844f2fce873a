"""A report's JSON form (documented in docs/report.md), written and read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.json_files import read_json, record_of
from nnunetv2_dale.pages.private_content import without_paths
from nnunetv2_dale.report.report_data import Report

FORMAT = "nnunetv2_dale_report"
FORMAT_VERSION = 1


def to_json(report: Report) -> str:
    """Return the report as JSON text: strict JSON, in which a number that is not defined is null."""
    content = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(report)}
    return json.dumps(_public_names(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def report_without_paths(report: Report, folders: Iterable[Path]) -> Report:
    """The same report, with the name at the end of every absolute path alone.

    Args:
        folders: known ones, see `without_paths`.
    """
    return record_of(Report, without_paths(json.loads(to_json(report)), folders))


def holds_paths(report: Report) -> bool:
    """Whether an absolute path stands in a report."""
    content = json.loads(to_json(report))
    return bool(without_paths(content, ()) != content)


def read_report(file: Path) -> Report:
    """Read a `report.json`.

    Raises:
        UserError: no such file, cut off, or of another form.
    """
    content = read_json(Path(file), "expected a whole report.json; make the report again")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{file} is no report of nnUNetv2_dale_report (its format is not {FORMAT!r})")
    if content.get("format_version") != FORMAT_VERSION:
        raise UserError(
            f"{file} has format version {content.get('format_version')}, this command reads {FORMAT_VERSION}; "
            "make the report again from the result folders"
        )
    try:
        return record_of(Report, content)
    except (TypeError, AttributeError) as error:
        raise UserError(f"{file} is no complete report: {type(error).__name__} {error}; make it again") from error


def _public_names(value: Any) -> Any:
    """`class_key` is `class` in JSON; a number that is not finite is null."""
    if isinstance(value, dict):
        return {"class" if key == "class_key" else key: _public_names(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_public_names(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
