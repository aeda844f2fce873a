"""Tables of decisions as they come back from spreadsheets, from pandas, and from several people."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunetv2_dale.audit.decision_files import KnownNames, read_lines, without_redrawn
from nnunetv2_dale.audit.decisions import Decision, decisions_in, overruled
from nnunetv2_dale.commands.command_line import UserError

KNOWN = KnownNames(frozenset({"005", "5b", " left ", "7", "07"}), {"liver": "1", "kidney": "2", "both": "(1, 2)"})


def write(file: Path, text: str) -> Path:
    file.write_text("case,label,kind,decision\n" + text)
    return file


@pytest.mark.parametrize(
    ("case", "label", "meant"),
    [
        ("5", "2.0", ("005", "2")),
        ("5.00E+00", "2", ("005", "2")),
        ("005", '"(1,2)"', ("005", "(1, 2)")),
        ("left", "liver", (" left ", "1")),
        ("7", "", ("7", "")),
        ("elsewhere", "1", ("elsewhere", "1")),
    ],
)
def test_names_that_a_spreadsheet_changed(case: str, label: str, meant: tuple[str, str], tmp_path: Path) -> None:
    (line,) = read_lines(write(tmp_path / "d.csv", f"{case},{label},wider,fix\n"), known=KNOWN)
    assert (line["case"], line["label"]) == meant


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("7.0,1,wider,fix", "line 3: '7.0' may be '07' or '7'"),
        ("005,2.5,wider,fix", "line 3: the dataset has no label '2.5'; expected 1 .liver.; 2 .kidney."),
        ("005,9,wider,fix", "line 3: the dataset has no label '9'"),
    ],
)
def test_what_may_mean_two_things_is_refused_with_its_line(line: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        read_lines(write(tmp_path / "d.csv", f"5b,1,wider,fix\n{line}\n"), known=KNOWN)


def test_tables_of_two_people_are_taken_together(tmp_path: Path) -> None:
    anna = write(tmp_path / "anna.csv", "a,1,wider,accept\nb,1,wider,fix\nc,1,wider,\n")
    ben = tmp_path / "ben.csv"
    ben.write_text("case,label,kind,decision,who,note\nb,1,wider,fix,Dr. B.,ask\nc,1,wider,exclude,,\n")
    assert [(each.case, each.decision, each.who) for each in decisions_in(read_lines(anna, ben))] == [
        ("a", "accept", "anna"),
        ("b", "fix", "anna; Dr. B."),
        ("c", "exclude", "ben"),
    ]
    assert [line.get("note") for line in read_lines(anna, ben)] == [None, "ask", ""]
    assert [each.who for each in decisions_in(read_lines(anna))] == ["", ""]


def test_tables_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    files = [tmp_path / who / "decisions.csv" for who in ("anna", "ben")]
    for file, case in zip(files, "ab", strict=True):
        file.parent.mkdir()
        write(file, f"{case},1,wider,fix\n")
    assert [each.who for each in decisions_in(read_lines(*files))] == [str(file.with_suffix("")) for file in files]


def test_every_contradiction_is_named_with_both_tables(tmp_path: Path) -> None:
    anna = write(tmp_path / "anna.csv", "5,1,wider,accept\n7,1,wider,fix\n5b,1,wider,fix\n")
    ben = write(tmp_path / "ben.csv", "005,1.0,wider,exclude\n7,1,wider,accept\n5b,1,wider,fix\n5b,1,wider,accept\n")
    with pytest.raises(UserError) as error:
        read_lines(anna, ben, known=KNOWN)
    first, *listed = str(error.value).splitlines()
    assert first.startswith("3 findings are decided twice")
    assert listed == [
        f"  case 005, label 1, wider: accept ({anna}, line 2) and exclude ({ben}, line 2)",
        f"  case 7, label 1, wider: fix ({anna}, line 3) and accept ({ben}, line 3)",
        f"  case 5b, label 1, wider: fix ({anna}, line 4) and accept ({ben}, line 5)",
    ]


def test_a_decision_is_on_one_label(tmp_path: Path) -> None:
    """Of another checksum: asked again, and no contradiction of what was decided on the label as it is now."""
    table = tmp_path / "d.csv"
    table.write_text(
        "case,label,kind,decision,checksum,note\n"
        "a,1,wider,accept,crc32:old,was fine\na,1,wider,fix,crc32:new,\n"
        "b,1,wider,exclude,crc32:old,\nc,1,wider,accept,,\nd,1,wider,accept,crc32:new,\n"
    )
    lines, redrawn = without_redrawn(read_lines(table), dict.fromkeys("abcd", "crc32:new"))
    assert [(line["case"], line["decision"], line["note"]) for line in lines] == [
        ("a", "fix", "was fine"),
        ("b", "", ""),
        ("c", "accept", ""),
        ("d", "accept", ""),
    ]
    assert [(each.case, each.decision) for each in redrawn] == [("a", "accept"), ("b", "exclude")]


def test_an_exclusion_against_other_decisions_is_told() -> None:
    decisions = [
        Decision("a", "1", "wider", "fix", "", "anna"),
        Decision("a", "", "flipped", "exclude", ""),
        Decision("b", "1", "wider", "exclude", ""),
        Decision("b", "2", "wider", "exclude", ""),
        Decision("c", "1", "wider", "accept", ""),
        Decision("c", "2", "wider", "fix", ""),
    ]
    assert overruled(decisions) == [
        "a is excluded: exclude (flipped, the whole label), against fix (wider, label 1, by anna)"
    ]
