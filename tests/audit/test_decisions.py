"""What a person decides, and the dataset that comes of it."""

from __future__ import annotations

import csv
import hashlib
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
from tests.audit.fixtures import make_study
from tests.datasets import ELLIPSOIDS, ellipsoids, write_volume
from tests.nnunet_files.fixtures import full_after, kill_at

ERRORS = {1: "wider", 4: "missed_object", 6: "exchanged"}
NEW = "Dataset104_Ellipsoids"
BY_HAND = ellipsoids(3)


@pytest.fixture
def audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, Path]:
    """(nnUNet_raw, result folder, audit)."""
    raw, (folder,) = make_study(tmp_path / "study", ERRORS, 16)
    monkeypatch.setenv("nnUNet_raw", str(raw))
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)
    assert main([str(folder), "-o", str(tmp_path / "audit"), "-np", "1"]) == 0
    return raw, folder, tmp_path / "audit"


def fill_in(audit: Path, decisions: dict[str, str]) -> Path:
    """The audit's own template with decisions by case."""
    file = audit / "decisions.csv"
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow(row | {"decision": decisions.get(row["case"], "")})
    return file


def checksums(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_new_dataset_and_a_second_audit(audited: tuple[Path, Path, Path], tmp_path: Path) -> None:
    raw, folder, audit = audited
    before = checksums(raw / ELLIPSOIDS)
    table = fill_in(audit, {"case_01": "accept", "case_04": "fix", "case_06": "exclude"})
    assert main(["apply", str(table), "-d", "777", "--new_id", "104"]) == 0
    assert checksums(raw / ELLIPSOIDS) == before

    new = raw / NEW
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
    prediction = SimpleITK.ReadImage(str(folder / "fold_0/validation/case_04.nii.gz"))
    assert (SimpleITK.GetArrayFromImage(draft) == SimpleITK.GetArrayFromImage(prediction)).all()
    assert draft.GetSpacing() == pytest.approx(prediction.GetSpacing())
    assert (new / "to_fix.csv").read_text().count("case_04") >= 1

    assert main([str(folder), "-o", str(tmp_path / "second"), "--decisions", str(table), "-np", "1"]) == 0
    second = json.loads((tmp_path / "second" / "audit.json").read_text())
    asked = {case["case"] for case in second["cases"] if case["findings"]}
    assert "case_01" not in asked
    assert {"case_04", "case_06"} <= asked


def test_again_it_is_the_same(audited: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    raw, _, audit = audited
    table = fill_in(audit, {"case_04": "fix"})
    words = ["apply", str(table), "-d", "777", "--new_id", "104"]
    assert main(words) == 0
    first = checksums(raw / NEW)
    assert main(words) == 2
    assert "already exists" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    assert checksums(raw / NEW) == first


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
def test_what_was_mended_by_hand_is_not_lost(name: str, audited: tuple[Path, Path, Path], capsys) -> None:
    raw, _, audit = audited
    words = ["apply", str(audit / "decisions.csv"), "-d", "777", "--new_id", "104"]
    fill_in(audit, {"case_04": "fix"})
    assert main(words) == 0
    (raw / NEW / "labelsTr" / ".DS_Store").touch()
    write_volume(BY_HAND, raw / NEW / name)
    before = checksums(raw / NEW)
    fill_in(audit, {"case_04": "fix", "case_06": "exclude"})
    assert main([*words, "--overwrite"]) == 2
    told = capsys.readouterr().err
    assert "because of 1 problem:" in told
    assert f"{Path(NEW) / name}: was mended or added by hand, or is of another audit; move it, or give" in told
    assert checksums(raw / NEW) == before
    (raw / NEW / name).unlink()
    assert main([*words, "--overwrite"]) == 0
    assert (raw / NEW / "drafts" / "case_04_draft_by_networks.nii.gz").is_file()


def test_patients_stay_known(audited: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """So that the benchmark can look whether a fold has one on both sides."""
    raw, _, audit = audited
    patients = {f"case_{number:02d}": f"p{number // 2}" for number in range(15)}  # not of case_15
    table = raw / ELLIPSOIDS / "splits_patients.json"
    table.write_text(json.dumps(patients))
    words = ["apply", str(fill_in(audit, {"case_06": "exclude"})), "-d", "777", "--new_id", "104"]
    assert main(words) == 0
    del patients["case_06"]
    assert read_split_patients([raw / NEW]) == patients
    table.write_text("{")
    assert main([*words, "--overwrite"]) == 2
    assert f"{table} is not valid JSON" in capsys.readouterr().err


def test_patients_are_those_beside_the_splits_in_use(audited: tuple[Path, Path, Path], tmp_path, monkeypatch) -> None:
    raw, _, audit = audited
    in_use = tmp_path / "preprocessed" / ELLIPSOIDS
    in_use.mkdir(parents=True)
    monkeypatch.setenv("nnUNet_preprocessed", str(in_use.parent))
    (in_use / "splits_patients.json").write_text('{"case_00": "new"}')
    (raw / ELLIPSOIDS / "splits_patients.json").write_text('{"case_00": "old"}')
    assert main(["apply", str(fill_in(audit, {"case_06": "exclude"})), "-d", "777", "--new_id", "104"]) == 0
    assert read_split_patients([raw / NEW]) == {"case_00": "new"}


def test_a_full_disk_leaves_no_dataset(audited: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    raw, _, audit = audited
    table = fill_in(audit, {"case_04": "fix"})
    words = ["apply", str(table), "-d", "777", "--new_id", "104"]
    with full_after(100):
        assert main(words) == 2
    assert f"stopped: {raw / NEW}: File too large; nothing half-written" in capsys.readouterr().err
    assert [path.name for path in raw.iterdir()] == [ELLIPSOIDS]
    assert main(words) == 0


def test_a_full_disk_leaves_no_audit_and_it_goes_on(audited: tuple[Path, Path, Path], tmp_path: Path, capsys) -> None:
    _, folder, audit = audited
    words = [str(folder), "-o", str(tmp_path / "second"), "-np", "1"]
    with full_after(20_000):
        assert main(words) == 2
    assert f"stopped: {tmp_path / 'second'}: File too large; nothing half-written" in capsys.readouterr().err
    assert not (tmp_path / "second").exists()
    assert main(words) == 0
    assert checksums(tmp_path / "second") == checksums(audit)
    assert not list(tmp_path.glob(".unfinished_*"))


def test_a_killed_apply_leaves_no_dataset(audited: tuple[Path, Path, Path], capsys, caplog) -> None:
    raw, _, audit = audited
    table = fill_in(audit, {"case_04": "fix"})
    words = ["apply", str(table), "-d", "777", "--new_id", "104"]
    kill_at("nnunetv2_dale.audit.cli", "shutil.copy2", 9, words)
    assert {path.name for path in raw.iterdir() if not path.name.startswith(".unfinished_")} == {ELLIPSOIDS}
    assert main(words) == 0
    assert "is left of a run that was cut off; remove it" in caplog.text
    assert len(list((raw / NEW / "imagesTr").iterdir())) == 16


def test_damaged_files_are_named_and_not_copied(audited: tuple[Path, Path, Path], capsys) -> None:
    raw, _, audit = audited
    table = fill_in(audit, {"case_04": "fix"})
    (raw / ELLIPSOIDS / "imagesTs").mkdir()
    shutil.copy(raw / ELLIPSOIDS / "imagesTr/case_00_0000.nii.gz", raw / ELLIPSOIDS / "imagesTs/test_0000.nii.gz")
    damaged = ("imagesTs/test_0000", "imagesTr/case_03_0000", "labelsTr/case_05")
    for name in damaged:
        file = raw / ELLIPSOIDS / f"{name}.nii.gz"
        file.write_bytes(file.read_bytes()[:-9])
    words = ["apply", str(table), "-d", "777", "--new_id", "104"]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert all(f"{name}.nii.gz: is damaged" in told for name in damaged)
    assert not (raw / NEW).exists()


def test_a_damaged_draft_is_named(audited: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    raw, _, audit = audited
    table = fill_in(audit, {"case_04": "fix"})
    draft = audit / "maps/case_04_consensus.nii.gz"
    draft.write_bytes(draft.read_bytes()[:-9])
    assert main(["apply", str(table), "-d", "777", "--new_id", "104"]) == 2
    assert "case_04_consensus.nii.gz is damaged" in capsys.readouterr().err
    assert not (raw / NEW).exists()


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
def test_bad_calls(words: list[str], sentence: str, audited: tuple[Path, Path, Path], capsys) -> None:
    raw, _, audit = audited
    table = fill_in(audit, {"case_04": "fix"})
    assert main([str(table) if word == "TABLE" else word for word in words]) == 2
    assert sentence in capsys.readouterr().err
    assert [path.name for path in raw.iterdir()] == [ELLIPSOIDS]


def test_apply_as_it_was_spelled_before(audited: tuple[Path, Path, Path], tmp_path: Path) -> None:
    raw, _, audit = audited
    table = shutil.copyfile(fill_in(audit, {"case_04": "fix"}), tmp_path / "decisions.csv")
    assert main(["apply", str(table), "--audit", str(audit), "-d", "777", "--new_id", "104"]) == 0
    now = checksums(raw / NEW)
    assert main([str(audit), "--apply", str(table), "-d", "777", "-o", "104", "--overwrite"]) == 0
    assert checksums(raw / NEW) == now


def test_decisions_are_not_lost(audited: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    _, folder, audit = audited
    fill_in(audit, {"case_04": "fix"})
    assert main([str(folder), "-o", str(audit), "--overwrite"]) == 2
    assert "would be lost" in capsys.readouterr().err


def test_given_decisions_stand_in_the_new_table(audited: tuple[Path, Path, Path]) -> None:
    """Also those on what is no longer listed, and what else a person wrote; as often as one audits again."""
    _, folder, audit = audited
    table = fill_in(audit, {"case_01": "accept", "case_04": "fix", "case_06": "exclude"})
    text = table.read_text().splitlines()
    text = [text[0] + ",Note", *(line + (',"ask, please"' if "case_04" in line else ",") for line in text[1:])]
    write(table, "\n".join([*text, "case_02,,1,wider,fix,,,,,", "case_03,,1,wider,,,,,,see the report", ""]))
    before = {(each.case, each.label, each.kind): each for each in decisions_in(read_lines(table))}
    for _ in range(2):
        assert main([str(folder), "-o", str(audit), "--decisions", str(table), "--overwrite", "-np", "1"]) == 0
        assert {(each.case, each.label, each.kind): each for each in decisions_in(read_lines(table))} == before
        with table.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert {row["note"] for row in rows if row["case"] == "case_04"} == {"ask, please"}
        assert [row["note"] for row in rows if row["case"] == "case_03"] == ["see the report"]
        assert [row["case"] for row in rows if row["decision"] == "accept"] == [
            case for case, _, _ in before if case == "case_01"
        ]
        assert [row["case"] for row in rows[-2:]] == ["case_02", "case_03"]  # behind what is listed


def test_a_draft_for_what_is_no_longer_listed(audited: tuple[Path, Path, Path], tmp_path: Path) -> None:
    raw, folder, _ = audited
    table = write(tmp_path / "earlier.csv", "case,label,kind,decision\ncase_02,1,wider,fix\n")
    assert main([str(folder), "-o", str(tmp_path / "second"), "--decisions", str(table), "-np", "1"]) == 0
    assert main(["apply", str(tmp_path / "second" / "decisions.csv"), "-d", "777", "--new_id", "104"]) == 0
    assert [path.name for path in (raw / NEW / "drafts").iterdir()] == ["case_02_draft_by_networks.nii.gz"]


def test_notes_are_not_lost(audited: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    _, folder, audit = audited
    text = (audit / "decisions.csv").read_text().splitlines()
    write(audit / "decisions.csv", "\n".join([text[0] + ",note", text[1] + ",ask", *text[2:], ""]))
    assert main([str(folder), "-o", str(audit), "--overwrite"]) == 2
    assert "would be lost" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["decisions (1).csv", "maps/case_04_mended.nii.gz"])
def test_what_a_person_put_into_the_audit_is_not_lost(name: str, audited: tuple[Path, Path, Path], capsys) -> None:
    _, folder, audit = audited
    (audit / name).write_text("by hand")
    (audit / ".DS_Store").touch()
    words = [str(folder), "-o", str(audit), "--overwrite", "-np", "1"]
    assert main(words) == 2
    assert f"{audit / name} would be lost with the old audit; move that to another folder" in capsys.readouterr().err
    (audit / name).unlink()
    assert main(words) == 0


@pytest.mark.parametrize("place", ["afile.txt", "afolder"])
def test_only_an_audit_is_replaced(place: str, audited: tuple[Path, Path, Path], tmp_path: Path, capsys) -> None:
    _, folder, _ = audited
    (tmp_path / "afile.txt").touch()
    (tmp_path / "afolder").mkdir()
    (tmp_path / "afolder" / "x").touch()
    assert main([str(folder), "-o", str(tmp_path / place), "--overwrite"]) == 2
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
    excel = tmp_path / "excel.txt"
    excel.write_text(text.replace(";", "\t"), encoding="utf-16")
    assert decisions_in(read_lines(excel)) == decisions


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("case,kind\na,wider\n", "needs a first line with the columns case and label and kind and decision"),
        ("", "needs a first line with the columns"),
        ("case,label,kind,decision\na,1,wider,maybe\n", "case a, label 1, wider: expected the decision accept, fix"),
        ("case,label,kind,decision\na,1,bigger,fix\n", "no kind of finding"),
        (
            "case,label,kind,decision\na,1,wider,fix\na,1,wider,accept\n",
            r"decided twice; .*\n  case a, label 1, wider: fix \(.*line 2\) and accept \(.*line 3\)",
        ),
    ],
)
def test_bad_tables(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        decisions_in(read_lines(write(tmp_path / "d.csv", text)))
