"""2D datasets: pictures and masks, written as nnU-Net reads them."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.convert.extras import require
from nnunetv2_dale.convert.label_values import BINARY, to_labels
from nnunetv2_dale.convert.picture_reading import DEEP_MODES, is_upright, mode_of, read_mask, read_picture
from nnunetv2_dale.convert.plan import CaseTargets, SourceCase
from nnunetv2_dale.nnunet_files.problems import Problem, attempt
from nnunetv2_dale.nnunet_files.volume_writing import written_whole


@dataclass(frozen=True)
class PictureFormat:
    """2D pictures, written as PNG, or all as TIFF where one of them holds float values."""

    # one file of three channels (RGB) is wanted, which nnU-Net's reader takes apart; grey pictures are repeated. Else
    # one channel: a colour picture whose channels agree is taken as grey, any other is a problem.
    colour: bool
    label_map: Mapping[int, int] = field(default_factory=lambda: dict(BINARY))  # value in the mask -> label
    mask_threshold: int | None = None  # see `to_labels`
    # bring a mask of another size but the same aspect ratio to its picture's size (nearest neighbour)
    resize_masks: bool = False
    has_mask_options: bool = False  # the recipe has flags for the last two, which a message may name

    def file_ending(self, cases: Sequence[SourceCase]) -> str:
        """Return `.tif` if any picture holds floats or 32-bit integers, else `.png`."""
        require("PIL.Image")
        return ".tif" if any(mode_of(path) in DEEP_MODES for case in cases for path in case.images) else ".png"

    def convert(self, case: SourceCase, targets: CaseTargets | None) -> list[Problem]:
        """Convert a case, see `CaseFormat.convert`."""
        problems: list[Problem] = []
        picture = attempt(problems, case.images[0], lambda: read_picture(case.images[0], self.colour))
        label = case.label
        labels = attempt(problems, label, lambda: self._read_labels(label, picture)) if label is not None else None
        if targets is not None and picture is not None and not problems:
            for target in targets.images:
                _write_picture(target, picture, case.images[0])
            if targets.label is not None and labels is not None:
                _write_picture(targets.label, labels, None)
        return problems

    def _read_labels(self, path: Path, picture: NDArray[np.generic] | None) -> NDArray[np.unsignedinteger[Any]]:
        mask, lossy = read_mask(path)
        if picture is not None and mask.shape != picture.shape[:2]:
            mask = self._resized(mask, picture.shape[:2])
        try:
            return to_labels(mask, self.label_map, lossy, self.mask_threshold)
        except ValueError as error:
            if not self.has_mask_options or self.mask_threshold is not None:
                raise
            raise ValueError(f"{error}; --mask_threshold says which grey values are foreground") from error

    def _resized(self, mask: NDArray[np.generic], shape: tuple[int, ...]) -> NDArray[np.generic]:
        sizes = f"the mask is {mask.shape[1]} x {mask.shape[0]} pixels, its picture {shape[1]} x {shape[0]}"
        if abs(mask.shape[0] * shape[1] - mask.shape[1] * shape[0]) > max(*mask.shape, *shape):
            raise ValueError(f"{sizes}: not even the same aspect ratio")
        if not self.resize_masks:
            advice = "; --resize_masks brings masks to their picture's size" if self.has_mask_options else ""
            raise ValueError(sizes + advice)
        rows = ((np.arange(shape[0]) + 0.5) * mask.shape[0] / shape[0]).astype(int)
        columns = ((np.arange(shape[1]) + 0.5) * mask.shape[1] / shape[1]).astype(int)
        resized: NDArray[np.generic] = mask[np.ix_(rows, columns)]
        return resized


def _write_picture(target: Path, pixels: NDArray[np.generic], source: Path | None) -> None:
    """Write `pixels` without loss; a source file that already holds exactly them is copied."""
    if target.suffix == ".tif":
        import tifffile

        with written_whole(target):
            tifffile.imwrite(target, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")
        return
    wanted = "RGB" if pixels.ndim == 3 else "L"
    if source is not None and source.suffix.lower() == ".png" and mode_of(source) == wanted and is_upright(source):
        shutil.copyfile(source, target)
        return
    with written_whole(target):
        require("PIL.Image").fromarray(pixels).save(target)


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
        colour=colour, mask_threshold=options.mask_threshold, resize_masks=options.resize_masks, has_mask_options=True
    )
