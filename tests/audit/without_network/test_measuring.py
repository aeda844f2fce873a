"""What is measured of one case: where a class ends with the scan, and which of its parts count as its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nnunetv2_dale.audit.audit_task import dataset_task
from nnunetv2_dale.audit.case_volumes import read_case, read_images
from nnunetv2_dale.audit.without_network.intensities import learned
from nnunetv2_dale.audit.without_network.measuring import record_of
from nnunetv2_dale.audit.without_network.records import CaseRecord
from tests.audit.without_network.fixtures import Labels, Volume, write_abdomens

Change = Callable[[Labels, Volume], None]


def record(root: Path, change: Change) -> CaseRecord:
    """The first of five cases, with its label and its image of dark air changed in place."""
    write_abdomens(root, {}, cases=5)
    task = dataset_task("5")
    inputs = task.cases[0]
    volumes = read_case(inputs, task)
    image = np.clip(read_images(inputs, task, volumes), 0, None)
    change(volumes.label, image[0])
    return record_of(inputs.case, volumes, image, task, learned(task))


def up_to_slice_10(label: Labels, image: Volume) -> None:
    label[10:] = 0


def scanned_up_to_slice_10(label: Labels, image: Volume) -> None:
    label[10:] = image[10:] = 0


@pytest.mark.parametrize(("change", "cut"), [(up_to_slice_10, False), (scanned_up_to_slice_10, True)])
def test_a_class_that_ends_in_full_width_before_air_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Change, cut: bool
) -> None:
    """The kidneys reach beyond slice 10; the lowest vertebra ends well below, and by itself."""
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    found = record(tmp_path, change).classes
    assert (found["4"].cut, found["5"].cut) == (cut, cut)
    assert not found["3"].cut


@pytest.mark.parametrize(("apart", "parts"), [(1, 1), (2, 2)])
def test_a_part_one_voxel_apart_is_no_part_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: int, parts: int
) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))

    def block_and_voxel(label: Labels, image: Volume) -> None:
        label[label == 3] = 0
        label[4:8, 10:14, 10:14] = label[6, 11, 14 + apart] = 3

    found = record(tmp_path, block_and_voxel).classes["3"]
    assert len(found.parts) == parts
    assert found.voxels == 4 * 4 * 4 + 1
