"""2D datasets: PNG, JPEG, BMP and TIFF pictures and masks, in whatever way they were saved."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.convert.extras import require
from nnunetv2_dale.convert.label_values import BINARY, to_labels
from nnunetv2_dale.convert.plan import CaseTargets, SourceCase
from nnunetv2_dale.nnunet_files.problems import Problem, attempt
from nnunetv2_dale.nnunet_files.volume_reading import require_whole
from nnunetv2_dale.nnunet_files.volume_writing import written_whole

if TYPE_CHECKING:
    from PIL.Image import Image

_MAX_GREY_DIFFERENCE = 24  # between the channels of a grey picture that was saved as lossy colour
_LOSSY_FORMATS = ("JPEG", "MPO", "WEBP")
_ORIENTATION_TAG = 0x0112
_TIFF_BITS_TAG = 258
_MOST_COLOURS = 4
_ONE_VALUE = "expected one value per class, the same in all files"
_DEEP_MODES = ("F", "I")  # do not fit into PNG


@dataclass(frozen=True)
class PictureFormat:
    """2D pictures, written as PNG, or all as TIFF where one of them holds float values.

    Attributes:
        colour: three channels (RGB) are wanted; grey pictures are repeated. Else one channel: a colour picture whose
            channels agree is taken as grey, any other is a problem.
        label_map: value in the mask -> label.
        mask_threshold: see `to_labels`.
        resize_masks: bring a mask of another size but the same aspect ratio to its picture's size (nearest neighbour).
        has_mask_options: the recipe has flags for the last two, which a message may name.
    """

    colour: bool
    label_map: Mapping[int, int] = field(default_factory=lambda: dict(BINARY))
    mask_threshold: int | None = None
    resize_masks: bool = False
    has_mask_options: bool = False

    def file_ending(self, cases: Sequence[SourceCase]) -> str:
        """Return `.tif` if any picture holds floats or 32-bit integers, else `.png`."""
        require("PIL.Image")
        return ".tif" if any(_mode_of(path) in _DEEP_MODES for case in cases for path in case.images) else ".png"

    def num_image_files(self, case: SourceCase) -> int:
        """Return 1: nnU-Net's reader makes three channels of an RGB file."""
        return 1

    def convert(self, case: SourceCase, targets: CaseTargets | None) -> list[Problem]:
        """Convert a case, see `CaseFormat.convert`."""
        problems: list[Problem] = []
        picture = attempt(problems, case.images[0], lambda: read_picture(case.images[0], self.colour))
        label = case.label
        labels = attempt(problems, label, lambda: self._read_labels(label, picture)) if label is not None else None
        if targets is not None and picture is not None and not problems:
            _write_picture(targets.images[0], picture, case.images[0])
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


def read_picture(path: Path, colour: bool) -> NDArray[np.generic]:
    """Read the intensities of a picture; palettes are resolved, transparency is dropped.

    Returns:
        (H, W, 3) uint8 with `colour`; else (H, W) uint8, uint16 or float32.
    Raises:
        ValueError: unreadable, several frames, not finite, a colour picture where a grey one is expected, or colours of
            16 bits, of which every reader that nnU-Net uses drops the lower 8.
    """
    with _opened(path) as picture:
        if _has_deep_colours(picture):
            raise ValueError("is a colour picture of 16 bits per channel; save it with 8 bits, scaled as you want it")
        picture = _upright(picture)
        if picture.mode in _DEEP_MODES:
            grey = np.asarray(picture, dtype=np.float32)
        elif picture.mode.startswith("I;16"):
            grey = np.asarray(picture).astype(np.uint16)
        else:
            rgb = np.asarray(picture.convert("RGB"))
            if colour:
                return rgb
            spread = int(np.max(rgb.max(axis=2).astype(int) - rgb.min(axis=2)))
            if spread > _MAX_GREY_DIFFERENCE:
                raise ValueError(f"is a colour picture (channels differ by up to {spread}); a grey one is expected")
            return np.asarray(picture.convert("L")) if spread else rgb[..., 0]
    if not np.all(np.isfinite(grey)):
        raise ValueError("holds values that are not finite")
    if colour:
        raise ValueError("is a 16-bit or float grey picture; 8-bit colour is expected")
    return grey


