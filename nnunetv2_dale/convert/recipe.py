"""The command line of a conversion: one sub-command per recipe."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError, run_command
from nnunetv2_dale.commands.command_parser import CommandParser
from nnunetv2_dale.commands.shared_flags import add_new_dataset, add_output, add_overwrite, add_processes
from nnunetv2_dale.convert.dataset_writer import write_raw_dataset
from nnunetv2_dale.convert.plan import DatasetPlan, Facts
from nnunetv2_dale.convert.splits import add_splits_command
from nnunetv2_dale.convert.unlabelled_cases import add_unlabelled_command
from nnunetv2_dale.nnunet_files.confidence_table import next_commands
from nnunetv2_dale.nnunet_files.target import CONVERSION, Target, default_root

_PROGRAM = "nnUNetv2_dale_convert"
DESCRIPTION = """\
Make a dataset for nnU-Net out of files that you have. Nothing is downloaded. Your files stay as they are.

Choose a RECIPE below: a public dataset by its name, or nifti_pairs for your own volumes.
-i is the folder that holds your files. --new_id is the number of the new dataset, from 1 to 999.
The new dataset is put into the folder nnUNet_raw. If a file is damaged or a label is missing,
all such problems are listed and nothing is written.
"""
EXAMPLES = """\
examples:
  your own volumes (NIfTI, NRRD or MHA): images in OURS/scans, labels of the same names in OURS/masks
    nnUNetv2_dale_convert nifti_pairs -i OURS --new_id 510 --images scans --labels masks --classes liver --channels CT
  a task of the Medical Segmentation Decathlon, as it was downloaded
    nnUNetv2_dale_convert nifti_pairs -i Task09_Spleen --new_id 509 --name Spleen
  a public dataset of volumes
    nnUNetv2_dale_convert btcv -i RawData --new_id 502
  a public dataset of pictures (PNG, JPEG or BMP)
    nnUNetv2_dale_convert mosmed_plus -i MosMedDataPlus --new_id 503
  a public dataset of arrays (.h5 or .npz)
    nnUNetv2_dale_convert left_atrium -i LeftAtrium --new_id 504
  folds by patient, for a dataset that is in nnUNet_raw already
    nnUNetv2_dale_convert splits -d 510 --patients patients.csv
  images without labels, beside the labelled cases of a dataset that is in nnUNet_raw already
    nnUNetv2_dale_convert unlabelled -d 510 -i imagesUn --new_id 511

Each recipe has a page. It shows which files are expected, the classes, the split and the licence:
    nnUNetv2_dale_convert btcv --help
"""


@dataclass(frozen=True)
class Recipe:
    """One public dataset."""

    command: str  # the sub-command
    dataset_name: str  # the default name after `Dataset501_`
    facts: Facts  # the dataset's page
    # finds the cases below a source folder, with the recipe's own flags
    plan: Callable[[Path, argparse.Namespace], DatasetPlan]
    add_options: Callable[[argparse.ArgumentParser], None] = lambda parser: None  # adds those flags
    # what follows `--new_id`, a line each; more than the plain call where a recipe needs it
    examples: tuple[str, ...] = ("",)


def run_convert(recipes: Sequence[Recipe], argv: Sequence[str] | None = None) -> int:
    """Run `nnUNetv2_dale_convert` over `recipes`; returns its exit code."""
    return run_command(recipe_parser(recipes), lambda arguments: arguments.run(arguments), argv)


def _convert(arguments: argparse.Namespace) -> None:
    recipe: Recipe = arguments.recipe
    target = Target(arguments.o or default_root(), arguments.new_id, arguments.name, CONVERSION)
    if not arguments.i.is_dir():
        raise UserError(f"{arguments.i} is not a folder; give the folder that holds the dataset with -i")
    source = arguments.i.resolve()
    plan = recipe.plan(source, arguments)
    folder = write_raw_dataset(plan, source, target, arguments.np, recipe.command, arguments.overwrite)
    print(f"{folder} is ready; next: {next_commands(folder, arguments.new_id)}")


def recipe_parser(recipes: Sequence[Recipe]) -> CommandParser:
    """Build the parser: one sub-command for each recipe, `splits` and `unlabelled`."""
    parser = CommandParser(prog=_PROGRAM, description=DESCRIPTION, epilog=EXAMPLES)
    commands = parser.add_subparsers(title="recipes", metavar="RECIPE", required=True, dest="recipe_name")
    for recipe in recipes:
        page = recipe.facts.page()
        command = commands.add_parser(
            recipe.command, help=recipe.facts.title, description=page, epilog=_examples_of(recipe)
        )
        command.set_defaults(run=_convert, recipe=recipe)
        command.add_argument("-i", metavar="FOLDER", type=Path, required=True, help="Folder that holds the files")
        add_new_dataset(command, old_spelling="-d")
        add_output(command, "Folder to put the new dataset into. Default: what nnUNet_raw names", required=False)
        add_processes(command)
        command.add_argument("--name", metavar="NAME", default=recipe.dataset_name, help="Name of the new dataset")
        add_overwrite(command, "the dataset of the same id and name")
        recipe.add_options(command)
    add_splits_command(commands)
    add_unlabelled_command(commands)
    return parser


def _examples_of(recipe: Recipe) -> str:
    lines = [f"{_PROGRAM} {recipe.command} -i FOLDER --new_id 501 {words}".rstrip() for words in recipe.examples]
    return "\n  ".join([f"example{'s' * (len(lines) > 1)}:", *lines])
