"""The command from result folders to findings, files and a mended dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK

from nnunetv2_dale.audit.cli import main
from nnunetv2_dale.audit.findings import KINDS
from nnunetv2_dale.commands.lock import held
from tests.audit.fixtures import audit_of, make_study, save_probabilities
from tests.datasets import ELLIPSOIDS, rows_of, write_volume

ERRORS = {2: "wider", 5: "missed_object", 7: "exchanged", 9: "empty", 11: "flipped"}
CASES = 20


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    return make_study(tmp_path_factory.mktemp("study"), ERRORS, CASES)


@pytest.fixture(autouse=True)
def _raw(study: tuple[Path, list[Path]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_raw", str(study[0]))
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)


@pytest.fixture(scope="module")
def audited(study: tuple[Path, list[Path]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("audited") / "audit"
    audit_of(study[1], output)
    return output


def read(output: Path) -> dict[str, Any]:
    return dict(json.loads((output / "audit.json").read_text()))


def test_every_error_is_found_and_named(audited: Path) -> None:
    audit = read(audited)
    first = {case["case"]: case for case in audit["cases"][: len(ERRORS)]}
    assert set(first) == {f"case_{number:02d}" for number in ERRORS}
    for number, kind in ERRORS.items():
        case = first[f"case_{number:02d}"]
        assert case["findings"][0]["kind"] == kind, case
        assert case["score"] >= 0.5
    assert all(case["score"] < 0.5 for case in audit["cases"][len(ERRORS) :])


def test_the_json_keeps_to_its_schema(audited: Path) -> None:
    audit = read(audited)
    about = ["version", "dataset", "referees", "cases", "expected", "settings", "missing", "misplaced", "classes"]
    assert list(audit) == about
    assert (audit["version"], audit["dataset"]) == (1, ELLIPSOIDS)
    assert set(audit["expected"]) == {"wrong_cases", "cases_for_80_percent", "of_cases", "judged_cases"}
    scores = [case["score"] for case in audit["cases"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == CASES
    for case in audit["cases"]:
        assert set(case) == {"case", "fold", "score", "judged", "findings", "checksum"}
        for found in case["findings"]:
            types = {"class": str, "label": str, "kind": str, "score": float, "size": float, "unit": str}
            types |= {"voxel": list, "world_mm": list, "sentence": str}
            assert {key: type(value) for key, value in found.items()} | {"size": float} == types
            assert found["kind"] in KINDS
            assert 0 <= found["score"] <= 1
            assert len(found["voxel"]) == len(found["world_mm"]) == 3


def test_sentences_have_size_unit_and_class(audited: Path) -> None:
    found = {case["case"]: case["findings"][0] for case in read(audited)["cases"][: len(ERRORS)]}
    wider = found["case_02"]
    assert wider["unit"] == "mm"
    assert 1.5 < wider["size"] < 3.5
    assert wider["sentence"].startswith("label 1 (large) is drawn ")
    assert "mm wider than the network expects" in wider["sentence"]
    assert found["case_05"]["unit"] == "ml"
    assert "flipped along y" in found["case_11"]["sentence"]


def test_the_table_says_the_same(audited: Path) -> None:
    rows = rows_of(audited / "audit.csv")
    assert list(rows[0]) == ["case", "class", "kind", "score", "size", "unit", "sentence"]
    assert {row["case"] for row in rows} == {case["case"] for case in read(audited)["cases"]}
    assert sum(bool(row["kind"]) for row in rows) == sum(len(case["findings"]) for case in read(audited)["cases"])


def test_maps_lie_on_the_image(audited: Path, study: tuple[Path, list[Path]]) -> None:
    image_file = study[0] / ELLIPSOIDS / "imagesTr" / "case_02_0000.nii.gz"
    image, world = SimpleITK.ReadImage(str(image_file)), nibabel.Nifti1Image.from_filename(image_file)
    for name in ("suspicion", "displacement", "consensus"):
        file = audited / "maps" / f"case_02_{name}.nii.gz"
        volume = SimpleITK.ReadImage(str(file))
        for geometry in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(volume, geometry)() == pytest.approx(getattr(image, geometry)())
        assert np.allclose(nibabel.Nifti1Image.from_filename(file).affine, world.affine)
    displacement = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(audited / "maps/case_02_displacement.nii.gz")))
    suspicion = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(audited / "maps/case_02_suspicion.nii.gz")))
    assert displacement[displacement != 0].mean() > 1.5
    assert 0.5 < suspicion.max() <= 1
    truth = SimpleITK.GetArrayFromImage(image) > 20  # the image shows the true objects
    assert suspicion[truth].mean() < 0.05 * suspicion.max()


def test_several_referees_and_probabilities(tmp_path: Path) -> None:
    _, folders = make_study(tmp_path / "more", ERRORS, CASES, referees=2)
    for folder in folders:
        save_probabilities(folder)
    audit = audit_of(folders, tmp_path / "audit")
    assert len(audit["referees"]) == 2
    assert audit["settings"]["probabilities"] is True
    assert {case["case"] for case in audit["cases"][:5]} == {f"case_{number:02d}" for number in ERRORS}
    found = [each for case in audit["cases"] for each in case["findings"]]
    assert "two networks expect," in next(each["sentence"] for each in found if each["kind"] == "wider")


def test_one_fold_only_is_told(study: tuple[Path, list[Path]], tmp_path: Path, capsys) -> None:
    missing = audit_of(study[1], tmp_path / "audit", "-f", "1")["missing"]
    assert any("case_00, case_02, case_04" in sentence and "10 labelled cases" in sentence for sentence in missing)
    assert "case_00, case_02" in capsys.readouterr().out


def test_a_killed_audit_goes_on(study: tuple[Path, list[Path]], audited: Path, tmp_path: Path, monkeypatch) -> None:
    from nnunetv2_dale.audit import kept_evidence, pictures
    from nnunetv2_dale.audit.evidence import evidence_of

    measured: list[str] = []

    def until_the_eighth(inputs: Any, *rest: Any) -> Any:
        if len(measured) == 8:
            raise KeyboardInterrupt
        measured.append(inputs.case)
        return evidence_of(inputs, *rest)

    def all_others(inputs: Any, *rest: Any) -> Any:
        measured.append(inputs.case)
        return evidence_of(inputs, *rest)

    output = tmp_path / "audit"
    monkeypatch.setattr(kept_evidence, "evidence_of", until_the_eighth)
    assert main([str(study[1][0]), "-o", str(output), "-np", "1"]) == 130
    assert not output.exists()
    monkeypatch.setattr(kept_evidence, "evidence_of", all_others)
    monkeypatch.setattr(pictures, "write_pictures", lambda *_: None)
    assert main([str(study[1][0]), "-o", str(output), "-np", "1"]) == 0
    assert len(measured) == len(set(measured)) == CASES
    assert read(output) == read(audited)
    assert [path.name for path in tmp_path.iterdir()] == ["audit"]


def test_a_second_audit_at_once_is_refused(study: tuple[Path, list[Path]], tmp_path: Path, capsys) -> None:
    with held(tmp_path / "audit", "nnUNetv2_dale_audit"):
        before = list(tmp_path.iterdir())
        assert main([str(study[1][0]), "-o", str(tmp_path / "audit"), "-np", "1"]) == 2
        assert list(tmp_path.iterdir()) == before
    assert "audit is being written by another nnUNetv2_dale_audit (process" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "is no folder"),
        ([], "give one or more result folders"),
        (["FOLDER", "-d", "4"], "-d audits without a network"),
        (["FOLDER", "--references", "empty"], "is missing"),
        (["FOLDER", "-f", "7"], "has no fold 7"),
        (["FOLDER", "FOLDER"], "was given twice"),
    ],
)
def test_bad_input(arguments: list[str], sentence: str, study, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = [str(study[1][0]) if word == "FOLDER" else word for word in arguments]
    assert main([*words, "-o", "audit"]) == 2
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_files_that_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    raw, (folder,) = make_study(tmp_path / "broken", {}, 6)
    monkeypatch.setenv("nnUNet_raw", str(raw))
    prediction = folder / "fold_0" / "validation" / "case_02.nii.gz"
    for content, sentence in (
        (np.zeros((14, 48, 40), np.uint8), "has shape (14, 48, 40)"),
        (np.full((14, 48, 48), 5, np.uint8), "holds the label 5"),
        (None, "is missing: the prediction"),
    ):
        prediction.unlink() if content is None else write_volume(content, prediction)
        assert main([str(folder), "-o", str(tmp_path / "audit"), "-np", "1"]) == 2
        assert sentence in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


def test_an_audit_is_not_overwritten(audited: Path, study: tuple[Path, list[Path]], capsys) -> None:
    assert main([str(study[1][0]), "-o", str(audited)]) == 2
    assert "already holds an audit" in capsys.readouterr().err
