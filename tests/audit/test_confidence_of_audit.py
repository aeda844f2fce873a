"""`apply --confidence`: what the audit found becomes confidence, and what people decided counts more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from nnunetv2_dale.audit.cli import main
from nnunetv2_dale.nnunet_files.confidence_map import read_confidence_map
from nnunetv2_dale.nnunet_files.confidence_table import read_confidence_table
from nnunetv2_dale.nnunet_files.raw_dataset import read_dataset
from nnunetv2_dale.nnunet_files.volumes import read_label
from tests.audit.conftest import Study

WIDER, MISSED, EXCHANGED = "case_01", "case_04", "case_06"


def suspicion(study: Study, case: str, name: str = "suspicion") -> np.ndarray:
    return np.asarray(nibabel.nifti1.load(study.audit / "maps" / f"{case}_{name}.nii.gz").dataobj).transpose(2, 1, 0)


def confidence(study: Study, case: str) -> np.ndarray:
    dataset = read_dataset(study.new)
    label = study.new / "labelsTr" / f"{case}.nii.gz"
    array, properties = read_label(dataset.reader(), label, None)
    file = study.new / "confidenceTr" / label.name
    if not file.exists():
        return np.ones(array.shape, np.float32)
    return read_confidence_map(dataset.reader(), file, label, (array.shape, properties))


def test_suspicion_becomes_doubt_but_where_somebody_decided(study: Study) -> None:
    assert main(study.words({WIDER: "accept", EXCHANGED: "exclude"}, "--confidence")) == 0
    assert suspicion(study, WIDER).max() > 0.2
    assert suspicion(study, MISSED).max() > 0.2
    np.testing.assert_allclose(confidence(study, MISSED), 1 - suspicion(study, MISSED), atol=1e-6)
    names = {path.name for path in (study.new / "confidenceTr").iterdir()}
    assert f"{EXCHANGED}.nii.gz" not in names  # weight 0 says it
    dataset = read_dataset(study.new)
    table = read_confidence_table(study.new, dataset.dataset_json["labels"], [case.name for case in dataset.cases])
    assert [case.name for case in dataset.cases if table.weight(case.name) == 0] == [EXCHANGED]
    assert len(dataset.cases) == 16


@pytest.mark.parametrize("decision", ["accept", "fix", ""])
def test_each_decision_says_how_far_to_trust_what_it_is_about(study: Study, decision: str) -> None:
    """1 where somebody says that the label is right, or mends it; 1 − suspicion in the rest of the case, and without
    a decision."""
    assert main(study.words({WIDER: decision, MISSED: decision, EXCHANGED: "exclude"}, "--confidence")) == 0
    for case, value, side in ((WIDER, 1, "label"), (MISSED, 2, "consensus")):
        drawn = {"consensus": suspicion(study, case, "consensus")}
        drawn["label"] = read_label(read_dataset(study.raw).reader(), study.raw / f"labelsTr/{case}.nii.gz", None)[0]
        other = "consensus" if side == "label" else "label"
        part = (drawn[side] == value) & (drawn[other] != value)
        doubt = suspicion(study, case)
        assert (doubt[part] > 0.5).mean() > 0.5
        expected = 1 - np.where(part, 0 if decision else doubt, doubt)
        np.testing.assert_allclose(confidence(study, case), expected, atol=1e-6)


def test_an_audit_on_which_nobody_decided_says_what_it_found_of_the_labels_it_saw(study: Study, capsys) -> None:
    assert main(study.words({})) == 2
    assert "holds no decision yet" in capsys.readouterr().err
    assert main(study.words({}, "--confidence")) == 0
    assert "0 to fix; next: nnUNetv2_plan_and_preprocess" in capsys.readouterr().out
    np.testing.assert_allclose(confidence(study, EXCHANGED), 1 - suspicion(study, EXCHANGED), atol=1e-6)
    shutil.copy(study.raw / "labelsTr" / f"{WIDER}.nii.gz", study.raw / "labelsTr" / f"{MISSED}.nii.gz")
    assert main(study.words({}, "--confidence", "--overwrite")) == 2
    assert f"are not those that were audited, 1 in number ({MISSED})" in capsys.readouterr().err


def test_the_smaller_of_two_confidences_counts(study: Study) -> None:
    (study.raw / "confidenceTr").mkdir()
    label = nibabel.nifti1.load(study.raw / "labelsTr" / f"{MISSED}.nii.gz")
    half = nibabel.nifti1.Nifti1Image(np.full(label.shape, 0.5, np.float32), label.affine)
    nibabel.save(half, study.raw / "confidenceTr" / f"{MISSED}.nii.gz")
    (study.raw / "confidence.csv").write_text("case,weight\ncase_02,0.5\n")
    assert main(study.words({EXCHANGED: "exclude"}, "--confidence")) == 0
    expected = np.minimum(0.5, 1 - suspicion(study, MISSED))
    np.testing.assert_allclose(confidence(study, MISSED), expected, atol=1e-6)
    assert (study.new / "confidence.csv").read_text().splitlines() == ["case,weight", "case_02,0.5", "case_06,0"]


def test_classes_that_are_probably_not_annotated(study: Study) -> None:
    file = study.audit / "audit.json"
    content = json.loads(file.read_text())
    labels = json.loads((study.raw / "dataset.json").read_text())["labels"]
    names = [name for name, value in labels.items() if value]
    said = {"label": "1", "kind": "not_annotated", "cases": ["case_02", "case_03"], "sentence": "so"}
    more = {"label": "2", "kind": "not_annotated", "cases": ["case_03"], "sentence": "so"}
    content["classes"] = [{"class": names[0], **said}, {"class": names[1], **more}]
    content["classes"] += [{"class": name, **more, "label": str(labels[name])} for name in names[2:]]
    file.write_text(json.dumps(content))
    assert main(study.words({EXCHANGED: "exclude"}, "--confidence")) == 0
    table = read_confidence_table(study.new, labels)
    assert table.not_annotated("case_02") == (names[0],)
    assert (table.weight("case_03"), table.not_annotated("case_03")) == (0, ())  # nothing of it is annotated


def test_an_audit_without_networks_says_nothing_by_itself(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    file = study.audit / "audit.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "referees": [], "classes": []}))
    assert main(study.words({}, "--confidence")) == 2
    assert "without networks, which has no maps of suspicion; decide in" in capsys.readouterr().err
    assert not study.new.exists()
    assert main(study.words({EXCHANGED: "exclude"}, "--confidence")) == 0


def test_what_it_wrote_may_be_replaced_and_what_somebody_changed_may_not(study: Study) -> None:
    assert main(study.words({EXCHANGED: "exclude"}, "--confidence")) == 0
    assert main(study.words({EXCHANGED: "exclude", WIDER: "accept"}, "--confidence", "--overwrite")) == 0
    map_file = study.new / "confidenceTr" / f"{MISSED}.nii.gz"
    shutil.copy(Path(study.new / "labelsTr" / map_file.name), map_file)
    assert main(study.words({EXCHANGED: "exclude"}, "--confidence", "--overwrite")) == 2


@pytest.mark.parametrize("cut", [True, False])
def test_an_audit_whose_maps_are_damaged(study: Study, cut: bool, capsys: pytest.CaptureFixture[str]) -> None:
    file = study.audit / "maps" / f"{MISSED}_suspicion.nii.gz"
    if cut:
        file.write_bytes(file.read_bytes()[:-30])
    else:
        stored = nibabel.nifti1.load(file)
        nibabel.save(nibabel.nifti1.Nifti1Image(np.asarray(stored.dataobj)[:-1], stored.affine), file)
    assert main(study.words({EXCHANGED: "exclude"}, "--confidence")) == 2
    assert f"{file} " in capsys.readouterr().err
    assert not study.new.exists()
