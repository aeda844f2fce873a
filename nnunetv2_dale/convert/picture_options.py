"""Flags that every recipe for pictures with one class has."""

from __future__ import annotations

import argparse

from nnunetv2_dale.convert.picture_files import PictureFormat


def add_mask_options(parser: argparse.ArgumentParser) -> None:
    """Add `--mask_threshold` and `--resize_masks`; see `PictureFormat`."""
    parser.add_argument(
        "--mask_threshold",
        type=int,
        metavar="VALUE",
        help="Foreground is every mask value of at least VALUE. Default: 0/1, 0/255 and lossy 0/255 are recognised",
    )
    parser.add_argument(
        "--resize_masks",
        action="store_true",
        help="Bring masks of another size but the same aspect ratio to their picture's size (nearest neighbour)",
    )


def picture_format(options: argparse.Namespace, colour: bool) -> PictureFormat:
    """Return pictures with one class, read as those flags say."""
    return PictureFormat(
        colour=colour,
        mask_threshold=options.mask_threshold,
        resize_masks=options.resize_masks,
        has_mask_options=True,
    )
