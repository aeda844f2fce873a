"""Pictures of findings: the slice with most of it, its contours in view, and the sides of the patient by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
from matplotlib.collections import LineCollection

from nnunetv2_dale.audit.audit_task import AuditedClass
from nnunetv2_dale.audit.case_volumes import CaseVolumes
from nnunetv2_dale.audit.finding_part import finding_part, slices_with_most
from nnunetv2_dale.audit.findings import Finding, Kind
from nnunetv2_dale.audit.pictures import draw_finding
from nnunetv2_dale.nnunet_files.geometry import NO_DEPTH
from nnunetv2_dale.pages.view_of_patient import plane_views

TASK: Any = SimpleNamespace(
    referees=("networks",), classes=(AuditedClass("1", "organ", (1,)), AuditedClass("2", "lesion", (2,))), is_ct=False
)


def finding(kind: Kind, voxel: tuple[int, int, int], label: str = "1") -> Finding:
    return Finding("organ", label, kind, 0.9, 1.0, "mm", voxel, (0.0, 0.0, 0.0), "it is so")


def volumes_of(label: Any, networks: Any, depth_mm: float = 2.0, affine: Any = None) -> CaseVolumes:
    box = tuple(slice(0, size) for size in label.shape)
    place = np.diag([-1.0, -1.0, depth_mm, 1.0]) if affine is None else affine
    return CaseVolumes(label, networks, {}, box, (depth_mm, 1.0, 1.0), place)


def wider_with_a_corner() -> CaseVolumes:
    """A box that is drawn two voxels wider in slices 5 to 9, and one voxel far away in slice 18."""
    label, networks = (np.zeros((20, 100, 100), np.uint8) for _ in range(2))
    networks[4:11, 30:40, 50:60] = 1
    label[networks > 0] = 1
    label[5:10, 28:42, 48:62] = 1
    label[18, 95, 3] = 1
    return volumes_of(label, networks)


def test_the_slice_with_most_of_the_finding_and_not_the_worst_voxel() -> None:
    volumes, found = wider_with_a_corner(), finding("wider", (18, 95, 3))
    part = finding_part(volumes, found, TASK)
    # of one slice z: 14 x 14 - 10 x 10 in slices 5 to 9, of which 7 is in the middle; rows 28, 29, 40 and 41 have most
    assert np.count_nonzero(part) == 5 * 96 + 1
    assert slices_with_most(part, (0, 0, 0), found.voxel) == (7, 40, 60)
    assert slices_with_most(part, (3, 10, 0), found.voxel) == (10, 50, 60)
    assert slices_with_most(part & False, (0, 0, 0), found.voxel) == found.voxel


@pytest.mark.parametrize("kind", ["extra_object", "missed_object"])
def test_of_an_object_only_that_object(kind: Kind) -> None:
    there = np.zeros((8, 60, 60), np.uint8)
    there[1:3, 5:9, 5:9] = there[5:7, 40:50, 40:50] = 1
    nothing = np.zeros_like(there)
    volumes = volumes_of(there, nothing) if kind == "extra_object" else volumes_of(nothing, there)
    part = finding_part(volumes, finding(kind, (1, 6, 6)), TASK)
    assert np.count_nonzero(part) == 2 * 4 * 4


def test_both_contours_are_in_view() -> None:
    volumes = wider_with_a_corner()
    image = np.zeros(volumes.label.shape, np.float32)
    figure = draw_finding(image, volumes, TASK, finding("wider", (18, 95, 3)), (0, 1))
    axial = figure.axes[0]
    assert axial.get_title("left") == "axial, z 7"
    # 24 voxels to each side of the middle, (34, 54): the label's box begins 6 voxels before it, the networks' 4
    for outline, first in zip(axial.collections, (18, 20), strict=True):
        assert isinstance(outline, LineCollection)
        points = np.concatenate(outline.get_segments())
        assert points.min(axis=0).tolist() == [first - 0.5, first - 0.5]
        assert points.max(axis=0).max() < min(max(axial.get_xlim()), max(axial.get_ylim()))


def test_the_whole_label_has_an_outline_for_each_class() -> None:
    label = np.zeros((3, 30, 30), np.uint8)
    label[1, 5:15, 5:15], label[1, 5:15, 15:25] = 1, 2
    volumes = volumes_of(label, np.zeros_like(label))
    figure = draw_finding(label.astype(np.float32), volumes, TASK, finding("other_case", (1, 6, 6), ""), (0, 1))
    (outlines, *_) = figure.axes[0].collections
    assert isinstance(outlines, LineCollection)
    assert any(np.allclose(line[:, 0], 14.5) and np.ptp(line[:, 1]) == 10 for line in outlines.get_segments())


@pytest.mark.parametrize(
    ("axes", "planes"),
    [
        # toward which side x, y and z grow → of the slices along z, y and x: plane, turned left-right, top-down
        ("LPS", [("axial", False, False), ("coronal", False, True), ("sagittal", False, True)]),
        ("RAS", [("axial", True, True), ("coronal", True, True), ("sagittal", True, True)]),
        ("LPI", [("axial", False, False), ("coronal", False, False), ("sagittal", False, False)]),
        ("PSR", [("sagittal", False, True), ("axial", False, True), ("coronal", True, True)]),
    ],
)
def test_planes_lie_as_radiologists_look(axes: str, planes: list[tuple[str, bool, bool]]) -> None:
    """Against nibabel's own reorientation of an array that says where each voxel is."""
    codes = nibabel.orientations.axcodes2ornt(axes)
    affine = nibabel.orientations.inv_ornt_aff(codes, (5, 5, 5)) @ np.eye(4)
    affine = np.linalg.inv(affine)
    assert nibabel.aff2axcodes(affine) == tuple(axes)
    views = plane_views(affine)
    assert [(view.name, view.mirrored, view.upside_down) for view in views] == planes
    opposite = dict(zip("RLAPSI", "LRPAIS", strict=True))
    for axis, view in enumerate(views):
        down, right = (axes[::-1][other] for other in range(3) if other != axis)
        assert view.left == (right if view.mirrored else opposite[right])
        assert view.top == (down if view.upside_down else opposite[down])
        assert view.left + view.top in {"RA", "RS", "AS", "AR", "SR", "SA"}


@pytest.mark.parametrize(("depth_mm", "letters"), [(3.0, set("LRAP")), (NO_DEPTH, set())])
def test_a_photo_has_no_sides_of_a_patient(depth_mm: float, letters: set[str]) -> None:
    label = np.zeros((1, 30, 30), np.uint8)
    label[0, 5:15, 5:15] = 1
    volumes = volumes_of(label, np.zeros_like(label), depth_mm)
    figure = draw_finding(label.astype(np.float32), volumes, TASK, finding("extra_object", (0, 6, 6)), (0, 1))
    assert len(figure.axes) == 2
    assert {text.get_text() for text in figure.axes[0].texts} == letters
