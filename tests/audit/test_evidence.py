"""The evidence of a case, counted again voxel by voxel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK

from nnunetv2_dale.audit.case_volumes import read_case
from nnunetv2_dale.audit.cli import main
from nnunetv2_dale.audit.evidence import ClassEvidence, evidence_of
from nnunetv2_dale.audit.held_out import training_memory
from nnunetv2_dale.audit.referees import audit_task, channel_keys
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.npz_channels import npz_channels
from tests.audit.fixtures import describe_as, make_study, save_probabilities
from tests.datasets import finish_results, write_volume


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
    background, first, second = npz_channels(file, label.shape[1:], 3)
    support = {"1": first, "2": second, "": 1 - background}[key]
    excess = apart = unsure = 0.0
    for y, s in zip(label[0].reshape(-1), support.reshape(-1), strict=True):
        inside = y in {"1": (1,), "2": (2,), "": (1, 2)}[key]
        excess, apart, unsure = excess + inside - s, apart + abs(inside - s), unsure + 2 * s * (1 - s)
    found = evidence_of(inputs, task).of(key)
    assert (found.excess_voxels, found.apart_voxels) == pytest.approx((excess, apart), rel=0.01)  # kept in 255ths
    assert found.unsure_voxels == pytest.approx(unsure, rel=0.01)


@pytest.mark.parametrize(
    "order", [("kidney", "all", "tumour"), ("tumour", "all", "kidney"), ("all", "tumour", "kidney")]
)
def test_probabilities_of_regions_go_to_their_region(order: tuple[str, ...], study: Path) -> None:
    """A network that is sure: what it expects of each region is what it draws, whichever order they stand in."""
    regions: dict[str, Any] = {"all": [1, 2, 3], "kidney": [1, 3], "tumour": 2}
    describe_as(study, {"background": 0} | {name: regions[name] for name in order}, regions=[(1, 2, 3), (1, 3), 2])
    values = [np.atleast_1d(regions[name]) for name in order]
    save_probabilities(study, values)
    task = audit_task([study])
    for inputs in task.cases:
        evidence = evidence_of(inputs, task)
        assert set(evidence.classes) == {"(1, 2, 3)", "(1, 3)", "2"}
        for key, found in evidence.classes.items():
            drawn = found.label_voxels - found.referees_voxels
            assert found.excess_voxels == pytest.approx(drawn, abs=0.1 * found.referees_voxels), (inputs.case, key)


def test_memory_of_regions_goes_to_its_region(study: Path) -> None:
    describe_as(study, {"background": 0, "small": 2, "all": [1, 2]}, regions=[2, (1, 2)])
    memory = {"cases": {"case_01": {"excess": [4.0, 8.0], "contour": [10.0, 10.0]}}}
    (study / "fold_0" / "case_displacement.json").write_text(json.dumps(memory))
    sentences = training_memory([study], audit_task([study]))["case_01"]
    assert [sentence.partition(" voxels")[0] for sentence in sentences] == [
        "region (1, 2) (all): +0.80",
        "label 2 (small): +0.40",
    ]


def test_channels_are_those_of_nnunet() -> None:
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    regions = {"background": 0, "kidney": [1, 2, 3], "masses": [2, 3], "tumor": 2, "ignore": 4}
    assert channel_keys(regions) == ("(1, 2, 3)", "(2, 3)", "2")
    assert LabelManager(regions, [1, 3, 2]).foreground_regions == [(1, 2, 3), (2, 3), 2]
    classes = {"tumor": 2, "background": 0, "kidney": [1], "ignore": 3}
    assert channel_keys(classes) == ("0", "1", "2")
    assert LabelManager(classes, None).all_labels == [0, 1, 2]


def test_folders_whose_regions_stand_in_another_order_are_refused(tmp_path: Path, study: Path) -> None:
    _, (other,) = make_study(tmp_path / "other", {2: "wider"}, 5)
    describe_as(study, {"background": 0, "all": [1, 2], "small": 2}, regions=[(1, 2), 2])
    describe_as(other, {"background": 0, "small": 2, "all": [1, 2]}, regions=[(1, 2), 2])
    with pytest.raises(UserError, match=r"in the order 2, \(1, 2\), but .* in \(1, 2\), 2; audit these folders one by"):
        audit_task([study, other])


def test_probabilities_of_other_classes_are_refused(study: Path, tmp_path: Path, capsys) -> None:
    save_probabilities(study, [[0], [1]])
    assert main([str(study), "-o", str(tmp_path / "audit"), "-np", "1"]) == 2
    assert "holds 2 maps of probabilities, but the networks of this dataset.json have 3" in capsys.readouterr().err


def test_what_is_ignored_has_no_support(study: Path) -> None:
    """A label of which a half was never drawn is as right as the rest; what networks find there says nothing."""
    describe_as(study, {"background": 0, "large": 1, "small": 2, "ignore": 3})
    save_probabilities(study)
    inputs = audit_task([study]).cases[0]
    image = SimpleITK.ReadImage(str(inputs.label))
    label = SimpleITK.GetArrayFromImage(image)
    label[:, :, 24:] = 3
    write_volume(label, inputs.label)
    finish_results(study, inputs.label.parents[1])
    task = audit_task([study])
    volumes = read_case(inputs, task)
    for key in ("1", "2", ""):
        assert not volumes.support[key][label[volumes.box] == 3].any()
    evidence = evidence_of(inputs, task)
    assert abs(evidence.classes["1"].excess_voxels) < 0.1 * evidence.classes["1"].label_voxels


def test_a_single_network_without_probabilities_is_never_unsure(study: Path) -> None:
    task = audit_task([study])
    found: ClassEvidence = evidence_of(task.cases[2], task).classes["1"]
    assert found.unsure_voxels == 0
    assert found.excess_voxels == found.label_voxels - found.referees_voxels
