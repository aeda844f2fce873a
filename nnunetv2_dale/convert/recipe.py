"""The command line of a conversion: one sub-command per recipe."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError, run_command
from nnunetv2_dale.commands.shared_flags import add_new_dataset, add_overwrite, add_processes
from nnunetv2_dale.convert.patient_splits import add_splits_command
from nnunetv2_dale.convert.plan import DatasetPlan, Facts
from nnunetv2_dale.convert.raw_dataset import write_raw_dataset
from nnunetv2_dale.nnunet_files.target import Target, default_root

_PROGRAM = "nnUNetv2_dale_convert"


def no_options(parser: argparse.ArgumentParser) -> None:
    """A recipe without flags of its own."""


@dataclass(frozen=True)
class Recipe:
    """One public dataset.

    Attributes:
        command: the sub-command.
        dataset_name: the default name after `Dataset501_`.
        facts: the dataset's page.
        plan: finds the cases below a source folder, with the recipe's own flags.
        add_options: adds those flags.
    """

    command: str
    dataset_name: str
    facts: Facts
    plan: Callable[[Path, argparse.Namespace], DatasetPlan]
    add_options: Callable[[argparse.ArgumentParser], None] = no_options


def convert(
    recipe: Recipe,
    source: Path,
    target: Target,
    options: argparse.Namespace,
    processes: int = 1,
    overwrite: bool = False,
) -> Path:
    """Run `recipe` on `source`; see `write_raw_dataset` for what is written and refused."""
    if not source.is_dir():
        raise UserError(f"{source} is not a folder; give the folder that holds the dataset with -i")
    source = source.resolve()
    return write_raw_dataset(recipe.plan(source, options), source, target, processes, recipe.command, overwrite)


def run_convert(recipes: Sequence[Recipe], argv: Sequence[str] | None = None) -> int:
    """The command `nnUNetv2_dale_convert` over `recipes`; returns its exit code."""
    return run_command(_parser(recipes), lambda arguments: arguments.run(arguments), argv)


def _command(arguments: argparse.Namespace) -> None:
    recipe: Recipe = arguments.recipe
    target = Target(arguments.o or default_root(), arguments.d, arguments.name or recipe.dataset_name)
    folder = convert(recipe, arguments.i, target, arguments, arguments.np, arguments.overwrite)
    print(f"{folder} is ready; next: nnUNetv2_plan_and_preprocess -d {arguments.d} --verify_dataset_integrity")


def _parser(recipes: Sequence[Recipe]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Convert a public dataset, as it was downloaded, to an nnU-Net raw dataset. "
        "'RECIPE --help' shows a dataset's page: source, licence, classes, split, expected files.",
    )
    commands = parser.add_subparsers(metavar="RECIPE", required=True, dest="recipe_name")
    for recipe in recipes:
        page = recipe.facts.page()
        command = commands.add_parser(
            recipe.command,
            help=recipe.facts.title,
            description=page,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=_command, recipe=recipe)
        command.add_argument("-i", metavar="SOURCE", type=Path, required=True, help="folder of the downloaded dataset")
        add_new_dataset(command, "-d")
        command.add_argument("-o", metavar="FOLDER", type=Path, help="where to put it; default: nnUNet_raw")
        add_processes(command)
        command.add_argument("--name", help=f"name of the dataset after its id; default: {recipe.dataset_name}")
        add_overwrite(command, "the dataset of the same id and name")
        recipe.add_options(command)
    add_splits_command(commands)
    return parser
