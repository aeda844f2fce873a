"""`nnUNetv2_dale_pseudo_labels`: trained folds and unlabelled images → judged predictions, and a dataset of them."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError, run_command
from nnunetv2_dale.commands.command_parser import CommandParser
from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.commands.shared_flags import (
    add_dataset,
    add_device,
    add_folds,
    add_new_dataset,
    add_output,
    add_overwrite,
)
from nnunetv2_dale.nnunet_files.confidence_table import next_commands

RESTS = ("confidence", "ignore", "leave_out")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `run_command` for how it ends."""
    return run_command(pseudo_labels_parser(), _judge, argv)


def pseudo_labels_parser() -> CommandParser:
    """Build the parser of the command."""
    parser = CommandParser(
        prog="nnUNetv2_dale_pseudo_labels",
        description="Predict images without labels with the folds of a training, say which Dice each class of each "
        "case is expected to have, and make a dataset of the labelled cases and these. What an expectation is worth is "
        "measured on the labelled cases that each fold held out.",
        epilog="examples:\n"
        "  nnUNetv2_dale_pseudo_labels RESULT_FOLDER -i imagesUn -d 27 -o judged --new_id 127\n"
        "  nnUNetv2_dale_pseudo_labels RESULT_FOLDER --predictions predicted -d 27 -o judged",
    )
    folders = "Result folders (nnUNet_results/DATASET/TRAINER__PLANS__CONFIG) with validated folds, each fold a judge"
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help=folders)
    parser.add_argument(
        "-i", type=Path, metavar="FOLDER", help="Folder of images without labels, CASE_0000, as in imagesTr"
    )
    predictions = "Instead of -i: judge what nnUNetv2_predict --save_probabilities wrote, a folder for each network"
    parser.add_argument("--predictions", type=Path, nargs="+", default=(), metavar="FOLDER", help=predictions)
    add_dataset(parser, "nnUNet_raw")
    add_output(parser, "Folder for predictions, expected_dice.csv and calibration.png")
    add_new_dataset(parser, required=False)
    keep = "A class of a case is kept as predicted from this expected Dice on; 0 keeps everything"
    parser.add_argument("--keep_from", type=float, default=0.8, metavar="DICE", help=keep)
    rest = (
        "What becomes of a case with another class: its voxels get a confidence (confidenceTr), those that are unsure "
        "get the ignore label, or the case is left out, as is any case without a kept class"
    )
    parser.add_argument("--rest", choices=RESTS, default="confidence", help=rest)
    add_folds(parser)
    checkpoint = "Name of the checkpoint of each fold"
    parser.add_argument("-chk", default="checkpoint_final.pth", metavar="CHECKPOINT", help=checkpoint)
    add_device(parser, "cuda")
    parser.add_argument(
        "--disable_tta", action="store_true", help="Predict without mirroring, as nnUNetv2_predict does"
    )
    add_overwrite(parser, "the output folder and the new dataset")
    return parser


def _judge(arguments: argparse.Namespace) -> None:
    if (arguments.i is None) == (not arguments.predictions):
        raise UserError("give either images (-i) or predictions (--predictions)")
    if arguments.new_id is not None and arguments.i is None:
        raise UserError("a new dataset needs the images; give them with -i, without --predictions")
    if not 0 <= arguments.keep_from <= 1:
        raise UserError(f"--keep_from is a Dice from 0 to 1, got {arguments.keep_from:g}")
    from nnunetv2_dale.nnunet_files.folders import dataset_folder, environment_folder
    from nnunetv2_dale.nnunet_files.raw_dataset import read_dataset
    from nnunetv2_dale.nnunet_files.target import PSEUDO_LABELS, Target
    from nnunetv2_dale.pseudo_labels.judges import read_judges
    from nnunetv2_dale.pseudo_labels.new_dataset import NewDataset, folds_of
    from nnunetv2_dale.pseudo_labels.run import Wanted, judge_all

    raw = environment_folder("nnUNet_raw")
    dataset = read_dataset(dataset_folder(raw, arguments.d))
    wanted = Wanted(arguments.o, arguments.keep_from, arguments.i, tuple(arguments.predictions), arguments.overwrite)
    judges = read_judges(
        arguments.folders, dataset, arguments.f, arguments.chk, arguments.device, not arguments.disable_tta
    )
    new = None
    if arguments.new_id is not None:
        target = Target(raw, arguments.new_id, dataset.folder.name.partition("_")[2], PSEUDO_LABELS)
        new = NewDataset(target, folds_of(dataset, judges[0].folder), arguments.rest, arguments.overwrite)
    verdicts, error = judge_all(judges, dataset, wanted, new)
    expected = statistics.mean(value for each in verdicts for value in each.expected.values())
    kept, dropped = sum(not each.doubtful for each in verdicts), sum(each.keeps_nothing for each in verdicts)
    print(
        f"{counted(len(verdicts), 'case')}, expected Dice {expected:.3f} in the mean (mean absolute error on the "
        f"labelled cases {error:.3f}), {kept} with every class kept, {dropped} with none; see "
        f"{arguments.o / 'expected_dice.csv'}"
    )
    if new is not None:
        print(f"{new.target.folder}: next: {next_commands(new.target.folder, arguments.new_id)}")
