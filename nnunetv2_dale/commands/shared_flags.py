"""Flags that several commands have. Each stands here once, so that its name and its help are the same everywhere."""

from __future__ import annotations

import argparse
from argparse import _ActionsContainer
from collections.abc import Sequence
from pathlib import Path

from nnunetv2_dale.commands.worker_pool import usable_cores


def add_dataset(parser: _ActionsContainer, place: str, required: bool = True) -> None:
    """`-d`: a dataset that is there, as nnU-Net's own commands name it.

    Args:
        place: the variable of nnU-Net whose folder holds it, such as "nnUNet_raw".
    """
    parser.add_argument("-d", required=required, metavar="DATASET", help=f"id or name of the dataset in {place}")


def add_new_dataset(parser: _ActionsContainer, flag: str) -> None:
    """The id of a dataset that the command makes."""
    parser.add_argument(flag, required=True, type=int, metavar="ID", help="id of the new dataset, 1 to 999")


def add_folds(parser: _ActionsContainer, default: Sequence[str] | None = None) -> None:
    """`-f`: folds by number, or `all`; None stands for every fold that is there."""
    shown = "all that are there" if default is None else " ".join(default)
    parser.add_argument("-f", nargs="+", default=default, metavar="FOLD", help=f"folds (default: {shown})")


def add_result_folders(parser: _ActionsContainer, folders: str) -> None:
    """What names cross-validation results and the files they were made of: `folders`, `-f`, `--references`, `--images`.

    Args:
        folders: help of the positional argument; it says what the order of the folders means.
    """
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help=folders)
    add_folds(parser)
    references = "folder with the reference masks (default: where summary.json says, then nnU-Net's own folders)"
    parser.add_argument("--references", type=Path, metavar="FOLDER", help=references)
    images = "folder with the images (default: the one that belongs to the references, such as imagesTr to labelsTr)"
    parser.add_argument("--images", type=Path, metavar="FOLDER", help=images)


def add_processes(parser: _ActionsContainer, most: int = 8) -> None:
    """`-np`: cases at once; by default one for each core that this process may use, at most `most`."""
    default = min(most, usable_cores())
    parser.add_argument(
        "-np", type=at_least_one, default=default, metavar="N", help="cases at once (default here: %(default)s)"
    )


def add_overwrite(parser: _ActionsContainer, what: str) -> None:
    """`--overwrite`, without which nothing that exists is replaced."""
    parser.add_argument("--overwrite", action="store_true", help=f"replace {what} if it exists")


def add_no_pictures(parser: _ActionsContainer, pages: str) -> None:
    """`--no_pictures`: no pixel of a patient in what is written.

    Args:
        pages: what has none then.
    """
    parser.add_argument("--no_pictures", action="store_true", help=f"no picture of a patient in {pages}")


def add_no_paths(parser: _ActionsContainer) -> None:
    """`--no_paths`: no absolute path in pages and tables."""
    words = "no absolute path in HTML, JSON and CSV, only names of files; names of cases stay"
    parser.add_argument("--no_paths", action="store_true", help=words)


def at_least_one(text: str) -> int:
    """An argparse type: a whole number from 1 on."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {text}")
    return value
