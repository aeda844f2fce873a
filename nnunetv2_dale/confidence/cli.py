"""`nnUNetv2_dale_confidence`: what people know about their labels reaches the training."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError, run_command
from nnunetv2_dale.commands.command_parser import CommandParser
from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.commands.shared_flags import (
    add_dataset,
    add_new_dataset,
    add_overwrite,
    add_plans,
    add_processes,
    add_readers_target,
)
from nnunetv2_dale.nnunet_files.confidence_table import READERS, TABLE, next_commands
from nnunetv2_dale.nnunet_files.folders import environment_folder
from nnunetv2_dale.nnunet_files.preprocessed_confidence import READER_LABELS
from nnunetv2_dale.nnunet_files.raw_dataset import read_raw
from nnunetv2_dale.nnunet_files.target import OF_READERS, Target

DESCRIPTION = """\
Let a training know what people know about its labels: how far to trust each voxel, cases or classes that nobody
annotated, several readers. It lies in the raw dataset:

  confidence.csv          a line per case: case, weight (0 to 1), a column per class (1 annotated, 0 not)
  confidenceTr/CASE       a map per case, 0 to 1, named as in labelsTr
  ratersTr/READER/CASE    the labels of several readers; each visit of a case draws one
"""
EXAMPLES = """\
examples:
  nnUNetv2_dale_confidence check -d 4
  nnUNetv2_dale_confidence raters -i anna ben carl -d 4 --new_id 104
  nnUNetv2_plan_and_preprocess -d 104
  nnUNetv2_dale_confidence preprocess -d 104
  nnUNetv2_train 104 3d_fullres 0 -tr nnUNetTrainerConfidence
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command; returns its exit code."""
    return run_command(confidence_parser(), lambda arguments: arguments.run(arguments), argv)


def confidence_parser() -> CommandParser:
    """Build the parser of the command."""
    parser = CommandParser(prog="nnUNetv2_dale_confidence", description=DESCRIPTION, epilog=EXAMPLES)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, dest="command")
    check = commands.add_parser(
        "check",
        help="Is what is given right, and how much is there?",
        description="Read everything and tell what it says.",
    )
    add_dataset(check, "nnUNet_raw")
    add_processes(check)
    check.set_defaults(run=_check)
    _add_raters(commands)
    preprocess = commands.add_parser(
        "preprocess",
        help="Bring it to the grids of the preprocessed cases, after nnUNetv2_preprocess",
        description="Crop, transpose and resample maps and readers' labels as nnU-Net did the images. Run it after\n"
        "nnUNetv2_plan_and_preprocess, and again when anything changes.",
    )
    add_dataset(preprocess, "nnUNet_raw")
    configurations = "Configurations. Default: all that are preprocessed"
    preprocess.add_argument("-c", nargs="+", default=[], metavar="CONFIGURATION", help=configurations)
    add_plans(preprocess)
    add_processes(preprocess)
    add_overwrite(preprocess, "what was preprocessed before")
    preprocess.set_defaults(run=_preprocess)
    return parser


def _add_raters(commands: argparse._SubParsersAction[CommandParser]) -> None:
    raters = commands.add_parser(
        "raters",
        help="Labels of several readers become one dataset that says how far they agree",
        description="Compare label folders of the same images and make a dataset of them, with a page\n"
        "(readers.html) and a table (readers.csv). The confidence is the share of readers that agree with the label.",
    )
    folders = f"Folders of labels, one per reader and called after them. Default: those in {READERS} of the dataset"
    raters.add_argument("-i", nargs="+", type=Path, default=[], metavar="FOLDER", help=folders)
    add_dataset(raters, "nnUNet_raw")
    add_new_dataset(raters)
    add_readers_target(raters)
    add_overwrite(raters, "the new dataset")
    add_processes(raters, most=4)
    raters.set_defaults(run=_raters)


def _check(arguments: argparse.Namespace) -> None:
    from nnunetv2_dale.confidence.given import check_confidence

    dataset = read_raw(arguments.d)
    given, classes = check_confidence(dataset, arguments.np)
    weights = [given.table.weight(case.name) for case in dataset.cases]
    readers = counted(len(given.readers), "reader")
    print(f"{dataset.folder.name}: {counted(len(weights), 'case')}, {len(given.maps)} with a map, {readers}")
    print(f"weight below 1: {counted(sum(weight < 1 for weight in weights), 'case')}; of them 0: {weights.count(0)}")
    print(f"{'class':24}{'not annotated in':>18}{'voxels below 1':>16}{'mean confidence':>17}")
    for each in classes:
        shares = ("–", "–") if each.mean is None else (f"{each.doubted:.2%}", f"{each.mean:.3f}")
        print(f"{each.name:24}{counted(each.not_annotated, 'case'):>18}{shares[0]:>16}{shares[1]:>17}")


def _raters(arguments: argparse.Namespace) -> None:
    from nnunetv2_dale.readers.readers_dataset import write_readers_dataset

    source = read_raw(arguments.d)
    folders = arguments.i or sorted(path for path in (source.folder / READERS).glob("[!.]*") if path.is_dir())
    if not folders:
        raise UserError(f"{source.folder} has no {READERS}; give the folder of each reader with -i")
    target = Target(source.folder.parent, arguments.new_id, source.folder.name.partition("_")[2], OF_READERS)
    made = write_readers_dataset(source, folders, target, arguments.target, arguments.np, arguments.overwrite)
    kept = len(source.cases) - made.cases
    print(
        f"{made.folder}: {counted(made.cases, 'case')} of {len(folders)} readers"
        + (f", {counted(kept, 'that no reader has keeps its', 'that no reader has keep their')} label" if kept else "")
        + (
            f"; {counted(made.tied_voxels, 'voxel')} in {counted(made.tied_cases, 'case')} had no majority: background"
            if made.tied_voxels
            else ""
        )
        + f"; open readers.html in it; next: {next_commands(made.folder, arguments.new_id)}"
    )


def _preprocess(arguments: argparse.Namespace) -> None:
    from nnunetv2_dale.confidence.preprocess import preprocess_confidence

    dataset = read_raw(arguments.d)
    preprocessed = environment_folder("nnUNet_preprocessed") / dataset.folder.name
    done = preprocess_confidence(dataset, preprocessed, arguments.p, arguments.c, arguments.np, arguments.overwrite)
    for folder in done:
        maps, readers = list(folder.glob("*.b2nd")), list(folder.glob(f"{READER_LABELS}/*"))
        table = f", {TABLE}" if (folder / TABLE).is_file() else ""
        print(f"{folder}: {counted(len(maps), 'map')}, labels of {counted(len(readers), 'reader')}{table}")
