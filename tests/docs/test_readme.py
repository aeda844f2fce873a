"""What the README and the paper-to-code page say is so."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import torch

import nnunetv2_dale
from nnunetv2_dale.trainer.all_trainers import ALL_TRAINERS
from tests.dale.networks import blob_batch, small_unet

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")), REPOSITORY / "CONTRIBUTING.md"]
OUR_COMMANDS = sorted(
    entry.name for entry in entry_points(group="console_scripts") if entry.value.startswith("nnunetv2_dale.")
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_command_of_ours_is_listed_and_every_listed_one_exists():
    listed = set(re.findall(r"nnUNetv2_dale_\w+", README))
    assert listed == set(OUR_COMMANDS)
    for name in re.findall(r"`(nnUNetv2_\w+)`", README):
        assert shutil.which(name, path=str(Path(sys.executable).parent)), name


@pytest.mark.parametrize("command", OUR_COMMANDS)
def test_every_command_has_a_help(command):
    program = Path(sys.executable).parent / command
    outcome = subprocess.run([program, "--help"], capture_output=True, text=True, check=True)
    assert command in outcome.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_in_commands_of_ours_are_theirs(page):
    """Every flag of every command line of ours that a page shows is one the command knows."""
    for line in re.findall(r"^(?: {4}|\$ )?(nnUNetv2_dale_\w+ .+)$", page.read_text(encoding="utf-8"), flags=re.M):
        words = line.split("#")[0].split()
        program = Path(sys.executable).parent / words[0]
        arguments = [words[1]] if words[0] == "nnUNetv2_dale_convert" and len(words) > 1 else []
        known = subprocess.run([program, *arguments, "--help"], capture_output=True, text=True, check=True).stdout
        for flag in (word.split("=")[0] for word in words[1:] if re.fullmatch(r"--?[A-Za-z][\w-]*(=.*)?", word)):
            assert re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", known), f"{page.name}: {line}"


def test_every_trainer_has_a_page():
    """Under its whole name, or under its family's and each of what comes after it: a variant, a length."""
    pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name in ALL_TRAINERS:
        family, *parts = name.split("_")
        assert all(f"`{part}`" in pages for part in (family, *(f"_{part}" for part in parts))), name


def test_every_page_is_in_the_index_and_the_readme_is_short():
    index = (REPOSITORY / "docs" / "index.md").read_text(encoding="utf-8")
    for page in (REPOSITORY / "docs").glob("*.md"):
        assert page.name == "index.md" or f"]({page.name})" in index, page.name
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_sentence_needs_a_second_reading(page):
    """Outside of tables, code and headings, no sentence has more than 40 words."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    prose = "\n".join(line for line in text.splitlines() if not line.startswith(("|", "    ", "#")))
    blocks = re.split(r"\n\s*\n|\n(?=[-*\d])", prose)
    sentences = [each for block in blocks for each in re.split(r"(?<=[.!?:;])\s+", " ".join(block.split()))]
    assert [sentence for sentence in sentences if len(sentence.split()) > 40] == []


def test_the_example_with_another_network_runs():
    code = re.search(r"```python\n(.+?)```", README, flags=re.S)
    network = small_unet(deep_supervision=False)
    network.final_conv = network.decoder.seg_layers[-1]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    names = {"network": network, "optimizer": optimizer, "batches": [blob_batch(), blob_batch(seed=1)]}
    exec(compile(code[1], "README.md", "exec"), names)
    assert isinstance(names["record"], nnunetv2_dale.StepRecord)


def test_paper_to_code_names_what_exists():
    page = (REPOSITORY / "docs" / "paper_to_code.md").read_text(encoding="utf-8")
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "tests").rglob("test_*.py"))
    for name in re.findall(r"::(test_\w+)", page):
        assert f"def {name}" in tests, name
    for module, name in re.findall(r"`((?!test_)[a-z_]+)\.([A-Za-z_]+)[`.]", page):
        sources = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "nnunetv2_dale").rglob(f"{module}.py")]
        assert sources, module
        assert any(re.search(rf"(def|class) {name}\b", source) for source in sources), name


def test_public_names_are_importable_and_importing_the_package_is_light():
    for name in nnunetv2_dale.__all__:
        assert getattr(nnunetv2_dale, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = nnunetv2_dale.nothing
    light = "import sys, nnunetv2_dale; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", light], check=True)
