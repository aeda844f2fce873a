"""The site of `make site`: it is built without a complaint, it has every public name, and its pages fetch nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nnunetv2_dale
from tests.conftest import REPOSITORY

FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|audio|video|embed)\b[^>]*\bsrc=["']?(?:https?:)?//|<link\b[^>]*//"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    variables = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    run = subprocess.run(command, cwd=REPOSITORY, env=variables, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


def test_every_page_is_built_and_every_public_name_is_described(site: Path) -> None:
    pages = [path.relative_to(REPOSITORY / "docs") for path in (REPOSITORY / "docs").rglob("*.md")]
    assert [page for page in pages if not (site / page).with_suffix(".html").is_file()] == []
    names = (site / "python_names.html").read_text(encoding="utf-8")
    assert [name for name in nnunetv2_dale.__all__ if f'id="nnunetv2_dale.{name}"' not in names] == []
    assert not list(site.rglob("*.py")) + list(site.rglob("*.j2"))


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    files = [path for path in site.rglob("*") if path.suffix in {".html", ".css"}]
    texts = {path.name: path.read_text(encoding="utf-8") for path in files}
    assert [name for name, text in texts.items() if FETCHED.search(text)] == []
    assert [name for name, text in texts.items() if re.search(r"(@import|url\()\s*[\"']?(?:https?:)?//", text)] == []


@pytest.mark.parametrize(
    "line",
    [
        '<script src="https://a.org/b.js">',
        '<link rel="stylesheet" href="//a.org/b.css">',
        "<img src=http://a.org/b.png>",
    ],
)
def test_what_is_fetched_is_found(line: str) -> None:
    assert FETCHED.search(line)
