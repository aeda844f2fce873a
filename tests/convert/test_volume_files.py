"""Volumes: geometry is kept and checked."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from numpy.testing import assert_array_equal

from nnunetv2_dale.convert.plan import CaseTargets, SourceCase
from nnunetv2_dale.convert.volume_files import VolumeFormat, describe_difference
from tests.datasets import read_volume, write_volume

IMAGE = np.random.default_rng(0).normal(size=(4, 6, 5)).astype(np.float32)
LABEL = (np.arange(IMAGE.size).reshape(IMAGE.shape) % 3).astype(np.uint8)
SAME = VolumeFormat({0: 0, 1: 1, 2: 2})
OBLIQUE = (0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1)


def _convert(tmp_path: Path, image: Path, label: Path, case_format: VolumeFormat = SAME) -> list[str]:
    targets = CaseTargets((tmp_path / "out_0000.nii.gz",), tmp_path / "out.nii.gz")
    return [problem.what for problem in case_format.convert(SourceCase("case", (image,), label), targets)]


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_geometry_and_voxels_survive(tmp_path: Path, suffix: str) -> None:
    geometry = {"spacing_zyx": (2.5, 0.7, 0.7), "origin": (-3.0, 4.0, 100.0), "direction": OBLIQUE}
    image = write_volume(IMAGE, tmp_path / f"a b{suffix}", **geometry)
    label = write_volume(LABEL.astype(np.float64), tmp_path / f"label{suffix}", **geometry)
    assert _convert(tmp_path, image, label) == []
    for name, array in {"out_0000.nii.gz": IMAGE, "out.nii.gz": LABEL}.items():
        written = SimpleITK.ReadImage(str(tmp_path / name))
        assert_array_equal(SimpleITK.GetArrayFromImage(written), array)
        assert written.GetSpacing() == pytest.approx(geometry["spacing_zyx"][::-1], abs=1e-5)
        assert written.GetOrigin() == pytest.approx(geometry["origin"], abs=1e-4)
        assert written.GetDirection() == pytest.approx(OBLIQUE, abs=1e-5)
    assert SimpleITK.ReadImage(str(tmp_path / "out.nii.gz")).GetPixelID() == SimpleITK.sitkUInt8


def test_files_that_are_right_are_copied_and_others_mapped(tmp_path: Path) -> None:
    image = write_volume(IMAGE, tmp_path / "image.nii.gz")
    label = write_volume(LABEL, tmp_path / "label.nii.gz")
    assert _convert(tmp_path, image, label) == []
    assert (tmp_path / "out_0000.nii.gz").read_bytes() == image.read_bytes()
    assert (tmp_path / "out.nii.gz").read_bytes() == label.read_bytes()
    assert _convert(tmp_path, image, label, VolumeFormat({0: 0, 1: 2, 2: 0})) == []
    mapped = read_volume(tmp_path / "out.nii.gz")
    assert_array_equal(mapped, np.where(LABEL == 1, 2, 0))


def test_rounded_headers_agree_and_the_label_gets_the_images(tmp_path: Path) -> None:
    image = write_volume(IMAGE, tmp_path / "image.nii.gz", origin=(-10.0, 5.0, 2.0))
    label = write_volume(LABEL, tmp_path / "label.nii.gz", origin=(-10.01, 5.0, 2.0))
    assert _convert(tmp_path, image, label) == []
    assert SimpleITK.ReadImage(str(tmp_path / "out.nii.gz")).GetOrigin() == (-10.0, 5.0, 2.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spacing_zyx": (5.0, 1.0, 1.0)}, r"spacing \[1.0, 1.0, 5.0\] instead of \[1.0, 1.0, 3.0\], up to 6 mm apart"),
        ({"origin": (-10.0, 5.0, 4.0)}, r"origin \[-10.0, 5.0, 4.0\] instead of \[-10.0, 5.0, 2.0\], up to 2 mm"),
        ({"direction": (-1, 0, 0, 0, -1, 0, 0, 0, 1)}, r"direction .* instead of"),
    ],
)
def test_a_label_elsewhere_is_refused_with_both_geometries(tmp_path: Path, change: dict, message: str) -> None:
    image = write_volume(IMAGE, tmp_path / "image.nii.gz")
    label = write_volume(LABEL, tmp_path / "label.nii.gz", **change)
    (problem,) = _convert(tmp_path, image, label)
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(problem)
    assert not (tmp_path / "out.nii.gz").exists()


def test_sizes_unknown_labels_and_broken_files(tmp_path: Path) -> None:
    image = write_volume(IMAGE, tmp_path / "image.nii.gz")
    assert _convert(tmp_path, image, write_volume(LABEL[1:], tmp_path / "small.nii.gz")) == [
        "does not lie on its image's grid: size (5, 6, 3) instead of (5, 6, 4)"
    ]
    assert "unknown label values 3" in _convert(tmp_path, image, write_volume(LABEL + 1, tmp_path / "l.nii.gz"))[0]
    (tmp_path / "cut.nii.gz").write_bytes(image.read_bytes()[:40])
    (tmp_path / "text.nii").write_text("no volume")
    broken = _convert(tmp_path, tmp_path / "cut.nii.gz", tmp_path / "text.nii")
    assert len(broken) == 2
    assert all("is damaged" in what for what in broken)
    hole = IMAGE.copy()
    hole[0, 0, 0] = np.nan
    label = write_volume(LABEL, tmp_path / "label.nii.gz")
    assert _convert(tmp_path, write_volume(hole, tmp_path / "nan.nrrd"), label) == ["holds values that are not finite"]


def test_four_axes_are_refused(tmp_path: Path) -> None:
    volume = SimpleITK.GetImageFromArray(np.zeros((2, 4, 6, 5), np.float32), isVector=False)
    SimpleITK.WriteImage(volume, str(tmp_path / "four.nii.gz"))
    label = write_volume(LABEL, tmp_path / "label.nii.gz")
    assert "has 4 axes" in _convert(tmp_path, tmp_path / "four.nii.gz", label)[0]


def test_a_grid_agrees_with_itself_and_a_flip_does_not(tmp_path: Path) -> None:
    image = SimpleITK.ReadImage(str(write_volume(IMAGE, tmp_path / "a.nii.gz", direction=OBLIQUE)))
    assert describe_difference(image, image) is None
    assert describe_difference(image, SimpleITK.Flip(image, (True, False, False))) is not None


def test_channels_have_to_share_a_grid(tmp_path: Path) -> None:
    first = write_volume(IMAGE, tmp_path / "a_0000.nii.gz")
    second = write_volume(IMAGE, tmp_path / "a_0001.nii.gz", spacing_zyx=(1, 1, 1))
    label = write_volume(LABEL, tmp_path / "label.nii.gz")
    problems = SAME.convert(SourceCase("a", (first, second), label), None)
    assert [problem.where for problem in problems] == [second]
    assert "first channel's grid" in problems[0].what


def test_labels_above_255_are_written_as_they_are(tmp_path: Path) -> None:
    image = write_volume(IMAGE, tmp_path / "image.nii.gz")
    values = LABEL.astype(np.int16) * 150
    label = write_volume(values, tmp_path / "label.nii.gz")
    assert _convert(tmp_path, image, label, VolumeFormat({0: 0, 150: 150, 300: 300})) == []
    assert_array_equal(read_volume(tmp_path / "out.nii.gz"), values)


def test_a_plain_file_under_a_compressed_name_and_a_fourth_axis_of_one_are_written_anew(tmp_path: Path) -> None:
    """ITK reads both, and nibabel, another of nnU-Net's readers, neither."""
    image = tmp_path / "image.nii.gz"
    write_volume(IMAGE, tmp_path / "image.nii").rename(image)
    label = tmp_path / "label.nii.gz"
    geometry = nibabel.Nifti1Image.from_filename(write_volume(LABEL, tmp_path / "geometry.nii")).affine
    nibabel.save(nibabel.Nifti1Image(LABEL.T[..., None], geometry), label)
    assert _convert(tmp_path, image, label) == []
    for name, array in (("out_0000.nii.gz", IMAGE), ("out.nii.gz", LABEL)):
        assert_array_equal(nibabel.Nifti1Image.from_filename(tmp_path / name).get_fdata().T, array)
