"""`nnUNetv2_dale_report`: compare result folders of nnU-Net and write the report."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from urllib.parse import quote

from nnunetv2_dale.commands.command_line import UserError, run_command
from nnunetv2_dale.commands.command_parser import CommandParser, add_old_spelling
from nnunetv2_dale.commands.shared_flags import (
    add_no_paths,
    add_no_pictures,
    add_output,
    add_overwrite,
    add_patients,
    add_processes,
    add_result_folders,
    add_seed,
    add_tau,
    at_least_one,
)
from nnunetv2_dale.report.build import ReportSettings, build_report
from nnunetv2_dale.report.report_data import Link, Report
from nnunetv2_dale.report.report_folder import check_output, read_report, report_without_paths, write_report


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit code is 1 where the report was written but a case that has a result is not in it."""
    return run_command(report_parser(), _report, argv)


def report_parser() -> CommandParser:
    """Build the parser of the command."""
    parser = CommandParser(
        prog="nnUNetv2_dale_report",
        description="Compare two or more result folders of nnU-Net, case by case. Writes one HTML page that needs no "
        "network, every number as JSON and CSV, and a LaTeX table. It works for any trainer, and with folds missing.",
    )
    add_result_folders(
        parser, "Result folders (nnUNet_results/DATASET/TRAINER__PLANS__CONFIG); the first is the baseline"
    )
    against = "Trainings of the baseline; the folders before it are trainings of one candidate. Two or more of each: "
    against += "then the report compares trainers, not models"
    parser.add_argument("--against", nargs="+", type=Path, default=[], metavar="FOLDER", help=against)
    add_output(parser, "Folder for the report")
    add_patients(parser, "statistics by patient")
    close = "Surfaces this close count as equal in the surface Dice"
    parser.add_argument("--tolerance_mm", type=_not_negative, default=2.0, metavar="MM", help=close)
    add_tau(parser, _share, 0.9)
    edge = "Edge of a fuzziness patch in voxels, less in small images as in training"
    parser.add_argument("--patch_size", type=at_least_one, default=16, metavar="N", help=edge)
    parser.add_argument(
        "--summary_only", action="store_true", help="Use summary.json alone: no masks, no surface metrics, no pictures"
    )
    add_processes(parser)
    parser.add_argument("--resamples", type=at_least_one, default=9999, metavar="N", help="Bootstrap resamples")
    add_seed(parser, "the bootstrap")
    link = parser.add_argument(
        "--page_link",
        nargs=2,
        action="append",
        default=[],
        metavar=("FILE", "TEXT"),
        help="A further page that the report links to at its top, with the words of the link; can be given again",
    )
    add_old_spelling(parser, link, "--link")
    again = "Draw the report again from its report.json. Of several reports: one page over their datasets"
    parser.add_argument("--from_json", nargs="+", type=Path, default=[], metavar="JSON", help=again)
    add_no_pictures(parser, "the report")
    add_no_paths(parser)
    add_overwrite(parser, "the report in the output folder")
    return parser


def _report(arguments: argparse.Namespace) -> int:
    output: Path = arguments.o
    check_output(output, arguments.overwrite)
    if arguments.from_json:
        if arguments.folders or arguments.against:
            raise UserError("give either result folders or --from_json, not both")
        sources = [file / "report.json" if file.is_dir() else file for file in arguments.from_json]
        reports = [read_report(file) for file in sources]
        if len(reports) > 1:
            if arguments.page_link:
                raise UserError("--page_link belongs to one report; leave it out, or give one --from_json")
            return _over_datasets(reports, output)
        source, report = sources[0], reports[0]
        report = replace(report, links=[*report.links, *_links(arguments)])
        write_report(output, _as_asked(report, arguments), None, source.parent)
    else:
        built = build_report(arguments.folders, _settings(arguments), _command(arguments), arguments.against)
        report = replace(built.report, links=_links(arguments))
        write_report(output, _as_asked(report, arguments), None if arguments.no_pictures else built, None)
    for remark in report.remarks:
        print(f"note: {remark}", file=sys.stderr)
    print(f"report of {output}: open {output / 'report.html'}")
    return _say_what_is_left_out(report)


def _over_datasets(reports: Sequence[Report], output: Path) -> int:
    from nnunetv2_dale.report.over_datasets import write_over_datasets

    write_over_datasets(reports, output)
    print(f"report over {len(reports)} reports: open {output / 'report.html'}")
    return 0


def _as_asked(report: Report, arguments: argparse.Namespace) -> Report:
    if arguments.no_pictures:
        report = replace(report, overlays=[])
    if not arguments.no_paths:
        return report
    files = [Path(word).absolute() for word in shlex.split(report.command)[1:]]  # options do no harm
    return report_without_paths(report, {*files, *(folder for file in files for folder in file.parents)})


def _say_what_is_left_out(report: Report) -> int:
    """Name every case that has a result and is not compared; 1 if there is one, else 0."""
    if not report.excluded:
        return 0
    number = len(report.excluded)
    those, them = ("case is", "it") if number == 1 else ("cases are", "them")
    print(f"{number} {those} not compared, because not every folder has a result of {them}:", file=sys.stderr)
    by_folders: dict[tuple[str, ...], list[str]] = {}
    for item in report.excluded:
        by_folders.setdefault(item.missing_from, []).append(item.case)
    for folders, cases in by_folders.items():
        print(f"  not in {', '.join(folders)}: {', '.join(cases)}", file=sys.stderr)
    print("finish the missing validations, or choose folds that every folder has (-f)", file=sys.stderr)
    return 1


def _settings(arguments: argparse.Namespace) -> ReportSettings:
    given = {field.name: getattr(arguments, field.name) for field in fields(ReportSettings) if field.name in arguments}
    folds = None if arguments.f is None else tuple(arguments.f)
    return ReportSettings(folds=folds, processes=arguments.np, **given)


def _links(arguments: argparse.Namespace) -> list[Link]:
    return [
        Link(text, quote(Path(os.path.relpath(file, arguments.o)).as_posix())) for file, text in arguments.page_link
    ]


def _command(arguments: argparse.Namespace) -> str:
    """Return the call as it can be typed again, but for the place of the output and the number of processes."""
    words = ["nnUNetv2_dale_report", *(str(folder) for folder in arguments.folders)]
    if arguments.against:
        words += ["--against", *(str(folder) for folder in arguments.against)]
    for name in ("references", "images", "patients"):
        if getattr(arguments, name) is not None:
            words += [f"--{name}", str(getattr(arguments, name))]
    if arguments.f:
        words += ["-f", *arguments.f]
    for name in ("tolerance_mm", "tau", "patch_size", "resamples", "seed"):
        value = getattr(arguments, name)
        if value != getattr(ReportSettings, name):
            words += [f"--{name}", str(value)]
    words += [f"--{name}" for name in ("summary_only", "no_pictures", "no_paths") if getattr(arguments, name)]
    return shlex.join(words)


def _not_negative(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text}")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0 and at most 1, got {text}")
    return value


if __name__ == "__main__":
    raise SystemExit(main())
