"""What the README and the pages in docs/ say is so, and is said shortly."""

from __future__ import annotations

import configparser
import contextlib
import functools
import io
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import torch

import nnunetv2_dale
from nnunetv2_dale.trainer.all_trainers import LENGTHS, WRITTEN
from tests.conftest import REPOSITORY
from tests.dale.networks import blob_batch, small_unet

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md")), REPOSITORY / "CONTRIBUTING.md"]
OUR_COMMANDS = {
    entry.name: entry for entry in entry_points(group="console_scripts") if entry.value.startswith("nnunetv2_dale.")
}
NUMBER = r"\d+(?:[.,]\d+)*"
on_every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())


def without_code(text: str) -> str:
    """The words that a reader sees: no code, no links' targets, no remarks."""
    text = re.sub(r"```.*?```|<!--.*?-->", "", text, flags=re.DOTALL)
    text = "\n".join(line for line in text.splitlines() if not line.startswith("    "))
    return re.sub(r"`[^`]*`|\]\([^)]*\)", " ", text)


def cells(text: str) -> list[str]:
    """Of every table, but for its rules."""
    rows = [line.strip("|") for line in text.splitlines() if line.startswith("|") and not re.match(r"[|\s:-]+$", line)]
    return [cell for row in rows for cell in row.split("|")]


def long_sentences(text: str) -> list[str]:
    """Outside of tables, code and headings: those of more than 40 words."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    prose = "\n".join(line for line in text.splitlines() if not line.startswith(("|", "    ", "#")))
    blocks = re.split(r"\n\s*\n|\n(?=[-*\d])", prose)
    sentences = [each for block in blocks for each in re.split(r"(?<=[.!?:;])\s+", " ".join(block.split()))]
    return [sentence for sentence in sentences if len(sentence.split()) > 40]


def anchors(page: Path) -> set[str]:
    """What a link to a heading of the page ends in."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@functools.cache
def help_of(command: str, *arguments: str) -> str:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), pytest.raises(SystemExit) as ended:
        OUR_COMMANDS[command].load()([*arguments, "--help"])
    assert not ended.value.code
    return shown.getvalue()


@on_every_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            file, _, anchor = target.partition("#")
            there = page.parent / file if file else page
            assert there.exists(), f"{page.name} links to {target}"
            assert not anchor or anchor in anchors(there), f"{page.name} links to {target}"


def test_every_command_of_ours_is_listed_and_every_listed_one_exists() -> None:
    assert set(re.findall(r"nnUNetv2_dale_\w+", README)) == set(OUR_COMMANDS)
    for name in re.findall(r"`(nnUNetv2_\w+)`", README):
        assert shutil.which(name, path=str(Path(sys.executable).parent)), name


@pytest.mark.parametrize("command", sorted(OUR_COMMANDS))
def test_every_command_has_a_help(command: str) -> None:
    assert command in help_of(command)


@on_every_page
def test_flags_in_commands_of_ours_are_theirs(page: Path) -> None:
    """Every flag of every command line of ours that a page shows is one the command knows."""
    for line in re.findall(r"^(?: {4}|\$ )?(nnUNetv2_dale_\w+ .+)$", page.read_text(encoding="utf-8"), flags=re.M):
        name, *words = line.split("#")[0].split()
        known = help_of(name, *words[: name == "nnUNetv2_dale_convert" or words[0] == "apply"])
        for flag in (word.split("=")[0] for word in words if re.fullmatch(r"--?[A-Za-z][\w-]*(=.*)?", word)):
            assert re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", known), f"{page.name}: {line}"


def test_every_trainer_has_a_page() -> None:
    """Under its whole name, or under its family's and what comes after it; the lengths, which all have, once."""
    pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name in (trainer.__name__ for trainer in WRITTEN):
        family, _, variant = name.partition("_")
        assert f"`{name}`" in pages or (f"`{family}`" in pages and f"`_{variant}`" in pages), name
    assert [length for length in LENGTHS if f"`{length}`" not in pages] == []


