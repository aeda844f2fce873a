"""Pictures and masks (PNG, JPEG, BMP, TIFF) as arrays, in whatever way they were saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.convert.extras import require
from nnunetv2_dale.nnunet_files.volume_reading import require_whole

if TYPE_CHECKING:
    from PIL.Image import Image

_MAX_GREY_DIFFERENCE = 24  # between the channels of a grey picture that was saved as lossy colour
_LOSSY_FORMATS = ("JPEG", "MPO", "WEBP")
_ORIENTATION_TAG = 0x0112
_TIFF_BITS_TAG = 258
_MOST_COLOURS = 4
_ONE_VALUE = "expected one value per class, the same in all files"
DEEP_MODES = ("F", "I")  # do not fit into PNG


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
        if picture.mode in DEEP_MODES:
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


def _has_deep_colours(picture: Image) -> bool:
    """Whether the file has several channels of 16 bits, which Pillow cuts to 8."""
    if picture.mode.startswith("I") or picture.mode in DEEP_MODES:
        return False
    raw_modes = [str(tile[3]) for tile in getattr(picture, "tile", [])]
    tiff_bits = getattr(picture, "tag_v2", {}).get(_TIFF_BITS_TAG, ())
    return any(";16" in mode for mode in raw_modes) or any(bits > 8 for bits in tiff_bits)


def _upright(picture: Image) -> Image:
    """The picture as viewers and annotation tools show it: turned as the camera's orientation tag says."""
    turned: Image = require("PIL.ImageOps").exif_transpose(picture)
    return turned


def is_upright(path: Path) -> bool:
    """Say whether a picture is stored as it is shown."""
    with _opened(path) as picture:
        return int(picture.getexif().get(_ORIENTATION_TAG, 1)) == 1


def mode_of(path: Path) -> str:
    """Return Pillow's mode of a picture, from its header; empty where it cannot be read (reported when the case is)."""
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
