"""Several trainings of one trainer: each has plans of its own name, under which nnU-Net keeps its results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.atomic_output import new_file
from nnunetv2_dale.nnunet_files.json_files import read_json_object

if TYPE_CHECKING:
    from nnunetv2_dale.benchmark.inputs import Folders


def repeated_plans(plans: Sequence[str], repeats: int) -> list[str]:
    """The plans of every training, all first ones before all second ones; with one training the plans themselves."""
    if repeats == 1:
        return list(plans)
    return [f"{name}_repeat{number}" for number in range(1, repeats + 1) for name in plans]


def write_repeated_plans(folders: Folders, plans: Sequence[str], repeats: int) -> None:
    """Write the plans of every training: copies that differ in the name alone and share the preprocessed data.

    Raises:
        UserError: such plans are there and say something else.
    """
    folder = folders.preprocessed / folders.dataset
    for name in plans if repeats > 1 else ():
        content = read_json_object(folder / f"{name}.json")
        for own in repeated_plans([name], repeats):
            file, wanted = folder / f"{own}.json", {**content, "plans_name": own}
            if not file.exists():
                with new_file(file) as unfinished:
                    unfinished.write_text(json.dumps(wanted, indent=4))
            elif read_json_object(file) != wanted:
                raise UserError(
                    f"{file} differs from {name}.json in more than its name; remove it, or take other plans"
                )
