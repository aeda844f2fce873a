"""`nnUNetv2_dale_audit`: which labels are wrong, where and how, and a new dataset from what a person decides."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError, run_command
from nnunetv2_dale.commands.command_parser import CommandParser
from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.commands.lock import held
from nnunetv2_dale.commands.shared_flags import (
    add_dataset,
    add_new_dataset,
    add_no_paths,
    add_no_pictures,
    add_output,
    add_overwrite,
    add_processes,
    add_result_folders,
)
from nnunetv2_dale.nnunet_files.atomic_output import made_for
from nnunetv2_dale.nnunet_files.confidence_table import next_commands
from nnunetv2_dale.pages.private_content import Held


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command or its sub-command `apply`; see `run_command` for how they end."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["apply"]:
        return run_command(apply_parser(), _apply, words[1:])
    return run_command(audit_parser(), _audit, words)


def audit_parser() -> CommandParser:
    """Build the parser of an audit."""
    parser = CommandParser(
        prog="nnUNetv2_dale_audit",
        description="Find wrong labels with the cross-validation that is already there: each case was predicted by a "
        "network that never saw its label. Or before any training (-d), from labels and images alone. Writes a ranked "
        "list (JSON, CSV), maps, and a page to decide on each finding with the keyboard.",
        epilog="before any training:\n"
        "  nnUNetv2_dale_audit -d 4 -o AUDIT\n"
        "a new dataset from the decisions:\n"
        "  nnUNetv2_dale_audit apply AUDIT/decisions.csv -d 4 --new_id 104\n"
        "  nnUNetv2_dale_audit apply --help",
    )
    add_result_folders(parser, "Result folders (nnUNet_results/DATASET/TRAINER__PLANS__CONFIG), each a referee")
    add_dataset(parser, "nnUNet_raw: audit its labels without a network, in place of result folders", required=False)
    add_output(parser, "Folder for the audit")
    parser.add_argument(
        "--decisions",
        type=Path,
        nargs="+",
        default=(),
        metavar="CSV",
        help="Decisions of an earlier audit, of one person or several: accepted findings stay away, and all stand in "
        "the new table",
    )
    add_processes(parser)
    add_no_pictures(parser, "the page")
    add_no_paths(parser)
    add_overwrite(parser, "the audit in the output folder")
    parser.add_argument("--apply", type=Path, help=argparse.SUPPRESS)  # how `apply` was spelled at first, with -d
    return parser


def apply_parser() -> CommandParser:
    """Build the parser of `apply`."""
    parser = CommandParser(
        prog="nnUNetv2_dale_audit apply",
        description="Make a new dataset from the decisions on an audit's findings: without the excluded cases, with a "
        "draft for each label to fix. The audited dataset is not changed.",
        epilog="examples:\n  nnUNetv2_dale_audit apply AUDIT/decisions.csv -d 4 --new_id 104\n"
        "  nnUNetv2_dale_audit apply anna.csv ben.csv --audit AUDIT -d 4 --new_id 104",
    )
    tables = "Tables of decisions (CSV), one or several that are taken together; contradictions are refused"
    parser.add_argument("decisions", nargs="+", type=Path, metavar="DECISIONS", help=tables)
    add_dataset(parser, "nnUNet_raw")
    add_new_dataset(parser, old_spelling="-o")
    audit = "Folder of the audit. Default: the folder that DECISIONS is in"
    parser.add_argument("--audit", type=Path, metavar="FOLDER", help=audit)
    parser.add_argument(
        "--confidence",
        action="store_true",
        help="Write what the audit found as confidence.csv and confidenceTr, for nnUNetv2_dale_confidence; excluded "
        "cases stay, with weight 0",
    )
    add_overwrite(parser, "the new dataset")
    return parser


def _audit(arguments: argparse.Namespace) -> None:
    if arguments.apply is not None:
        _apply(_as_spelled_now(arguments))
        return
    _refuse_both(arguments)
    from nnunetv2_dale.audit.audit_task import dataset_task
    from nnunetv2_dale.audit.referees import audit_task
    from nnunetv2_dale.audit.run import AuditSettings, check_output, run_audit

    check_output(arguments.o, arguments.overwrite, arguments.decisions)
    settings = AuditSettings(
        decisions=tuple(arguments.decisions),
        processes=arguments.np,
        held=Held(pictures=not arguments.no_pictures, paths=not arguments.no_paths),
    )
    with made_for(arguments.o), held(arguments.o, "nnUNetv2_dale_audit"):
        check_output(arguments.o, arguments.overwrite, arguments.decisions)  # another may have ended meanwhile
        task = (
            dataset_task(arguments.d)
            if arguments.d
            else audit_task(arguments.folders, arguments.f, arguments.references, arguments.images)
        )
        audit = run_audit(task, arguments.folders, arguments.o, settings)
    expected = audit.expected
    for sentence in (*(each.sentence for each in audit.classes), *audit.missing):
        print(sentence)
    said = (
        f"about {expected['wrong_cases']:g} wrong label{'s' * (expected['wrong_cases'] != 1)} expected"
        if expected["judged_cases"]
        else "none of them could be judged"
    )
    print(f"{len(audit.cases)} cases, {said}; open {arguments.o / 'audit.html'}")


def _refuse_both(arguments: argparse.Namespace) -> None:
    """An audit by networks and one without take different inputs."""
    if arguments.d is None and not arguments.folders:
        raise UserError("give one or more result folders (nnUNet_results/DATASET/TRAINER__…), or a dataset with -d")
    if arguments.d and (arguments.folders or arguments.f or arguments.references or arguments.images):
        raise UserError("-d audits without a network and goes with no result folders, -f, --references or --images")


def _apply(arguments: argparse.Namespace) -> None:
    from nnunetv2_dale.audit.apply import apply_decisions

    audit = arguments.decisions[0].parent if arguments.audit is None else arguments.audit
    if not (audit / "audit.json").is_file():
        raise UserError(f"{audit} holds no audit (audit.json); give the audit's folder with --audit")
    confidence = arguments.confidence
    done = apply_decisions(arguments.decisions, audit, arguments.d, arguments.new_id, arguments.overwrite, confidence)
    for remark in done.remarks:
        print(remark)
    excluded = "with weight 0" if confidence else "excluded"
    fix = (
        f"{done.to_fix} to fix (see to_fix.csv and drafts); next: mend them, then" if done.to_fix else "0 to fix; next:"
    )
    print(
        f"{done.folder}: {counted(done.cases, 'case')}, {done.excluded} {excluded}, {fix} "
        + next_commands(done.folder, arguments.new_id)
    )


def _as_spelled_now(arguments: argparse.Namespace) -> argparse.Namespace:
    """`[AUDIT] --apply DECISIONS -d DATASET -o ID` in the words of `apply`."""
    if arguments.d is None:
        raise UserError("--apply needs the audited dataset: give its id or name with -d")
    if not str(arguments.o).isdecimal():
        raise UserError(f"with --apply, -o is the id of the new dataset, a number; got '{arguments.o}'")
    if len(arguments.folders) > 1:
        raise UserError("with --apply, give one folder: the audit's")
    return argparse.Namespace(
        decisions=[arguments.apply],
        d=arguments.d,
        new_id=int(str(arguments.o)),
        audit=arguments.folders[0] if arguments.folders else None,
        overwrite=arguments.overwrite,
        confidence=False,
    )


if __name__ == "__main__":
    raise SystemExit(main())
