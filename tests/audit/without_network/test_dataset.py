"""The whole command before any training: errors by name, what is said of a class, the page, and `apply`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nnunetv2_dale.audit.cli import main
from nnunetv2_dale.audit.decisions import write_lines
from tests.audit.without_network.fixtures import DATASET, ERRORS, write_abdomens
from tests.datasets import rows_of

WRONG = {4 * number + 1: name for number, name in enumerate(ERRORS)}
NOT_DRAWN = dict.fromkeys(range(0, 40, 4), "left")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the raw dataset and its audit."""
    folder = tmp_path_factory.mktemp("before_training")
    write_abdomens(folder / "raw", WRONG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("nnUNet_raw", str(folder / "raw"))
        assert main(["-d", "5", "-o", str(folder / "audit"), "-np", "1"]) == 0
        yield folder


def read(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "audit.json").read_text())
    return content


def audit_of(root: Path) -> Path:
    """The folder of an audit of the dataset in `root/raw`, without pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("nnUNet_raw", str(root / "raw"))
        assert main(["-d", DATASET, "-o", str(root / "audit"), "-np", "1", "--no_pictures"]) == 0
    return root / "audit"


def findings(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {case["case"]: case["findings"] for case in read(folder)["cases"]}


@pytest.mark.parametrize(("case", "kind"), WRONG.items())
def test_every_error_is_found_under_its_name(root: Path, case: int, kind: str) -> None:
    found = findings(root / "audit")[f"case_{case:02d}"]
    assert kind in [each["kind"] for each in found]
    assert all("without a network" in each["sentence"] for each in found)


def test_the_findings_say_which_class_and_where(root: Path) -> None:
    found = {each["kind"]: each for case in findings(root / "audit").values() for each in case}
    assert (found["speck"]["label"], found["speck"]["voxel"]) == ("5", [9, 20, 37])
    assert found["speck"]["size"] == pytest.approx(4 * 3 * 3 / 1000)  # ml of a voxel
    assert found["misplaced"]["label"] == "3"
    assert "between label 1 (upper) and label 3 (lower)" in found["missed_object"]["sentence"]
    assert {"4", "5"} >= {found["exchanged"]["label"]}
    assert found["shifted"]["size"] == pytest.approx(9, abs=6)  # three voxels of 3 mm
    assert found["flipped"]["label"] == found["empty"]["label"] == found["shifted"]["label"] == ""
    assert found["volume"]["label"] == "4"


def test_right_labels_have_no_findings(root: Path) -> None:
    right = {case: found for case, found in findings(root / "audit").items() if int(case[-2:]) not in WRONG}
    assert sum(map(bool, right.values())) <= 1  # of 31


def test_wrong_labels_come_first(root: Path) -> None:
    first = [int(case["case"][-2:]) for case in read(root / "audit")["cases"][: len(WRONG)]]
    assert set(first) == set(WRONG)
    assert read(root / "audit")["expected"]["wrong_cases"] == pytest.approx(len(WRONG), rel=0.5)


def test_the_page_has_pictures_and_no_networks(root: Path) -> None:
    page = (root / "audit" / "audit.html").read_text()
    assert page.count("data:image/png") > len(WRONG)
    assert "without a network" in page
    assert "contours of the label`" in page
    assert not (root / "audit" / "maps").exists()


def test_apply_excludes_and_lists_what_to_fix_without_drafts(root: Path) -> None:
    table = root / "audit" / "decisions.csv"
    chosen = {f"case_{case:02d}": "exclude" if kind == "flipped" else "fix" for case, kind in WRONG.items()}
    rows = [row | {"decision": chosen.get(row["case"], "")} for row in rows_of(table)]
    write_lines(list(rows[0]), rows, table)
    assert main(["apply", str(table), "-d", "5", "--new_id", "105"]) == 0
    new = root / "raw" / "Dataset105_Abdomens"
    assert len(list((new / "labelsTr").iterdir())) == 39
    to_fix = {row["case"] for row in rows_of(new / "to_fix.csv")}
    assert to_fix == {case for case, decision in chosen.items() if decision == "fix"}
    assert not (new / "drafts").exists()


def test_a_class_that_many_lack_is_one_statement(tmp_path: Path) -> None:
    write_abdomens(tmp_path / "raw", NOT_DRAWN)
    audit = audit_of(tmp_path)
    (statement,) = read(audit)["classes"]
    assert (statement["label"], statement["kind"]) == ("5", "not_annotated")
    assert statement["cases"] == [f"case_{case:02d}" for case in NOT_DRAWN]
    assert sum(map(bool, findings(audit).values())) <= 1


def test_a_class_that_a_table_says_is_not_annotated_is_not_missing(tmp_path: Path) -> None:
    folder = write_abdomens(tmp_path / "raw", {3: "left", 7: "left"}, cases=14)
    (folder / "confidence.csv").write_text("case,left\ncase_03,0\ncase_05,0\n")
    audit = audit_of(tmp_path)
    (statement,) = read(audit)["classes"]
    assert (statement["label"], statement["cases"]) == ("5", ["case_03", "case_05"])
    assert "not annotated in 2 cases, as confidence.csv says" in (audit / "audit.html").read_text()
    found = findings(audit)
    assert [each["label"] for each in found["case_03"] + found["case_05"]] == []
    assert [each["label"] for each in found["case_07"]] == ["5"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-d", "5", "FOLDER"], "goes with no result folders"),
        (["-d", "5", "-f", "0"], "goes with no result folders, -f"),
        (["-d", "6"], "found no dataset for 6"),
    ],
)
def test_what_does_not_go_together_is_refused(root: Path, tmp_path, capsys, words: list[str], expected: str) -> None:
    assert main([*words, "-o", str(tmp_path / "audit")]) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "audit").exists()
