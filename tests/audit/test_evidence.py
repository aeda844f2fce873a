"""The evidence of a case, counted again voxel by voxel."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from nnunetv2_dale.audit.evidence import ClassEvidence, measure_case
from nnunetv2_dale.audit.probabilities import class_probabilities
from nnunetv2_dale.audit.referees import audit_task
from nnunetv2_dale.audit.surfaces import surface_area, surface_of
from tests.audit.fixtures import make_study, save_probabilities


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    raw, (folder,) = make_study(tmp_path, {2: "wider"}, 5)
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)
    monkeypatch.setenv("nnUNet_raw", str(raw))
    return folder


@pytest.mark.parametrize("key", ["1", "2", ""], ids=["first class", "second class", "whole label"])
def test_label_against_probabilities(key: str, study: Path) -> None:
    save_probabilities(study)
    task = audit_task([study])
    inputs = task.cases[2]
    file = inputs.probabilities[0]
    assert file is not None
    label, _ = task.reader.read_seg(str(inputs.label))
    background, first, second = class_probabilities(file, label.shape[1:])
    support = {"1": first, "2": second, "": 1 - background}[key]
    excess = apart = unsure = 0.0
    for y, s in zip(label[0].reshape(-1), support.reshape(-1), strict=True):
        inside = y in {"1": (1,), "2": (2,), "": (1, 2)}[key]
        excess, apart, unsure = excess + inside - s, apart + abs(inside - s), unsure + 2 * s * (1 - s)
    found = measure_case(inputs, task).of(key)
    assert (found.excess_voxels, found.apart_voxels) == pytest.approx((excess, apart), rel=0.01)  # kept in 255ths
    assert found.unsure_voxels == pytest.approx(unsure, rel=0.01)


def test_a_single_network_without_probabilities_is_never_unsure(study: Path) -> None:
    task = audit_task([study])
    found: ClassEvidence = measure_case(task.cases[2], task).classes["1"]
    assert found.unsure_voxels == 0
    assert found.excess_voxels == found.label_voxels - found.referees_voxels


def test_area_of_faces_is_that_of_the_surface() -> None:
    rng = np.random.default_rng(0)
    for shape in ((5, 6, 7), (1, 9, 8)):
        mask = rng.random(shape) < 0.4
        assert surface_area(mask, (3.0, 1.0, 0.5)) == pytest.approx(surface_of(mask, (3.0, 1.0, 0.5)).area_mm2.sum())


def test_area_of_a_box_by_hand() -> None:
    mask = np.zeros((6, 6, 6), bool)
    mask[1:3, 1:4, 1:5] = True  # 2 × 3 × 4 voxels of 3 × 1 × 0.5 mm: 6 × 3 × 2 mm
    assert surface_area(mask, (3.0, 1.0, 0.5)) == pytest.approx(
        2 * sum(a * b for a, b in itertools.combinations((6, 3, 2), 2))
    )