def read_mask(path: Path) -> tuple[NDArray[np.generic], bool]:
    """Read the values of a mask file.

    Palette files: the palette's grey values if all used colours are grey (a black-and-white BMP), else the palette's
    indices (each class has its colour). Colour and transparency: the channels must agree; a mask drawn only in the
    alpha channel is found there.

    Returns:
        (H, W) values, and whether the file format is lossy.
    Raises:
        ValueError: unreadable, or colours without a palette.
    """
    with _opened(path) as opened:
        if _has_deep_colours(opened):
            raise ValueError("is a mask in colours of 16 bits; expected one value per class")
        lossy, picture = opened.format in _LOSSY_FORMATS, _upright(opened)
        if picture.mode == "1":
            return np.asarray(picture).astype(np.uint8), lossy
        if picture.mode == "P":
            rgb, indices = np.asarray(picture.convert("RGB")), np.asarray(picture)
            is_grey = bool(np.all(rgb[..., 0] == rgb[..., 1]) and np.all(rgb[..., 1] == rgb[..., 2]))
            if not is_grey and rgb[indices == 0].any():
                raise ValueError(f"is a mask whose background, value 0, has a colour ({_colours(rgb)}); {_ONE_VALUE}")
            return (rgb[..., 0] if is_grey else indices), lossy
        values = np.asarray(picture if picture.mode != "CMYK" else picture.convert("RGB"))
    if values.ndim == 2:
        return values, lossy
    alpha = values[..., -1] if values.shape[2] in (2, 4) else None
    colours = values[..., :-1] if alpha is not None else values
    if alpha is not None and np.ptp(colours) == 0 and np.ptp(alpha) > 0:
        return alpha, lossy
    if int(np.max(colours.max(axis=2).astype(int) - colours.min(axis=2))) > (_MAX_GREY_DIFFERENCE if lossy else 0):
        raise ValueError(f"is a mask in colours without a palette ({_colours(colours)}); {_ONE_VALUE}")
    return colours[..., 0], lossy


def _colours(pixels: NDArray[np.generic]) -> str:
    """The colours (R, G, B) of a picture (H, W, 3), the most frequent first."""
    found, counts = np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0, return_counts=True)
    shown = [str(tuple(found[number].tolist())) for number in np.argsort(-counts)[:_MOST_COLOURS]]
    more = [f"… {len(found)} in all"] if len(found) > _MOST_COLOURS else []
    return ", ".join(shown + more)


def _write_picture(target: Path, pixels: NDArray[np.generic], source: Path | None) -> None:
    """Write `pixels` without loss; a source file that already holds exactly them is copied."""
    if target.suffix == ".tif":
        import tifffile

        with written_whole(target):
            tifffile.imwrite(target, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")
        return
    wanted = "RGB" if pixels.ndim == 3 else "L"
    if source is not None and source.suffix.lower() == ".png" and _mode_of(source) == wanted and _is_upright(source):
        shutil.copyfile(source, target)
        return
    with written_whole(target):
        require("PIL.Image").fromarray(pixels).save(target)


def _has_deep_colours(picture: Image) -> bool:
    """Whether the file has several channels of 16 bits, which Pillow cuts to 8."""
    if picture.mode.startswith("I") or picture.mode in _DEEP_MODES:
        return False
    raw_modes = [str(tile[3]) for tile in getattr(picture, "tile", [])]
    tiff_bits = getattr(picture, "tag_v2", {}).get(_TIFF_BITS_TAG, ())
    return any(";16" in mode for mode in raw_modes) or any(bits > 8 for bits in tiff_bits)


def _upright(picture: Image) -> Image:
    """The picture as viewers and annotation tools show it: turned as the camera's orientation tag says."""
    turned: Image = require("PIL.ImageOps").exif_transpose(picture)
    return turned


def _is_upright(path: Path) -> bool:
    with _opened(path) as picture:
        return int(picture.getexif().get(_ORIENTATION_TAG, 1)) == 1


def _mode_of(path: Path) -> str:
    """Pillow's mode of a picture, from its header; empty where it cannot be read (reported when the case is)."""
    try:
        with _opened(path) as picture:
            return str(picture.mode)
    except ValueError:
        return ""


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    require_whole(path)
    try:
        with require("PIL.Image").open(path) as picture:
            if getattr(picture, "n_frames", 1) > 1 and picture.format not in _LOSSY_FORMATS:
                raise ValueError(f"holds {picture.n_frames} pictures; one is expected")
            yield picture
    except require("PIL.Image").DecompressionBombError as error:
        raise ValueError(
            f"is too large to be read at once ({' '.join(str(error).split()[:4])}); cut it into tiles first"
        ) from error
    except (OSError, SyntaxError) as error:
        raise ValueError(f"cannot be read as a picture ({' '.join(str(error).split())})") from error
