"""The folder of a report: which one may be replaced, and all files in it."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.atomic_output import is_empty_folder, new_folder, refuse_existing, refuse_irreplaceable
from nnunetv2_dale.report.build import BuiltReport
from nnunetv2_dale.report.report_data import Report
from nnunetv2_dale.report.report_json import FORMAT, to_json
from nnunetv2_dale.report.tables import latex_table, write_cases_csv, write_comparisons_csv


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
