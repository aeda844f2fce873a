"""`nnUNetv2_dale_audit`: which labels are wrong, where and how, and a new dataset from what a person decides."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError, run_command
from nnunetv2_dale.commands.shared_flags import (
    add_no_paths,
    add_no_pictures,
    add_overwrite,
    add_processes,
    add_result_folders,
)
from nnunetv2_dale.nnunet_files.atomic_output import refuse_existing, refuse_irreplaceable
from nnunetv2_dale.pages.private_content import Held


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `run_command` for how it ends."""
    return run_command(_parser(), _run, argv)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nnUNetv2_dale_audit",
        description="Find wrong labels with the cross-validation that is already there: each case was predicted by a "
        "network that never saw its label. Writes a ranked list (JSON, CSV), maps, and a page to decide on each "
        "finding with the keyboard. With --apply, makes a new dataset from the decisions.",
    )
    add_result_folders(
        parser,
        "result folders (nnUNet_results/DATASET/TRAINER__PLANS__CONFIG), each a referee; with --apply the folder of "
        "the audit, unless the decisions lie in it",
    )
    add = parser.add_argument
    add("-o", dest="output", required=True, help="[REQUIRED] folder for the audit; with --apply the new dataset's id")
    add(
        "--decisions",
        type=Path,
        metavar="CSV",
        help="decisions of an earlier audit: accepted findings stay away, and all stand in the new table",
    )
    add_processes(parser)
    add_no_pictures(parser, "the page")
    add_no_paths(parser)
    add("--apply", type=Path, metavar="CSV", help="make a new dataset from these decisions; needs -d")
    add("-d", dest="dataset", help="with --apply: id or name of the audited dataset in nnUNet_raw; it is not changed")
    add_overwrite(parser, "the audit that is in the output folder, or the new dataset,")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    if arguments.apply is not None:
        _apply(arguments)
        return
    if arguments.dataset is not None:
        raise UserError("-d belongs to --apply; to audit, give result folders")
    if not arguments.folders:
        raise UserError("give one or more result folders (nnUNet_results/DATASET/TRAINER__PLANS__CONFIG)")
    from nnunetv2_dale.audit.run import AuditSettings, run_audit

    output = Path(arguments.output)
    check_output(output, arguments.overwrite, arguments.decisions)
    settings = AuditSettings(
        folds=None if arguments.f is None else tuple(arguments.f),
        references=arguments.references,
        images=arguments.images,
        decisions=() if arguments.decisions is None else (arguments.decisions,),
        processes=arguments.np,
        held=Held(pictures=not arguments.no_pictures, paths=not arguments.no_paths),
    )
    audit = run_audit(arguments.folders, output, settings)
    expected = audit.expected
    for sentence in audit.missing:
        print(sentence)
    print(
        f"{len(audit.cases)} cases, about {expected['wrong_cases']:g} wrong labels expected; "
        f"open {output / 'audit.html'}"
    )


def _apply(arguments: argparse.Namespace) -> None:
    from nnunetv2_dale.audit.apply import apply_decisions

    if arguments.dataset is None:
        raise UserError("--apply needs the audited dataset: give its id or name with -d")
    if not arguments.output.isdecimal():
        raise UserError(f"with --apply, -o is the id of the new dataset, a number; got {arguments.output!r}")
    if len(arguments.folders) > 1:
        raise UserError("with --apply, give one folder: the audit's")
    folder = arguments.folders[0] if arguments.folders else arguments.apply.parent
    done = apply_decisions([arguments.apply], folder, arguments.dataset, int(arguments.output), arguments.overwrite)
    for remark in done.remarks:
        print(remark)
    print(
        f"{done.folder}: {done.cases} cases, {done.excluded} excluded, {done.to_fix} to fix (see to_fix.csv and "
        "drafts); next: mend them, then nnUNetv2_plan_and_preprocess"
    )


def check_output(output: Path, overwrite: bool, decisions: Path | None) -> None:
    """Only an audit may be replaced, only when asked, and nothing that a person did is lost with it.

    Raises:
        UserError: the folder must stay as it is.
    """
    refuse_existing(output, overwrite=True)  # an audit that may not be replaced has its own sentence
    refuse_irreplaceable(output)
    if not os.path.lexists(output) or (output.is_dir() and not any(output.iterdir())):
        return
    from nnunetv2_dale.audit.decision_files import read_lines
    from nnunetv2_dale.audit.decisions import is_filled_in
    from nnunetv2_dale.audit.findings import read_audit

    if not (output / "audit.json").is_file():
        raise UserError(f"{output} is there and holds no audit; give another place with -o")
    read_audit(output / "audit.json")
    if not overwrite:
        raise UserError(f"{output} already holds an audit; give another place with -o, or --overwrite to replace it")
    mine = output / "decisions.csv"
    given = decisions is not None and decisions.resolve() == mine.resolve()
    if mine.is_file() and not given and any(map(is_filled_in, read_lines(mine))):
        raise UserError(f"{mine} holds decisions that would be lost; move it, or give it with --decisions")
    foreign = [str(path) for path in _not_of_the_audit(output)]
    if foreign:
        raise UserError(f"{', '.join(foreign[:5])} would be lost with the old audit; move that to another folder")


def _not_of_the_audit(output: Path) -> list[Path]:
    """What others put into an audit's folder: tables of decisions under another name, labels they work on."""
    from nnunetv2_dale.audit.maps import NAMES

    own = {"audit.json", "audit.html", "audit.csv", "decisions.csv", "maps"}
    maps = tuple(f"_{name}.nii.gz" for name in NAMES)
    found = [path for path in output.iterdir() if path.name not in own]
    found += [path for path in (output / "maps").glob("*") if not path.name.endswith(maps)]
    return sorted(path for path in found if not path.name.startswith("."))  # a file browser's own


if __name__ == "__main__":
    raise SystemExit(main())
