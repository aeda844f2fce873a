"""Volumes kept as bare arrays."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import SimpleITK
from numpy.testing import assert_array_equal

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.convert.array_files import ArrayFormat
from nnunetv2_dale.convert.plan import CaseTargets, SourceCase

IMAGE = np.random.default_rng(0).uniform(size=(3, 6, 6)).astype(np.float32)
LABEL = (np.arange(IMAGE.size).reshape(IMAGE.shape) % 2).astype(np.uint8)
LABELS = {0: 0, 1: 1}


def _h5(path: Path, **arrays: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


def _convert(tmp_path: Path, files: list[Path], axes: str = "zyx") -> tuple[list[str], list[SimpleITK.Image]]:
    targets = CaseTargets((tmp_path / "out_0000.nii.gz",), tmp_path / "out.nii.gz")
    case = SourceCase("case", tuple(files), files[0])
    problems = ArrayFormat(LABELS, (3.0, 0.7, 0.6), axes).convert(case, targets)
    paths = [path for path in (*targets.images, targets.label) if path.is_file()]
    return [problem.what for problem in problems], [SimpleITK.ReadImage(str(path)) for path in paths]


@pytest.mark.parametrize(
    ("axes", "stored"), [("zyx", (0, 1, 2)), ("xyz", (2, 1, 0)), ("slices", (0, 1, 2)), ("slices", (1, 2, 0))]
)
def test_axes_and_spacing(tmp_path: Path, axes: str, stored: tuple[int, ...]) -> None:
    path = _h5(tmp_path / "a.h5", image=IMAGE.transpose(stored), label=LABEL.transpose(stored))
    problems, (image, label) = _convert(tmp_path, [path], axes)
    assert problems == []
    assert_array_equal(SimpleITK.GetArrayFromImage(image), IMAGE)
    assert_array_equal(SimpleITK.GetArrayFromImage(label), LABEL)
    assert image.GetSpacing() == pytest.approx((0.6, 0.7, 3.0))


def test_slices_are_stacked_in_order(tmp_path: Path) -> None:
    paths = [tmp_path / f"s{z}.npz" for z in range(3)]
    for z, path in enumerate(paths):
        np.savez(path, image=IMAGE[z], label=LABEL[z].astype(np.float64))
    problems, (image, label) = _convert(tmp_path, paths, "slices")
    assert problems == []
    assert_array_equal(SimpleITK.GetArrayFromImage(image), IMAGE)
    assert_array_equal(SimpleITK.GetArrayFromImage(label), LABEL)


def test_what_is_wrong_is_said_for_every_file(tmp_path: Path) -> None:
    good = tmp_path / "good.npz"
    np.savez(good, image=IMAGE[0], label=LABEL[0])
    other = tmp_path / "other.npz"
    np.savez(other, image=IMAGE[0, 1:], label=LABEL[0, 1:])
    assert "differ in size" in _convert(tmp_path, [good, other])[0][0]
    cut = tmp_path / "cut.npz"
    cut.write_bytes(good.read_bytes()[:100])
    text = tmp_path / "text.h5"
    text.write_text("no arrays")
    problems, written = _convert(tmp_path, [good, cut])
    assert "is damaged" in problems[0]
    assert written == []
    assert "cannot be read" in _convert(tmp_path, [text])[0][0]
    assert "no array named label" in _convert(tmp_path, [_h5(tmp_path / "b.h5", image=IMAGE)])[0][0]
    shapes = _h5(tmp_path / "c.h5", image=IMAGE, label=LABEL[1:])
    assert "its label has the shape (2, 6, 6)" in _convert(tmp_path, [shapes])[0][0]
    assert "unknown label values 7" in _convert(tmp_path, [_h5(tmp_path / "d.h5", image=IMAGE, label=LABEL * 7)])[0][0]
    hole = IMAGE.copy()
    hole[0, 0, 0] = np.inf
    assert "not finite" in _convert(tmp_path, [_h5(tmp_path / "e.h5", image=hole, label=LABEL)])[0][0]
    flat = _h5(tmp_path / "f.h5", image=IMAGE[0], label=LABEL[0])
    assert "has 2 axes" in _convert(tmp_path, [flat])[0][0]


def test_a_missing_package_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    case = SourceCase("case", (tmp_path / "a.h5",), None)
    with pytest.raises(UserError, match=r"needs h5py.*in this package's checkout, run: pip install '\.\[convert\]'"):
        ArrayFormat(LABELS, (1, 1, 1)).file_ending([case])
