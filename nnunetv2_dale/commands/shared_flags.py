"""Flags that several commands have. Each stands here once, so that its name and its help are the same everywhere."""

from __future__ import annotations

import argparse
from argparse import _ActionsContainer
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nnunetv2_dale.commands.command_parser import add_old_spelling
from nnunetv2_dale.commands.worker_pool import usable_cores


def add_dataset(parser: _ActionsContainer, place: str, required: bool = True) -> None:
    """Add `-d`: a dataset that is there, as nnU-Net's own commands name it.

    Args:
        place: the variable of nnU-Net whose folder holds it, such as "nnUNet_raw".
    """
    parser.add_argument("-d", required=required, metavar="DATASET", help=f"Dataset ID or name, in {place}")


def add_new_dataset(parser: _ActionsContainer, old_spelling: str | None = None, required: bool = True) -> None:
    """Add `--new_id`: the number of a dataset that the command makes.

    Args:
        old_spelling: the flag that it had at first, if it had one; it stays, out of sight.
    """
    action = parser.add_argument(
        "--new_id", required=required, type=int, metavar="ID", help="ID of the new dataset, 1 to 999"
    )
    if old_spelling is not None:
        add_old_spelling(parser, action, old_spelling)


def add_output(parser: _ActionsContainer, what: str, required: bool = True, default: Path | None = None) -> None:
    """Add `-o`: the place of what the command writes; `what` is its help."""
    parser.add_argument("-o", type=Path, required=required, default=default, metavar="FOLDER", help=what)


def add_readers_target(parser: _ActionsContainer) -> None:
    """Add `--target`: which label several readers' become."""
    what = "Training label: the readers' vote (ties are background), STAPLE's estimate, or another reader at each visit"
    parser.add_argument("--target", choices=("majority", "staple", "random"), default="majority", help=what)


def add_folds(parser: _ActionsContainer, default: Sequence[str] | None = None) -> None:
    """Add `-f`: folds by number, or `all`; None stands for every fold that is there."""
    shown = "Folds" if default else "Folds. Default: all that are there"
    parser.add_argument("-f", nargs="+", default=default, metavar="FOLD", help=shown)


def add_plans(parser: _ActionsContainer, **options: Any) -> None:
    """Add `-p`: plans identifier; `options` are those of `add_argument`."""
    parser.add_argument("-p", **{"default": "nnUNetPlans", "metavar": "PLANS", "help": "Plans identifier", **options})


def add_device(parser: _ActionsContainer, default: str) -> None:
    """Add `-device`: what to train or predict on."""
    parser.add_argument("-device", choices=("cuda", "cpu", "mps"), default=default, help="Device that networks run on")


def add_seed(parser: _ActionsContainer, of: str) -> None:
    """Add `--seed`, 0 by default."""
    parser.add_argument("--seed", type=at_least_zero, default=0, metavar="N", help=f"Seed of {of}")


def add_patients(parser: _ActionsContainer, use: str, required: bool = False) -> None:
    """Add `--patients`: whose case is whose; `use` says what for."""
    what = f"Table with the columns case and patient: {use}"
    parser.add_argument("--patients", type=Path, required=required, metavar="CSV", help=what)


def add_tau(parser: _ActionsContainer, share: Callable[[str], float], default: float) -> None:
    """Add `--tau`: from which fuzziness on a patch is fuzzy."""
    what = "A patch is fuzzy where its fuzziness m, from 0 to 1, reaches this"
    parser.add_argument("--tau", type=share, default=default, metavar="TAU", help=what)


def add_result_folders(parser: _ActionsContainer, folders: str) -> None:
    """Add what names results and the files they were made of: `folders`, `-f`, `--references`, `--images`.

    Args:
        folders: help of the positional argument; it says what the order of the folders means.
    """
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help=folders)
    add_folds(parser)
    references = "Folder with the reference masks. Default: where summary.json says, then nnU-Net's own folders"
    parser.add_argument("--references", type=Path, metavar="FOLDER", help=references)
    images = "Folder with the images. Default: the one that belongs to the references, such as imagesTr to labelsTr"
    parser.add_argument("--images", type=Path, metavar="FOLDER", help=images)


def add_processes(parser: _ActionsContainer, most: int = 8) -> None:
    """Add `-np`: processes; by default one for each core that this process may use, at most `most`."""
    default = min(most, usable_cores())
    what = "Number of processes"
    if most > 1:
        what += f". Default: one for each core, at most {most}; here {default}"
    parser.add_argument("-np", type=at_least_one, default=default, metavar="N", help=what)


def add_overwrite(parser: _ActionsContainer, what: str) -> None:
    """Add `--overwrite`, without which nothing that exists is replaced."""
    parser.add_argument("--overwrite", action="store_true", help=f"Replace {what} if it exists")


def add_no_pictures(parser: _ActionsContainer, pages: str) -> None:
    """Add `--no_pictures`: no pixel of a patient in what is written.

    Args:
        pages: what has none then.
    """
    parser.add_argument("--no_pictures", action="store_true", help=f"Draw no picture of a patient in {pages}")


def add_no_paths(parser: _ActionsContainer) -> None:
    """Add `--no_paths`: no absolute path in pages and tables."""
    words = "Write no absolute path in HTML, JSON and CSV, only names of files; names of cases stay"
    parser.add_argument("--no_paths", action="store_true", help=words)


def at_least_one(text: str) -> int:
    """Read a whole number from 1 on: an argparse type."""
    return _at_least(1, text)


def at_least_zero(text: str) -> int:
    """Read a whole number from 0 on: an argparse type."""
    return _at_least(0, text)


def _at_least(lowest: int, text: str) -> int:
    if not text.isdecimal() or int(text) < lowest:
        raise argparse.ArgumentTypeError(f"expected a whole number from {lowest} on, got {text!r}")
    return int(text)
