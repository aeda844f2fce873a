"""The page: complete in itself, worked with the keyboard alone, and its decisions are the CSV."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunetv2_dale.audit.cli import main
from nnunetv2_dale.audit.decision_files import read_decisions, read_lines
from nnunetv2_dale.audit.decisions import decision_table
from nnunetv2_dale.audit.findings import read_audit
from nnunetv2_dale.audit.page import memory_key, viewer_commands
from tests.audit.fixtures import make_study

# Presses keys as a reader does, and reports what the page shows and asks for.
PROBE = """<script>
window.addEventListener("load", () => {
const press = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const shown = () => document.querySelector("#shown h3").textContent;
const seen = { first: shown() };
press("n"); seen.second = shown(); press("p"); seen.back = shown();
press("a"); seen.afterAccept = shown();
press("x"); press("ArrowLeft"); press("u"); press("f");
press("ArrowLeft"); press("ArrowLeft"); press("ArrowLeft"); press("ArrowLeft");
seen.pressed = document.querySelectorAll("#shown [aria-pressed=true]").length;
seen.count = document.getElementById("count").textContent;
seen.csv = document.getElementById("csv").value;
seen.link = document.getElementById("export").href.slice(0, 5);
seen.items = document.querySelectorAll("#list li").length;
seen.commands = [...document.querySelectorAll("#shown pre")].map((e) => e.textContent);
seen.requests = performance.getEntriesByType("resource").filter((e) => !/^(data|blob):/.test(e.name)).length;
seen.unnamed = [...document.images].filter((i) => !i.alt).length;
seen.pictures = document.querySelectorAll("#shown img").length;
document.body.insertAdjacentHTML("beforeend", `<pre id="seen"></pre>`);
document.getElementById("seen").textContent = JSON.stringify(seen);
});
</script>"""


# A browser that remembers decisions of other audits of this dataset, as earlier pages kept them.
OPENED = """<script>
for (const key of ["", " 0123456789abcdef"])
  localStorage.setItem("nnunetv2_dale_audit Dataset777_Ellipsoids" + key, JSON.stringify(OTHERS));
window.addEventListener("load", () => {
const seen = { csv: document.getElementById("csv").value, count: document.getElementById("count").textContent };
document.body.insertAdjacentHTML("beforeend", `<pre id="seen"></pre>`);
document.getElementById("seen").textContent = JSON.stringify(seen);
});
</script>"""


def browser() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page of an audit")
    raw, (folder,) = make_study(root, {1: "wider", 4: "missed_object", 6: "exchanged"}, 14)
    memory = {"cases": {"case_01": {"excess": [0.0, 8.0, 0.0], "contour": [9.0, 10.0, 0.0]}}}
    (folder / "fold_0" / "case_displacement.json").write_text(json.dumps(memory))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("nnUNet_raw", str(raw))
        assert main([str(folder), "-o", str(root / "audit"), "-np", "1"]) == 0
    return root / "audit" / "audit.html"


def test_nothing_is_asked_from_elsewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", text)
    assert "The training" in text
    assert "+0.80 voxels of contour, in 1 training" in text


def in_a_browser(page: Path, tmp_path: Path, probe: str) -> dict[str, Any]:
    """What a script at the end of the page puts into an element `seen`; the browser may complain about nothing."""
    with_probe = tmp_path / "audit with spaces.html"
    with_probe.write_text(page.read_text(encoding="utf-8").replace("</head>", probe + "</head>"), encoding="utf-8")
    arguments = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    arguments += "--disable-component-update --disable-sync --enable-logging=stderr --v=0 --virtual-time-budget=3000"
    done = subprocess.run(
        [browser(), *arguments.split(), f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", with_probe.as_uri()],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    return dict(json.loads(html.unescape(re.findall(r'<pre id="seen">(.*?)</pre>', done.stdout, re.S)[-1])))


def test_in_a_browser_with_the_keyboard(page: Path, tmp_path: Path) -> None:
    seen = in_a_browser(page, tmp_path, PROBE)
    assert seen["first"] == seen["back"] != seen["second"] == seen["afterAccept"]
    assert (seen["requests"], seen["unnamed"], seen["pictures"]) == (0, 0, 1)
    assert seen["link"] == "blob:"
    assert (seen["count"], seen["pressed"]) == ("2", 1)
    rows = list(csv.DictReader(io.StringIO(seen["csv"])))
    assert len(rows) == seen["items"]
    assert [row["decision"] for row in rows[:2]] == ["accept", "fix"]
    exported = tmp_path / "decisions.csv"
    exported.write_text(seen["csv"])
    assert [each.decision for each in read_decisions(exported)] == ["accept", "fix"]
    assert any(command.startswith("Slicer --python-code") for command in seen["commands"])
    assert any(command.startswith("itksnap -g") for command in seen["commands"])


def test_the_page_begins_with_the_decisions_that_were_given(page: Path, tmp_path: Path) -> None:
    """And with no others: those of another audit of this dataset stay with its own page."""
    root = page.parents[1]
    lines = read_lines(page.parent / "decisions.csv")
    earlier = tmp_path / "earlier.csv"
    fixed = ",".join(lines[0][name] for name in ("case", "label", "kind"))
    earlier.write_text(f"case,label,kind,decision,note\n{fixed},fix,\ncase_02,1,wider,accept,looked at\n")
    (folder,) = (root / "results").glob("*/*")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("nnUNet_raw", str(root / "raw"))
        words = ["--decisions", str(earlier), "-np", "1"]
        assert main([str(folder), "-o", str(tmp_path / "second"), *words]) == 0
    others = {"\n".join((line["case"], line["label"], line["kind"])): "exclude" for line in lines}
    probe = OPENED.replace("OTHERS", json.dumps(others))
    seen = in_a_browser(tmp_path / "second" / "audit.html", tmp_path, probe)
    assert seen["count"] == "1"
    assert seen["csv"] == (tmp_path / "second" / "decisions.csv").read_text()
    exported = tmp_path / "exported.csv"
    exported.write_text(seen["csv"])
    assert [(each.case, each.decision) for each in read_decisions(exported)] == [
        (lines[0]["case"], "fix"),
        ("case_02", "accept"),
    ]


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
