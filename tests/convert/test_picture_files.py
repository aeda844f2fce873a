"""Pictures and masks in all the ways they are saved."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from PIL import Image
from skimage import io

from nnunetv2_dale.convert.picture_files import PictureFormat
from nnunetv2_dale.convert.picture_reading import read_mask, read_picture
from nnunetv2_dale.convert.plan import CaseTargets, SourceCase
from tests.convert.fixtures import SIZE, colour_picture, disc, save

MASK = disc(1)
GREY = np.random.default_rng(1).integers(0, 256, SIZE).astype(np.uint8)


def _convert(
    tmp_path: Path, picture: Path, mask: Path | None, case_format: PictureFormat
) -> tuple[list[str], np.ndarray | None, np.ndarray | None]:
    case = SourceCase("case", (picture,), mask)
    ending = case_format.file_ending([case])
    targets = CaseTargets((tmp_path / f"image{ending}",), tmp_path / f"label{ending}" if mask else None)
    problems = [problem.what for problem in case_format.convert(case, targets)]
    written = [io.imread(path) if path and path.is_file() else None for path in (targets.images[0], targets.label)]
    return problems, written[0], written[1]


def _palette(pixels: np.ndarray, colours: list[int]) -> Image.Image:
    picture = Image.fromarray(pixels).convert("L")
    picture.putpalette(colours)
    return picture


def test_colour_pictures_keep_their_pixels(tmp_path: Path) -> None:
    pixels = colour_picture(3)
    alpha = np.full((*SIZE, 1), 200, np.uint8)
    for name, content in {
        "a.png": pixels,
        "a.bmp": pixels,
        "rgba.png": np.concatenate([pixels, alpha], axis=2),
    }.items():
        assert_array_equal(read_picture(save(tmp_path / name, content), colour=True), pixels)


def test_a_palette_picture_becomes_its_colours(tmp_path: Path) -> None:
    _palette(MASK, [10, 20, 30, 200, 100, 50]).save(tmp_path / "a.png")
    expected = np.where(MASK[..., None] > 0, [200, 100, 50], [10, 20, 30])
    assert_array_equal(read_picture(tmp_path / "a.png", colour=True), expected)


def test_grey_where_colour_is_wanted_is_repeated_and_the_other_way_round(tmp_path: Path) -> None:
    repeated = np.repeat(GREY[..., None], 3, axis=2)
    assert_array_equal(read_picture(save(tmp_path / "grey.png", GREY), colour=True), repeated)
    assert_array_equal(read_picture(save(tmp_path / "rgb.png", repeated), colour=False), GREY)
    with pytest.raises(ValueError, match="colour picture"):
        read_picture(save(tmp_path / "colour.png", colour_picture(1)), colour=False)


def test_16_bit_and_float_pictures(tmp_path: Path) -> None:
    deep = GREY.astype(np.uint16) * 200
    mask = save(tmp_path / "mask.png", 255 * MASK)
    problems, image, label = _convert(tmp_path, save(tmp_path / "a.png", deep), mask, PictureFormat(colour=False))
    assert problems == []
    assert_array_equal(image, deep)
    floats = (GREY / 7).astype(np.float32)
    problems, image, label = _convert(tmp_path, save(tmp_path / "a.tif", floats), mask, PictureFormat(colour=False))
    assert problems == []
    assert_array_equal(image, floats)  # a float dataset is written as TIFF, losslessly
    assert_array_equal(label, MASK)
    floats[0, 0] = np.nan
    problems, image, _ = _convert(tmp_path, save(tmp_path / "nan.tif", floats), mask, PictureFormat(colour=False))
    assert "not finite" in problems[0]


def test_masks_of_every_kind_give_the_same_labels(tmp_path: Path) -> None:
    white = 255 * MASK
    clear = np.zeros((*SIZE, 4), np.uint8)
    clear[..., 3] = white
    opaque = np.concatenate([np.repeat(white[..., None], 3, axis=2), np.full((*SIZE, 1), 255, np.uint8)], axis=2)
    paths = [
        save(tmp_path / "01.png", MASK),
        save(tmp_path / "0255.png", white),
        save(tmp_path / "bit.png", MASK.astype(bool)),
        save(tmp_path / "bit.bmp", MASK.astype(bool)),
        save(tmp_path / "rgb.png", np.repeat(white[..., None], 3, axis=2)),
        save(tmp_path / "rgba.png", opaque),
        save(tmp_path / "alpha_only.png", clear),
        save(tmp_path / "grey_alpha.png", opaque[..., 2:]),
        save(tmp_path / "lossy.jpg", white, quality=80),
        save(tmp_path / "lossy_rgb.jpg", np.repeat(white[..., None], 3, axis=2), quality=80),
        save(tmp_path / "lossy_as.png", np.asarray(Image.open(save(tmp_path / "l.jpg", white, quality=80)))),
    ]
    for name, colours in {"coloured.png": [0, 0, 0, 128, 0, 0], "black_white.png": [0, 0, 0, 255, 255, 255]}.items():
        _palette(MASK, colours).save(tmp_path / name)
        paths.append(tmp_path / name)
    picture = save(tmp_path / "picture.png", GREY)
    for path in paths:
        problems, _, label = _convert(tmp_path, picture, path, PictureFormat(colour=False))
        assert problems == [], path.name
        assert_array_equal(label, MASK, err_msg=path.name)


def test_a_palette_of_classes_keeps_its_indices(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    _palette(labels, [0, 0, 0, 128, 0, 0, 0, 128, 0]).save(tmp_path / "voc.png")
    assert_array_equal(read_mask(tmp_path / "voc.png")[0], labels)


def test_colours_without_a_palette_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="colours without a palette"):
        read_mask(save(tmp_path / "a.png", colour_picture(1)))


def test_colours_are_named_and_no_value_is_taken_for_a_class(tmp_path: Path) -> None:
    """cvat issues 6274 and 6446: colours differ by picture, the background has one."""
    red = np.array([[0, 0, 90], [250, 0, 0]], np.uint8)[MASK]
    with pytest.raises(ValueError, match=r"palette \(\(0, 0, 90\), \(250, 0, 0\)\); expected one value per class"):
        read_mask(save(tmp_path / "a.png", red))
    _palette(MASK, [0, 0, 90, 250, 0, 0]).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match=r"value 0, has a colour \(\(0, 0, 90\), \(250, 0, 0\)\)"):
        read_mask(tmp_path / "b.png")


def test_sizes_that_differ(tmp_path: Path) -> None:
    picture = save(tmp_path / "a.png", GREY)
    double = save(tmp_path / "double.png", 255 * MASK.repeat(2, axis=0).repeat(2, axis=1))
    problems, *_ = _convert(tmp_path, picture, double, PictureFormat(colour=False))
    assert problems == ["the mask is 96 x 80 pixels, its picture 48 x 40"]
    problems, *_ = _convert(tmp_path, picture, double, PictureFormat(colour=False, has_mask_options=True))
    assert problems == [
        "the mask is 96 x 80 pixels, its picture 48 x 40; --resize_masks brings masks to their picture's size"
    ]
    problems, _, label = _convert(tmp_path, picture, double, PictureFormat(colour=False, resize_masks=True))
    assert problems == []
    assert_array_equal(label, MASK)
    turned = save(tmp_path / "turned.png", 255 * MASK.T)
    problems, *_ = _convert(tmp_path, picture, turned, PictureFormat(colour=False, resize_masks=True))
    assert problems == ["the mask is 40 x 48 pixels, its picture 48 x 40: not even the same aspect ratio"]


def test_unreadable_files_are_named_and_both_are_reported(tmp_path: Path) -> None:
    whole = save(tmp_path / "whole.png", colour_picture(1)).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("this is no picture")
    problems = PictureFormat(colour=True).convert(
        SourceCase("case", (tmp_path / "cut.png",), tmp_path / "text.png"), None
    )
    assert [problem.where.name for problem in problems] == ["cut.png", "text.png"]
    assert all("is damaged" in problem.what or "cannot be read as a picture" in problem.what for problem in problems)


def test_several_pictures_in_a_file(tmp_path: Path) -> None:
    pages = [Image.fromarray(GREY), Image.fromarray(GREY)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(ValueError, match="holds 2 pictures"):
        read_picture(tmp_path / "stack.tif", colour=False)


def test_a_png_that_is_right_is_copied(tmp_path: Path) -> None:
    picture = save(tmp_path / "a.png", GREY, compress_level=0)
    _convert(tmp_path, picture, None, PictureFormat(colour=False))
    assert (tmp_path / "image.png").read_bytes() == picture.read_bytes()


def test_colours_of_16_bits_are_refused_and_grey_ones_read_whole(tmp_path: Path) -> None:
    deep = (colour_picture(1).astype(np.uint16) * 4)[..., :3]
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb")
    tifffile.imwrite(tmp_path / "b.tif", np.moveaxis(deep, -1, 0), photometric="rgb", planarconfig="separate")
    _save_16_bit_png(tmp_path / "c.png", deep)
    for name in ("a.tif", "b.tif", "c.png"):
        with pytest.raises(ValueError, match="colour picture of 16 bits per channel; save it with 8 bits"):
            read_picture(tmp_path / name, colour=True)
        with pytest.raises(ValueError, match="mask in colours of 16 bits"):
            read_mask(tmp_path / name)
    grey = save(tmp_path / "grey.png", deep[..., 0])
    assert_array_equal(read_picture(grey, colour=False), deep[..., 0])


def _save_16_bit_png(path: Path, pixels: np.ndarray) -> None:
    """By hand: Pillow writes no colours of 16 bits."""

    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = part(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b""))


@pytest.mark.parametrize(("tag", "turns"), [(3, 2), (6, 3), (8, 1)])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_a_picture_is_turned_as_its_orientation_tag_says(tmp_path: Path, name: str, tag: int, turns: int) -> None:
    """As viewers and annotation tools do; 3 is half a turn, 6 a quarter clockwise, 8 a quarter the other way."""
    pixels = np.repeat(disc(3)[..., None] * np.uint8(200), 3, axis=2)
    shown = np.rot90(pixels, turns)
    exif = Image.Exif()
    exif[0x0112] = tag
    if name.endswith(".tif"):
        Image.fromarray(pixels).save(tmp_path / name, tiffinfo={0x0112: tag})
    else:
        Image.fromarray(pixels).save(
            tmp_path / name, exif=exif.tobytes(), **({"quality": 100} if "jpg" in name else {})
        )
    mask = save(tmp_path / "mask.png", shown[..., 0] // 200)
    assert np.abs(read_picture(tmp_path / name, colour=True).astype(int) - shown).max() <= 4
    problems, image, label = _convert(tmp_path, tmp_path / name, mask, PictureFormat(colour=True))
    assert problems == []
    assert np.abs(image.astype(int) - shown).max() <= 4  # as nnU-Net reads it
    assert_array_equal(label, shown[..., 0] // 200)
    assert_array_equal(read_mask(tmp_path / name)[0] > 100, shown[..., 0] > 100)


def test_a_picture_too_large_for_pillow_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = save(tmp_path / "a.png", colour_picture(1))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match=r"is too large to be read at once \(Image size \(1920 pixels\)"):
        read_picture(picture, colour=True)
