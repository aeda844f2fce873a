"""What a person decides, and the dataset that comes of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import SimpleITK

from nnunetv2_dale.audit.cli import main
from nnunetv2_dale.audit.decision_files import read_lines
from nnunetv2_dale.audit.decisions import accepted_findings, cases_to, decisions_in
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.splits import read_split_patients
from tests.audit.conftest import NEW, Study
from tests.datasets import ELLIPSOIDS, ellipsoids, files_in, rows_of, write_volume
from tests.nnunet_files.fixtures import full_after

BY_HAND = ellipsoids(3)


def test_a_new_dataset_and_a_second_audit(study: Study, tmp_path: Path) -> None:
    before = files_in(study.raw)
    words = study.words({"case_01": "accept", "case_04": "fix", "case_06": "exclude"})
    assert main(words) == 0
    assert files_in(study.raw) == before

    new = study.new
    names = {f"case_{number:02d}" for number in range(16)} - {"case_06"}
    assert {path.name.removesuffix(".nii.gz") for path in (new / "labelsTr").iterdir()} == names
    assert {path.name.removesuffix("_0000.nii.gz") for path in (new / "imagesTr").iterdir()} == names
    assert json.loads((new / "dataset.json").read_text())["numTraining"] == 15
    splits = json.loads((new / "splits_final.json").read_text())
    assert len(splits) == 2
    assert all(set(fold["train"]) | set(fold["val"]) == names for fold in splits)
    assert "case_01" in splits[1]["val"]

    assert [path.name for path in (new / "drafts").iterdir()] == ["case_04_draft_by_networks.nii.gz"]
    draft = SimpleITK.ReadImage(str(new / "drafts" / "case_04_draft_by_networks.nii.gz"))
    prediction = SimpleITK.ReadImage(str(study.results / "fold_0/validation/case_04.nii.gz"))
    assert (SimpleITK.GetArrayFromImage(draft) == SimpleITK.GetArrayFromImage(prediction)).all()
    assert draft.GetSpacing() == pytest.approx(prediction.GetSpacing())
    assert (new / "to_fix.csv").read_text().count("case_04") >= 1

    second = study.audit_again("--decisions", words[1])
    asked = {name for name, case in second.items() if name and case["findings"]}
    assert "case_01" not in asked
    assert {"case_04", "case_06"} <= asked


def test_again_it_is_the_same(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    words = study.words({"case_04": "fix"})
    assert main(words) == 0
    first = files_in(study.new)
    assert main(words) == 2
    assert "already exists" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    assert files_in(study.new) == first


@pytest.mark.parametrize(
    "name",
    [
        "labelsTr/case_04.nii.gz",
        "labelsTr/case_06.nii.gz",
        "labelsTr/case_99.nii.gz",
        "drafts/case_04_draft_by_networks.nii.gz",
        "drafts/case_04_mine.nii.gz",
    ],
    ids=["mended", "mended, then excluded", "another case", "draft", "second draft"],
)
def test_what_was_mended_by_hand_is_not_lost(name: str, study: Study, capsys) -> None:
    assert main(study.words({"case_04": "fix"})) == 0
    (study.new / "labelsTr" / ".DS_Store").touch()
    write_volume(BY_HAND, study.new / name)
    before = files_in(study.new)
    words = study.words({"case_04": "fix", "case_06": "exclude"}, "--overwrite")
    assert main(words) == 2
    told = capsys.readouterr().err
    assert "because of 1 problem:" in told
    assert f"{Path(NEW) / name}: was mended or added by hand, or is of another audit; move it, or give" in told
    assert files_in(study.new) == before
    (study.new / name).unlink()
    assert main(words) == 0
    assert (study.new / "drafts" / "case_04_draft_by_networks.nii.gz").is_file()


def test_patients_stay_known(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    """So that the benchmark can look whether a fold has one on both sides."""
    patients = {f"case_{number:02d}": f"p{number // 2}" for number in range(15)}  # not of case_15
    table = study.raw / "splits_patients.json"
    table.write_text(json.dumps(patients))
    words = study.words({"case_06": "exclude"})
    assert main(words) == 0
    del patients["case_06"]
    assert read_split_patients([study.new]) == patients
    table.write_text("{")
    assert main([*words, "--overwrite"]) == 2
    assert f"{table} is not valid JSON" in capsys.readouterr().err


def test_patients_are_those_beside_the_splits_in_use(study: Study, tmp_path, monkeypatch) -> None:
    in_use = tmp_path / "preprocessed" / ELLIPSOIDS
    in_use.mkdir(parents=True)
    monkeypatch.setenv("nnUNet_preprocessed", str(in_use.parent))
    (in_use / "splits_patients.json").write_text('{"case_00": "new"}')
    (study.raw / "splits_patients.json").write_text('{"case_00": "old"}')
    assert main(study.words({"case_06": "exclude"})) == 0
    assert read_split_patients([study.new]) == {"case_00": "new"}


def test_a_full_disk_leaves_no_dataset(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    words = study.words({"case_04": "fix"})
    with full_after(100):
        assert main(words) == 2
    assert f"stopped: {study.new}: File too large; nothing half-written" in capsys.readouterr().err
    assert [path.name for path in study.raw.parent.iterdir()] == [ELLIPSOIDS]
    assert main(words) == 0


def test_a_full_disk_leaves_no_audit_and_it_goes_on(study: Study, tmp_path: Path, capsys) -> None:
    words = [str(study.results), "-o", str(tmp_path / "second"), "-np", "1"]
    with full_after(20_000):
        assert main(words) == 2
    assert f"stopped: {tmp_path / 'second'}: File too large; nothing half-written" in capsys.readouterr().err
    assert not (tmp_path / "second").exists()
    assert main(words) == 0
    assert files_in(tmp_path / "second") == files_in(study.audit)
    assert not list(tmp_path.glob(".unfinished_*"))


def test_damaged_files_are_named_and_not_copied(study: Study, capsys) -> None:
    (study.raw / "imagesTs").mkdir()
    shutil.copy(study.raw / "imagesTr/case_00_0000.nii.gz", study.raw / "imagesTs/test_0000.nii.gz")
    damaged = ("imagesTs/test_0000", "imagesTr/case_03_0000", "labelsTr/case_05")
    for name in damaged:
        file = study.raw / f"{name}.nii.gz"
        file.write_bytes(file.read_bytes()[:-9])
    assert main(study.words({"case_04": "fix"})) == 2
    told = capsys.readouterr().err
    assert all(f"{name}.nii.gz: is damaged" in told for name in damaged)
    assert not study.new.exists()


def test_a_damaged_draft_is_named(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    draft = study.audit / "maps/case_04_consensus.nii.gz"
    draft.write_bytes(draft.read_bytes()[:-9])
    assert main(study.words({"case_04": "fix"})) == 2
    assert "case_04_consensus.nii.gz is damaged" in capsys.readouterr().err
    assert not study.new.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--apply", "TABLE", "-o", "104"], "needs the audited dataset"),
        (["--apply", "TABLE", "-d", "777", "-o", "audit2"], "a number"),
        (["a", "b", "--apply", "TABLE", "-d", "777", "-o", "104"], "give one folder"),
        (["apply", "TABLE", "-d", "777", "--new_id", "777"], "is the dataset itself"),
        (["apply", "TABLE", "-d", "778", "--new_id", "104"], "no dataset"),
        (["apply", "TABLE", "--audit", ".", "-d", "777", "--new_id", "104"], ". holds no audit (audit.json); give"),
    ],
)
def test_bad_calls(words: list[str], sentence: str, study: Study, capsys) -> None:
    table = study.decide({"case_04": "fix"})
    assert main([str(table) if word == "TABLE" else word for word in words]) == 2
    assert sentence in capsys.readouterr().err
    assert [path.name for path in study.raw.parent.iterdir()] == [ELLIPSOIDS]


def test_apply_as_it_was_spelled_before(study: Study, tmp_path: Path) -> None:
    table = shutil.copyfile(study.decide({"case_04": "fix"}), tmp_path / "decisions.csv")
    assert main(["apply", str(table), "--audit", str(study.audit), "-d", "777", "--new_id", "104"]) == 0
    now = files_in(study.new)
    assert main([str(study.audit), "--apply", str(table), "-d", "777", "-o", "104", "--overwrite"]) == 0
    assert files_in(study.new) == now


@pytest.mark.parametrize("noted", [False, True], ids=["decisions", "notes"])
def test_what_was_filled_in_is_not_lost(noted: bool, study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    text = study.decide({} if noted else {"case_04": "fix"}).read_text().splitlines()
    if noted:
        write(study.audit / "decisions.csv", "\n".join([text[0] + ",note", text[1] + ",ask", *text[2:], ""]))
    assert main([str(study.results), "-o", str(study.audit), "--overwrite"]) == 2
    assert "would be lost" in capsys.readouterr().err


def test_given_decisions_stand_in_the_new_table(study: Study) -> None:
    """Also those on what is no longer listed, and what else a person wrote; as often as one audits again."""
    table = study.decide({"case_01": "accept", "case_04": "fix", "case_06": "exclude"})
    text = table.read_text().splitlines()
    text = [text[0] + ",Note", *(line + (',"ask, please"' if "case_04" in line else ",") for line in text[1:])]
    write(table, "\n".join([*text, "case_02,,1,wider,fix,,,,,", "case_03,,1,wider,,,,,,see the report", ""]))
    before = {(each.case, each.label, each.kind): each for each in decisions_in(read_lines(table))}
    words = [str(study.results), "-o", str(study.audit)]
    for _ in range(2):
        assert main([*words, "--decisions", str(table), "--overwrite", "-np", "1"]) == 0
        assert {(each.case, each.label, each.kind): each for each in decisions_in(read_lines(table))} == before
        rows = rows_of(table)
        assert {row["note"] for row in rows if row["case"] == "case_04"} == {"ask, please"}
        assert [row["note"] for row in rows if row["case"] == "case_03"] == ["see the report"]
        assert [row["case"] for row in rows if row["decision"] == "accept"] == [
            case for case, _, _ in before if case == "case_01"
        ]
        assert [row["case"] for row in rows[-2:]] == ["case_02", "case_03"]  # behind what is listed


def test_a_draft_for_what_is_no_longer_listed(study: Study, tmp_path: Path) -> None:
    table = write(tmp_path / "earlier.csv", "case,label,kind,decision\ncase_02,1,wider,fix\n")
    assert main([str(study.results), "-o", str(tmp_path / "second"), "--decisions", str(table), "-np", "1"]) == 0
    assert main(["apply", str(tmp_path / "second" / "decisions.csv"), "-d", "777", "--new_id", "104"]) == 0
    assert [path.name for path in (study.new / "drafts").iterdir()] == ["case_02_draft_by_networks.nii.gz"]


@pytest.mark.parametrize("name", ["decisions (1).csv", "maps/case_04_mended.nii.gz"])
def test_what_a_person_put_into_the_audit_is_not_lost(name: str, study: Study, capsys) -> None:
    (study.audit / name).write_text("by hand")
    (study.audit / ".DS_Store").touch()
    words = [str(study.results), "-o", str(study.audit), "--overwrite", "-np", "1"]
    assert main(words) == 2
    assert f"{name} would be lost with the old audit; move that to another folder" in capsys.readouterr().err
    (study.audit / name).unlink()
    assert main(words) == 0


@pytest.mark.parametrize("place", ["afile.txt", "afolder"])
def test_only_an_audit_is_replaced(place: str, study: Study, tmp_path: Path, capsys) -> None:
    (tmp_path / "afile.txt").touch()
    (tmp_path / "afolder").mkdir()
    (tmp_path / "afolder" / "x").touch()
    assert main([str(study.results), "-o", str(tmp_path / place), "--overwrite"]) == 2
    assert f"{tmp_path / place} is there and holds no audit; give another place with -o" in capsys.readouterr().err


def write(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def test_reading(tmp_path: Path) -> None:
    text = "case;label;kind;decision\na;1;wider;Accept\na;2;wider;exclude\nb;1;wider;fix\nb;2;wider;\na;3;wider;fix\n"
    decisions = decisions_in(read_lines(write(tmp_path / "d.csv", text)))
    assert len(decisions) == 4
    assert accepted_findings(decisions) == {("a", "1", "wider")}
    assert cases_to("exclude", decisions) == ["a"]
    assert cases_to("fix", decisions) == ["b"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("case,kind\na,wider\n", "needs a first line with the columns case and label and kind and decision"),
        ("case,label,kind,decision\na,1,wider,maybe\n", "case a, label 1, wider: expected the decision accept, fix"),
        ("case,label,kind,decision\na,1,bigger,fix\n", "no kind of finding"),
    ],
)
def test_bad_tables(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        decisions_in(read_lines(write(tmp_path / "d.csv", text)))
