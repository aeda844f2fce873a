"""Tables as people save them: from a text editor, from Excel in two countries, from a database."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.csv_table import read_keyed_table, read_numbered_table

ROWS = [{"case": "c0", "patient": "Ä, B"}, {"case": "c1", "patient": ""}]


@pytest.mark.parametrize(
    "content",
    [
        b'case,patient\nc0,"\xc3\x84, B"\nc1,\n',
        b"case;patient\r\nc0;\xc3\x84, B\r\nc1\r\n;\r\n\r\n",
        b"case\tpatient\nc0\t\xc3\x84, B\nc1\t",
        b'\xef\xbb\xbfCase , Patient\n c0 , "\xc3\x84, B"\nc1,'.replace(b', "', b',"'),
        "case\tpatient\r\nc0\tÄ, B\r\nc1\t\r\n".encode("utf-16"),
    ],
    ids=["comma", "semicolon, Windows", "tab", "byte order mark, capitals", "Unicode text of Excel"],
)
def test_every_way_of_saving_gives_the_same_rows(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(content)
    assert [row for _, row in read_numbered_table(file, ["case", "patient"])] == ROWS
    assert read_keyed_table(file, "case", ["patient"]) == {"c0": ROWS[0], "c1": ROWS[1]}


def test_further_columns_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("site;case;patient\nA;c0;p\n")
    assert read_numbered_table(file, ["case", "patient"]) == [(2, {"site": "A", "case": "c0", "patient": "p"})]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_line_breaks_in_a_value_are_kept(tmp_path: Path, delimiter: str) -> None:
    """Also breaks that no table means: a form feed. Lines are counted as an editor does."""
    file = tmp_path / "t.csv"
    content = 'case,note\nc0,"first\n\nthird"\nc1,page\x0c2\n'.replace(",", delimiter)
    file.write_text(content, encoding="utf-8")
    rows = [(2, {"case": "c0", "note": "first\n\nthird"}), (5, {"case": "c1", "note": "page\x0c2"})]
    assert read_numbered_table(file, ["case"]) == rows
    file.write_text(content.replace("\n", "\r\n"), encoding="utf-8", newline="")
    assert read_numbered_table(file, ["case"]) == rows


def test_names_that_a_spreadsheet_made_numbers_are_recognised(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("case,patient\n5.0,p\n1E+3,q\nc 0,r\n6,s\n")
    names = ["005", "1e3", " c 0", "x6"]
    assert list(read_keyed_table(file, "case", ["patient"], names)) == ["005", "1e3", " c 0", "6"]
    with pytest.raises(UserError, match=r"line 2: '5.0' may be '005' or '05'"):
        read_keyed_table(file, "case", ["patient"], [*names, "05"])
    file.write_text("case,patient\n5,p\n005,q\n")
    with pytest.raises(UserError, match="lists 005 twice"):
        read_keyed_table(file, "case", ["patient"], names)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "columns case and patient"),
        (b"case|patient\nc0|p\n", r"first line is 'case\|patient'"),
        (b"name,patient\nc0,p\n", "columns case and patient"),
        (b"case,patient\nc0,p\nc1,p,q\n", "line 3 of .* has 3 values for 2 columns"),
        (b"case,patient\nc0,p\nc1,p\nc0,q\n", "lists c0 twice"),
        (b"case,patient,Patient\nc0,p,q\n", "two columns 'patient'"),
        (b"case,patient\n,p\n", "a line without a case: p"),
        (b"case,patient\nc0,\xc4\n", "CSV UTF-8"),
        (b'case,patient\nc0,"p\nc1,q\n', "unexpected end of data; look at its quotation marks"),
    ],
)
def test_tables_that_say_nothing_or_two_things(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_keyed_table(file, "case", ["patient"])


def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.csv cannot be read as a table: No such file"):
        read_numbered_table(tmp_path / "nowhere.csv", ["case"])