def test_every_page_is_in_the_index() -> None:
    docs = REPOSITORY / "docs"
    index = (docs / "index.md").read_text(encoding="utf-8")
    for page in docs.rglob("*.md"):
        assert page.name == "index.md" or f"]({page.relative_to(docs).as_posix()})" in index, page.name


def test_the_readme_is_read_in_two_minutes() -> None:
    """Tables too: a cell that holds a paragraph is a paragraph."""
    assert len(README.splitlines()) <= 80
    assert len(re.findall(NUMBER, without_code(README))) <= 45
    for cell in cells(without_code(README)):
        assert len(cell.split()) <= 25, cell
        assert len(re.findall(NUMBER, cell)) <= 4, cell


def test_what_is_too_long_is_found() -> None:
    table = "| a | b |\n| --- | ---: |\n| one two | 1.5 to 2, `3` |\n"
    assert [cell.strip() for cell in cells(table)] == ["a", "b", "one two", "1.5 to 2, `3`"]
    assert re.findall(NUMBER, without_code(table + "    4 5\n[x](6)")) == ["1.5", "2"]
    assert long_sentences("word " * 40 + "end. Short.") == ["word " * 40 + "end."]


@on_every_page
def test_no_sentence_needs_a_second_reading(page: Path) -> None:
    assert long_sentences(page.read_text(encoding="utf-8")) == []


@on_every_page
def test_pages_speak_the_fields_language(page: Path) -> None:
    """Reported, found, down-weighted."""
    words = without_code(page.read_text(encoding="utf-8"))
    assert re.findall(r"doubted|\b(?:is|are) told\b|what is there", words) == []


def test_every_dependency_has_a_line_that_says_what_it_is_for() -> None:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(REPOSITORY / "setup.cfg")
    needed = {"": setup["options"]["install_requires"], **setup["options.extras_require"]}
    wanted = {
        (extra, re.match(r"[\w-]+", line)[0])
        for extra, lines in needed.items()
        for line in lines.split("\n")
        if line and not line.startswith("%(")
    }
    page = (REPOSITORY / "docs/dependencies.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]
    described = {
        (row[0] if len(row) == 3 else "", package)
        for row in rows
        if row[-2] not in ("package", "---")
        for package in row[-2].split(", ")
    }
    assert described == wanted


def test_the_example_with_another_network_runs() -> None:
    page = (REPOSITORY / "docs/another_network.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.+?)```", page, flags=re.S)
    assert code is not None
    network = small_unet(deep_supervision=False)
    network.final_conv = network.decoder.seg_layers[-1]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    names = {"network": network, "optimizer": optimizer, "batches": [blob_batch(), blob_batch(seed=1)]}
    exec(compile(code[1], "another_network.md", "exec"), names)
    assert isinstance(names["record"], nnunetv2_dale.StepRecord)


def test_pages_name_tests_and_functions_that_exist() -> None:
    for file, name in (each for page in PAGES for each in re.findall(r"(\w*)(?:\.py)?::(test_\w+)", page.read_text())):
        files = list((REPOSITORY / "tests").rglob(f"{file or 'test_*'}.py"))
        assert any(f"def {name}" in path.read_text(encoding="utf-8") for path in files), name
    page = (REPOSITORY / "docs" / "paper_to_code.md").read_text(encoding="utf-8")
    for module, name in re.findall(r"`((?!test_)[a-z_]+)\.([A-Za-z_]+)[`.]", page):
        sources = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "nnunetv2_dale").rglob(f"{module}.py")]
        assert sources, module
        assert any(re.search(rf"(def|class) {name}\b", source) for source in sources), name


def test_public_names_are_importable_and_importing_the_package_is_light() -> None:
    for name in nnunetv2_dale.__all__:
        assert getattr(nnunetv2_dale, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = nnunetv2_dale.nothing
    light = "import sys, nnunetv2_dale; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", light], check=True)
