"""`nnUNetv2_dale_corrupt_labels`: a copy of a dataset with label noise of a known kind and amount."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nnunetv2_dale.commands.command_line import UserError, run_command
from nnunetv2_dale.commands.command_parser import CommandParser
from nnunetv2_dale.commands.shared_flags import add_dataset, add_new_dataset, add_overwrite, add_processes, add_seed
from nnunetv2_dale.label_noise.dataset import TABLE_NAME, CopyPlan, amounts_in_words, mean_noisy_dice, write_noisy_copy
from nnunetv2_dale.label_noise.drawing import TOLERANCE, rank_cases
from nnunetv2_dale.label_noise.noise_model import KINDS, UNLABELLED, NoiseModel
from nnunetv2_dale.nnunet_files.raw_dataset import RawDataset, read_raw
from nnunetv2_dale.nnunet_files.splits import Splits, splits_in_use, validation_cases
from nnunetv2_dale.nnunet_files.target import NOISY_COPY, Target


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run_command(corrupt_labels_parser(), _corrupt, argv)


def _corrupt(arguments: argparse.Namespace) -> int:
    source = read_raw(arguments.d)
    names = [case.name for case in source.cases]
    splits = splits_in_use(source.folder, names, arguments.splits)
    clean = _clean_cases(splits, arguments)
    model = _model(source, arguments)
    ranking = rank_cases(names, clean, arguments.fraction, arguments.seed)
    if UNLABELLED in arguments.kind and ranking.wanted == len(ranking.names):
        raise UserError(
            f"no training case would keep its label: --fraction {arguments.fraction:g} of {ranking.wanted} cases; "
            "give a smaller one, for example --fraction 0.9"
        )
    plan = CopyPlan(
        source=source,
        target=Target.of_copy(source, arguments.new_id, NOISY_COPY),
        model=model,
        ranking=ranking,
        splits=splits,
        wanted_dice=arguments.dice,
        keep_closest=arguments.keep_closest,
        placement=arguments.link or "copy",
        overwrite=arguments.overwrite,
    )
    rows, calibration = write_noisy_copy(plan, arguments.np)
    mean = mean_noisy_dice(rows)
    changed, unchanged = sum(row.is_changed for row in rows), sum(bool(row.kind) and not row.is_changed for row in rows)
    print(
        f"{plan.target.folder}: {changed} of {len(rows)} cases corrupted, {len(clean)} kept clean for validation"
        + (f", {unchanged} drawn but left unchanged by the noise" if unchanged else "")
        + ("" if np.isnan(mean) or UNLABELLED in plan.model.kinds else f"; mean Dice of those drawn {mean:.4f}")
        + f"; see {TABLE_NAME}"
    )
    if calibration is not None:
        amounts = amounts_in_words(model, calibration.scale)
        print(f"for that Dice all amounts were multiplied by {calibration.scale:.4g}: {amounts}")
    if calibration is not None and not calibration.reached:
        print(f"the wanted Dice of {calibration.wanted:g} was not reached within {TOLERANCE}")
        return 1
    return 0


def _clean_cases(splits: Splits | None, arguments: argparse.Namespace) -> frozenset[str]:
    if splits is None and arguments.fold:
        raise UserError("--fold needs the folds: give --splits splits_final.json, or preprocess and split the dataset")
    of_all = range(len(splits)) if splits and arguments.splits else ()
    return validation_cases(splits or [], of_all if arguments.fold is None else arguments.fold)


def _model(source: RawDataset, arguments: argparse.Namespace) -> NoiseModel:
    kinds = tuple(arguments.kind)
    if UNLABELLED in kinds and (arguments.dice is not None or arguments.amount is not None):
        raise UserError("unlabelled takes neither --dice nor --amount; --fraction says how many cases lose their label")
    if arguments.dice is None and arguments.amount is None and UNLABELLED not in kinds:
        raise UserError("say how much noise: --dice for a mean Dice, or --amount in the unit of the kind (see --help)")
    if arguments.dice is not None and arguments.amount is not None and len(kinds) == 1:
        raise UserError("give --dice or --amount; with a mixture and --dice, the amounts say how the kinds compare")
    if arguments.dice is not None and not 0 < arguments.dice < 1:
        raise UserError(f"--dice lies between 0 and 1, got {arguments.dice:g}")
    if not 0 < arguments.fraction <= 1:
        raise UserError(f"--fraction is above 0 and at most 1, got {arguments.fraction:g}")
    amounts = arguments.amount or [KINDS[kind].default_amount for kind in kinds]
    if arguments.dice is not None and 0 in amounts:
        raise UserError("with --dice every amount must be above 0: all are multiplied by one factor")
    try:
        return NoiseModel(
            kinds=kinds,
            amounts=tuple(amounts),
            weights=tuple(arguments.weights or [1.0] * len(kinds)),
            seed=arguments.seed,
            classes=source.foreground_values,
            ignore_label=source.ignore_label_or_next if UNLABELLED in kinds else source.ignore_label,
            bias=arguments.bias,
            variance=arguments.variance,
            smoothing=arguments.smoothing,
        )
    except ValueError as error:
        raise UserError(str(error)) from error


def corrupt_labels_parser() -> CommandParser:
    """Build the parser of the command."""
    kinds = "\n".join(f"  {name:10} {kind.meaning}; {_amount(name)}" for name, kind in KINDS.items())
    parser = CommandParser(
        prog="nnUNetv2_dale_corrupt_labels",
        description="Copy a raw dataset under a new id, with noise of a known kind and amount in its training labels.\n"
        "The copy holds noisy labels (labelsTr), clean ones (labelsTr_clean), maps of changed voxels\n"
        f"(labelsTr_changed) and a table ({TABLE_NAME}).",
        epilog=f"kinds of noise:\n{kinds}",
    )
    add_dataset(parser, "nnUNet_raw")
    add_new_dataset(parser, old_spelling="-o")
    _add_noise(parser.add_argument_group("noise"))
    _add_cases(parser.add_argument_group("cases"))
    _add_output(parser.add_argument_group("output"))
    return parser


def _add_noise(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    kinds_help = "Kind of noise, see below; of several, each case draws one"
    add("--kind", nargs="+", required=True, choices=list(KINDS), metavar="KIND", help=kinds_help)
    dice_help = (
        "Find the amount at which noisy and clean labels have this Dice, of all foreground together and in the mean "
        f"over the corrupted cases with foreground, within {TOLERANCE}; exit with an error if there is none"
    )
    add("--dice", type=float, metavar="DICE", help=dice_help)
    add("--amount", type=float, nargs="+", metavar="A", help="Instead of --dice: the amount of each kind, in its unit")
    add(
        "--weights",
        type=float,
        nargs="+",
        metavar="W",
        help="Of a mixture: how often each kind is drawn. Default: equally",
    )
    add_seed(group, "the noise: the same one makes the same noise, whatever -np is")
    add("--bias", type=float, default=0.8, metavar="P", help="Kind boundary: probability that a step grows")
    variance_help = "Kind boundary: probability that a voxel at the contour changes in a step"
    add("--variance", type=float, default=0.05, metavar="P", help=variance_help)
    smoothing_help = "Kind boundary: Gaussian that smooths the walk at its end, in the smallest voxel sizes"
    add("--smoothing", type=float, default=1.0, metavar="SIGMA", help=smoothing_help)


def _add_cases(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    fraction_help = "Part of the cases that gets noise, of those that --fold leaves; a case that the noise leaves "
    fraction_help += "unchanged is replaced by another while there is one"
    add("--fraction", type=float, default=1.0, metavar="P", help=fraction_help)
    splits_help = (
        "Folds (splits_final.json) to go with the copy; given without --fold, the validation cases of all its folds "
        "stay clean. Default: the dataset's, if it has some"
    )
    add("--splits", type=Path, metavar="FILE", help=splits_help)
    add("--fold", type=int, nargs="+", metavar="FOLD", help="Validation cases of these folds keep clean labels")


def _add_output(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--link", choices=["hard", "symbolic"], help="Link images and clean labels instead of copying them")
    add("--keep_closest", action="store_true", help="Write the copy also where --dice is not reached (exit code 1)")
    add_overwrite(group, "the copy")
    add_processes(group, most=4)


def _amount(kind: str) -> str:
    """What the amount of a kind is, for the help."""
    if kind == UNLABELLED:
        return "takes no amount"
    highest = f" from 0 to {KINDS[kind].highest:g}" if KINDS[kind].highest <= 1 else ""
    return f"amount: {KINDS[kind].unit}{highest}"
