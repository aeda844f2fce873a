"""Files that belong together."""

from __future__ import annotations

from pathlib import Path

from nnunetv2_dale.convert.layouts import case_name, files_by_stem, first_folder, pair_files
from nnunetv2_dale.nnunet_files.problems import Problem


def _touch(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    return folder


def test_case_names() -> None:
    assert case_name("IMD 002 (copy).v2") == "IMD_002_copy_v2"
    assert case_name("CVC-300ä1") == "CVC-300_1"


def test_pairs_and_everything_that_has_no_partner(tmp_path: Path) -> None:
    images = _touch(tmp_path / "images", "a.png", "b.JPG", "c.png", "Thumbs.db", ".hidden.png", "._b.jpg")
    masks = _touch(tmp_path / "masks", "a_mask.png", "b_mask.png", "d_mask.png")
    problems: list[Problem] = []
    pairs = pair_files([images], [masks], problems, image_of_label=lambda stem: stem.removesuffix("_mask"))
    assert pairs == [("a", images / "a.png", masks / "a_mask.png"), ("b", images / "b.JPG", masks / "b_mask.png")]
    assert problems == [
        Problem(images / "c.png", "has no label in masks"),
        Problem(masks / "d_mask.png", "has no image in images"),
    ]


def test_two_files_of_one_name(tmp_path: Path) -> None:
    problems: list[Problem] = []
    assert files_by_stem(_touch(tmp_path / "images", "a.jpg", "a.png"), (".png", ".jpg"), problems).keys() == {"a"}
    assert [problem.what for problem in problems] == ["has the same name as a.jpg; keep one of them"]


def test_an_empty_folder_and_a_missing_one(tmp_path: Path) -> None:
    problems: list[Problem] = []
    assert pair_files([_touch(tmp_path / "images")], [_touch(tmp_path / "masks")], problems) == []
    assert "holds no file" in problems[0].what
    assert first_folder([tmp_path / "img", tmp_path / "image"], problems) is None
    assert problems[1] == Problem(tmp_path / "img", "folder is missing or image")
