"""The page: complete in itself, worked with the keyboard alone, and its decisions are the CSV."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunetv2_dale.audit.cli import main
from nnunetv2_dale.audit.decision_files import read_lines
from nnunetv2_dale.audit.decisions import Decision, decision_table, decisions_in
from nnunetv2_dale.audit.findings import read_audit
from nnunetv2_dale.audit.page import memory_key, viewer_commands
from tests.audit.fixtures import audit_of, make_study
from tests.pages.browser import seen_in_a_browser

# Presses keys as a reader does, and reports what the page shows and asks for.
PROBE = """
seen.first = shown();
press("n"); seen.second = shown(); press("p"); seen.back = shown();
press("a"); seen.afterAccept = shown();
press("x"); press("ArrowLeft"); press("u"); press("f");
press("ArrowLeft"); press("ArrowLeft"); press("ArrowLeft"); press("ArrowLeft");
seen.pressed = document.querySelectorAll("#shown [aria-pressed=true]").length;
seen.count = document.getElementById("count").textContent;
seen.link = document.getElementById("export").href.slice(0, 5);
seen.items = document.querySelectorAll("#list li").length;
seen.commands = [...document.querySelectorAll("#shown pre")].map((e) => e.textContent);
seen.requests = performance.getEntriesByType("resource").filter((e) => !/^(data|blob):/.test(e.name)).length;
seen.unnamed = [...document.images].filter((i) => !i.alt).length;
seen.pictures = document.querySelectorAll("#shown img").length;"""

# Decides, comments and takes back, without looking; then reports what the page shows.
UNDO = """
const decided = () => [...document.querySelectorAll("#list .decided")].map((e) => e.textContent).join(",");
seen.steps = [];
const step = (key) => { press(key); seen.steps.push([shown(), decided()]); };
for (const key of ["a", "x", "u", "u", "u", "f", "ArrowLeft", "a", "u", "ArrowLeft", "Delete", "u"]) step(key);
press("c");
seen.box = document.activeElement.id;
write('a, "second" look');
press("a"); seen.typed = decided();
press("Enter"); seen.left = document.activeElement === document.body;
press("n"); press("p"); seen.kept = value("comment");
seen.width = document.documentElement.scrollWidth - document.documentElement.clientWidth;"""

# Says who decides, by typing letters that are keys of the page elsewhere; decides before and after.
WHO = """
press("Delete"); press("n"); press("x");
seen.before = value("csv");
document.getElementById("who").focus();
for (const key of "fax") press(key);
write(" fax ");
press("Enter"); press("a");"""

# A browser that remembers decisions of other audits of this dataset, as earlier pages kept them.
OTHERS = """
for (const key of ["", " 0123456789abcdef"])
  localStorage.setItem("nnunetv2_dale_audit Dataset777_Ellipsoids" + key, JSON.stringify(%s));"""


# How a reader's hands are moved.
HANDS = """
const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const write = (text) => {
  document.activeElement.value = text;
  document.activeElement.dispatchEvent(new Event("input", { bubbles: true }));
};
const shown = () => document.querySelector("#shown h3").textContent;
const value = (id) => document.getElementById(id).value;"""
TABLE = "\nseen.csv = value('csv');"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page of an audit")
    _, (folder,) = make_study(root, {1: "wider", 4: "missed_object", 6: "exchanged"}, 14)
    memory = {"cases": {"case_01": {"excess": [0.0, 8.0, 0.0], "contour": [9.0, 10.0, 0.0]}}}
    (folder / "fold_0" / "case_displacement.json").write_text(json.dumps(memory))
    audit_of(folder, root / "audit")
    return root / "audit" / "audit.html"


def test_nothing_is_asked_from_elsewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", text)
    assert "The training" in text
    assert "+0.80 voxels of contour, in 1 training" in text


def seen_on(page: Path, tmp_path: Path, script: str, **options: Any) -> dict[str, Any]:
    """What a script with hands sees on a page, and the table that the page writes in the end."""
    return seen_in_a_browser(page.read_text(encoding="utf-8"), HANDS + script + TABLE, tmp_path, **options)


def decided_in(table: str, tmp_path: Path) -> list[Decision]:
    """The decisions in a table that a page wrote."""
    (tmp_path / "exported.csv").write_text(table)
    return decisions_in(read_lines(tmp_path / "exported.csv"))


def test_the_summary_says_how_many_of_what_and_how_long(page: Path) -> None:
    text = html.unescape(page.read_text())
    facts = dict(re.findall(r"<dt>(.+?)</dt><dd>(.+?)</dd>", text))
    cases = json.loads((page.parent / "audit.json").read_text())["cases"]
    count = sum(len(case["findings"]) for case in cases)
    assert facts["Labels"].startswith(f"{len(cases)} judged")
    assert sum(map(int, re.findall(r" (\d+)", facts["Findings of each kind"]))) == count
    assert facts["Time to decide"].startswith(f"about {(count + 1) // 2} minutes")


def test_in_a_browser_with_the_keyboard(page: Path, tmp_path: Path) -> None:
    seen = seen_on(page, tmp_path, PROBE)
    assert seen["first"] == seen["back"] != seen["second"] == seen["afterAccept"]
    assert (seen["requests"], seen["unnamed"], seen["pictures"]) == (0, 0, 1)
    assert seen["link"] == "blob:"
    assert (seen["count"], seen["pressed"]) == ("2", 1)
    rows = list(csv.DictReader(io.StringIO(seen["csv"])))
    assert len(rows) == seen["items"]
    assert [row["decision"] for row in rows[:2]] == ["accept", "fix"]
    assert [each.decision for each in decided_in(seen["csv"], tmp_path)] == ["accept", "fix"]
    assert any(command.startswith("Slicer --python-code") for command in seen["commands"])
    assert any(command.startswith("itksnap -g") for command in seen["commands"])


@pytest.mark.parametrize("width", [800, 1280, 3840])
def test_decisions_are_taken_back_one_by_one(page: Path, tmp_path: Path, width: int) -> None:
    """And the page is nowhere wider than the window, with a name that no line could break."""
    text = page.read_text(encoding="utf-8").replace("case_06", "case_06" + "x" * 150)
    (tmp_path / "long.html").write_text(text, encoding="utf-8")
    seen = seen_on(tmp_path / "long.html", tmp_path, UNDO, width=width)
    titles = [title for title, _ in seen["steps"]]
    decided = [each.split(",") for _, each in seen["steps"]]
    first, second = titles[3], titles[0]
    expected = [
        (second, ["accept", ""]),
        (titles[1], ["accept", "exclude"]),
        (second, ["accept", ""]),
        (first, ["", ""]),
        (first, ["", ""]),  # nothing is left to take back
        (second, ["fix", ""]),
        (first, ["fix", ""]),
        (second, ["accept", ""]),
        (first, ["fix", ""]),  # as it was before
        (first, ["fix", ""]),
        (first, ["", ""]),
        (first, ["fix", ""]),
    ]
    assert [(title, each[:2]) for title, each in zip(titles, decided, strict=True)] == expected
    assert len({first, second, titles[1]}) == 3
    assert (seen["box"], seen["typed"], seen["left"]) == ("comment", seen["steps"][-1][1], True)
    assert seen["kept"] == 'a, "second" look'
    rows = list(csv.DictReader(io.StringIO(seen["csv"])))
    assert [(row["decision"], row["comment"]) for row in rows[:2]] == [("fix", 'a, "second" look'), ("", "")]
    assert seen["width"] == 0


def test_the_page_begins_with_the_decisions_that_were_given(page: Path, tmp_path: Path) -> None:
    """And with no others: those of another audit of this dataset stay with its own page."""
    root = page.parents[1]
    lines = read_lines(page.parent / "decisions.csv")
    earlier = tmp_path / "earlier.csv"
    fixed = ",".join(lines[0][name] for name in ("case", "label", "kind"))
    earlier.write_text(f"case,label,kind,decision,comment\n{fixed},fix,so wide\ncase_02,1,wider,accept,looked at\n")
    (folder,) = (root / "results").glob("*/*")
    audit_of(folder, tmp_path / "second", "--decisions", str(earlier))
    others = {"\n".join((line["case"], line["label"], line["kind"])): "exclude" for line in lines}
    script = 'seen.count = document.getElementById("count").textContent;'
    seen = seen_on(tmp_path / "second" / "audit.html", tmp_path, script, before=OTHERS % json.dumps(others))
    assert seen["count"] == "1"
    assert seen["csv"] == (tmp_path / "second" / "decisions.csv").read_text()
    assert [(each.case, each.decision) for each in decided_in(seen["csv"], tmp_path)] == [
        (lines[0]["case"], "fix"),
        ("case_02", "accept"),
    ]


def test_the_page_writes_who_decided(page: Path, tmp_path: Path) -> None:
    seen = seen_on(page, tmp_path, WHO)
    assert "who" not in next(csv.reader(io.StringIO(seen["before"])))
    rows = list(csv.DictReader(io.StringIO(seen["csv"])))
    assert [(row["decision"], row["who"]) for row in rows[:3]] == [("", ""), ("exclude", "fax"), ("accept", "fax")]
    assert [each.who for each in decided_in(seen["csv"], tmp_path)] == ["fax", "fax"]


def test_a_page_without_pictures_and_paths(page: Path, tmp_path: Path) -> None:
    """Of a study with a fold that is not there, which the audit names with its folder."""
    root = page.parents[1]
    assert "pictures of patients, paths of files" in page.read_text()
    (folder,) = (root / "results").glob("*/*")
    copied = tmp_path / "my results" / folder.name
    shutil.copytree(folder, copied)
    (copied / "fold_1" / "validation" / "summary.json").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("nnUNet_raw", str(root / "raw"))
        for name, flags in (("all", []), ("none", ["--no_pictures", "--no_paths"])):
            assert main([str(copied), "-o", str(tmp_path / name), "-np", "1", *flags]) == 0
    texts = {
        name: [file.read_text() for file in (tmp_path / name).rglob("*") if file.suffix in (".html", ".json", ".csv")]
        for name in ("all", "none")
    }
    for found, name in ((True, "all"), (False, "none")):
        everything = "".join(texts[name])
        assert ("data:image/png" in everything) is found
        assert any(str(each) in everything for each in (tmp_path, root)) is found
    assert len(texts["none"]) == 4
    written = [each.split("<script>")[0] for each in texts["none"]]
    assert not any(re.search(r"""(?:^|[\s"'(=])/[\w.-]+/""", each) for each in written)
    assert "case_00" in "".join(texts["none"])


def test_every_audit_is_remembered_on_its_own(page: Path) -> None:
    audit = read_audit(page.parent / "audit.json")
    lines = read_lines(page.parent / "decisions.csv")
    table = decision_table(audit, lines)
    decided = decision_table(audit, [lines[0] | {"decision": "fix"}])
    other = replace(audit, referees=("another",))
    keys = [memory_key(audit, table), memory_key(audit, decided), memory_key(other, decision_table(other, lines))]
    assert len(set(keys)) == 3
    assert json.dumps(keys[0]) in page.read_text(encoding="utf-8")


def test_viewer_commands_are_typed_as_they_stand() -> None:
    commands = viewer_commands([Path("/data/my images/a_0000.nii.gz")], Path("/data/a.nii.gz"), "a")
    assert commands["ITK-SNAP"].startswith("itksnap -g '/data/my images/a_0000.nii.gz' -s /data/a.nii.gz")
    assert "maps/a_consensus.nii.gz" in commands["3D Slicer"]
    assert viewer_commands([], Path("a.nii.gz"), "a") == {}
