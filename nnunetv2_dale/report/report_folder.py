"""The folder of a report: which one may be replaced, its files, and its JSON form (documented in docs/report.md)."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.atomic_output import is_empty_folder, new_folder, refuse_existing, refuse_irreplaceable
from nnunetv2_dale.nnunet_files.json_files import read_json, record_of
from nnunetv2_dale.pages.private_content import without_paths
from nnunetv2_dale.report.report_data import Report
from nnunetv2_dale.report.tables import latex_table, write_cases_csv, write_comparisons_csv

if TYPE_CHECKING:
    from nnunetv2_dale.report.build import BuiltReport

FORMAT = "nnunetv2_dale_report"
FORMAT_VERSION = 1


def check_output(output: Path, overwrite: bool) -> None:
    """Only a report may be replaced, and only when asked: `--overwrite` on a wrong folder must not delete it."""
    refuse_existing(output, overwrite=True)
    if not os.path.lexists(output) or is_empty_folder(output):
        return
    report = output / "report.json"
    if not report.is_file() or FORMAT not in report.read_text(encoding="utf-8", errors="replace")[:200]:
        raise UserError(f"{output} exists and is no report of this command; give another place with -o")
    if not overwrite:
        raise UserError(f"{output} already holds a report; give another place with -o, or --overwrite to replace it")
    refuse_irreplaceable(output)


def write_report(output: Path, report: Report, built: BuiltReport | None, source: Path | None) -> None:
    """Write the report; it appears under its name when it is complete.

    Args:
        built: what pictures are drawn from; None draws none.
        source: folder of an earlier report whose pictures are taken.
    """
    from nnunetv2_dale.report.page import render_report

    with new_folder(output, overwrite=True) as folder:  # what is there was checked before any work
        if built is not None and built.files and built.files[0].images:
            from nnunetv2_dale.report.overlays import write_overlays

            report = replace(report, overlays=write_overlays(built, folder))
        elif source is not None and report.overlays:
            _copy_overlays(report, source, folder)
        (folder / "report.json").write_text(to_json(report), encoding="utf-8")
        (folder / "report.html").write_text(render_report(report, folder), encoding="utf-8")
        (folder / "comparisons.tex").write_text(latex_table(report), encoding="utf-8")
        write_comparisons_csv(report, folder / "comparisons.csv")
        write_cases_csv(report, folder / "cases.csv")


def _copy_overlays(report: Report, source: Path, folder: Path) -> None:
    (folder / "overlays").mkdir()
    for file in {overlay.file for overlay in report.overlays}:
        if Path(file).parent != Path("overlays") or not (source / file).is_file():
            raise UserError(f"{source / file} is missing; keep the folder overlays beside report.json")
        shutil.copyfile(source / file, folder / file)


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
