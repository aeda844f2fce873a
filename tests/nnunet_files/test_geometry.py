"""Where voxels lie, by hand and as nnU-Net's readers see it."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from nnunetv2.imageio.nibabel_reader_writer import NibabelIO, NibabelIOWithReorient
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO, SimpleITKIOWithReorient

from nnunetv2_dale.nnunet_files.geometry import Grid, GridDifference, affine_of, grid_difference, grid_of, world_mm

SHAPE, SPACING = (11, 21, 5), np.array([1.0, 1.0, 3.0])


def grid(origin: tuple[float, ...] = (0, 0, 0), direction: tuple[float, ...] = (1, 1, 1)) -> Grid:
    """Axes along the patient's, or against them where `direction` is negative."""
    return Grid(SHAPE, np.array(origin, float), np.diag(direction).astype(float), SPACING)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (grid(), None),
        (grid((0.09, 0, 0)), None),  # less than a tenth of the smallest voxel edge
        (grid((0.11, 0, 0)), GridDifference(("origin",), 0.11)),
        (grid((3, 4, 0)), GridDifference(("origin",), 5.0)),
        # x runs the other way from the same first voxel: the last one is 10 mm to the left instead of to the right
        (grid((0, 0, 0), (-1, 1, 1)), GridDifference(("direction",), 20.0)),
        # the same place in the patient, stored the other way: the first and the last voxel change places
        (grid((10, 0, 0), (-1, 1, 1)), GridDifference(("origin", "direction"), 10.0)),
        (grid((0, 20, 12), (1, -1, -1)), GridDifference(("origin", "direction"), float(np.hypot(20, 12)))),
    ],
)
def test_by_hand(other: Grid, expected: GridDifference | None) -> None:
    found = grid_difference(other, grid())
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert found.differs == expected.differs
        assert found.apart_mm == pytest.approx(expected.apart_mm)


def test_a_small_rotation_counts_by_what_it_does_at_the_far_corner() -> None:
    def turned(degrees: float) -> Grid:
        cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
        return Grid(SHAPE, np.zeros(3), matrix, SPACING)

    assert grid_difference(turned(0.2), grid()) is None
    found = grid_difference(turned(1.0), grid())
    assert found is not None
    assert found.differs == ("direction",)
    assert found.apart_mm == pytest.approx(2 * np.sin(np.radians(0.5)) * np.hypot(10, 20))  # a chord


def test_another_voxel_size_counts_by_what_it_does_at_the_far_corner() -> None:
    finer = Grid(SHAPE, np.zeros(3), np.eye(3), SPACING * (1, 0.9, 1))
    assert grid_difference(finer, grid()) == GridDifference(("spacing",), pytest.approx(0.1 * 20))
    assert grid_difference(Grid(SHAPE, np.zeros(3), np.eye(3), SPACING * 1.001), grid()) is None


def test_formats_that_store_no_place() -> None:
    assert grid_of({"spacing": (999, 1, 1)}, (1, 4, 4)) is None
    assert grid_difference(None, grid()) is None
    assert grid_difference(grid(), None) is None


def oblique(file: Path) -> SimpleITK.Image:
    image = SimpleITK.GetImageFromArray(np.zeros((5, 21, 11), np.uint8))
    image.SetSpacing([1.0, 1.0, 3.0])
    image.SetOrigin([-7.0, 12.0, 30.0])
    image.SetDirection(SimpleITK.VersorTransform((0.0, 0.0, 1.0), 0.3).GetMatrix())
    SimpleITK.WriteImage(image, str(file))
    return image


@pytest.mark.parametrize("reader", [SimpleITKIO, NibabelIO])
def test_readers_agree_with_simpleitk_on_the_corners(reader: type, tmp_path: Path) -> None:
    image = oblique(tmp_path / "a.nii.gz")
    voxels, properties = reader().read_seg(str(tmp_path / "a.nii.gz"))
    found = grid_of(properties, voxels.shape[1:])
    assert found is not None
    assert found.shape == image.GetSize()
    corner = found.origin_mm + found.direction @ (found.spacing_mm * (np.array(found.shape) - 1))
    expected = np.array(image.TransformIndexToPhysicalPoint((10, 20, 4)))
    np.testing.assert_allclose(corner, expected * (-1, -1, 1), atol=1e-4)  # RAS instead of LPS
    affine = affine_of(properties, voxels.shape[1:])
    np.testing.assert_allclose(affine, nibabel.nifti1.load(tmp_path / "a.nii.gz").affine, atol=1e-4)
    np.testing.assert_allclose(world_mm(affine, (4, 20, 10)), corner, atol=0.01)


@pytest.mark.parametrize("reader", [SimpleITKIO, NibabelIO, SimpleITKIOWithReorient, NibabelIOWithReorient])
def test_a_flipped_copy_is_seen_unless_the_reader_turns_it_back(reader: type, tmp_path: Path) -> None:
    image = SimpleITK.Cast(oblique(tmp_path / "a.nii.gz"), SimpleITK.sitkUInt8)
    SimpleITK.WriteImage(SimpleITK.Flip(image, [False, True, False]), str(tmp_path / "b.nii.gz"))
    grids = []
    for name in "ab":
        voxels, properties = reader().read_seg(str(tmp_path / f"{name}.nii.gz"))
        grids.append(grid_of(properties, voxels.shape[1:]))
    found = grid_difference(*grids)
    if "Reorient" in reader.__name__:
        assert found is None
    else:
        assert found is not None
        assert found.differs == ("origin", "direction")
        assert found.apart_mm == pytest.approx(20.0, rel=1e-4)


def test_2d_files(tmp_path: Path) -> None:
    NaturalImage2DIO().write_seg(np.zeros((1, 6, 8), np.uint8), str(tmp_path / "a.png"), {})
    voxels, properties = NaturalImage2DIO().read_seg(str(tmp_path / "a.png"))
    assert grid_of(properties, voxels.shape[1:]) is None
    flat = SimpleITK.GetImageFromArray(np.zeros((6, 8), np.uint8))
    flat.SetOrigin([5.0, 9.0])
    SimpleITK.WriteImage(flat, str(tmp_path / "a.mha"))
    voxels, properties = SimpleITKIO().read_seg(str(tmp_path / "a.mha"))
    found = grid_of(properties, voxels.shape[1:])
    assert found is not None
    assert found.shape == (8, 6)
    assert found.origin_mm.tolist() == [-5.0, -9.0]


def test_a_header_of_zeros_is_no_error() -> None:
    found = grid_of({"nibabel_stuff": {"original_affine": np.zeros((4, 4))}}, (4, 5, 6))
    assert grid_difference(found, found) is None
