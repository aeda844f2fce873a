"""Flags that every recipe for pictures with one class has."""

from __future__ import annotations

import argparse


def add_mask_options(parser: argparse.ArgumentParser) -> None:
    """`--mask-threshold` and `--resize-masks`; see `PictureFormat`."""
    parser.add_argument(
        "--mask-threshold",
        type=int,
        metavar="GREY",
        help="foreground is every mask value of at least GREY; default: 0/1, 0/255 and lossy 0/255 are recognised",
    )
    parser.add_argument(
        "--resize-masks",
        action="store_true",
        help="bring masks of another size but the same aspect ratio to their picture's size (nearest neighbour)",
    )
