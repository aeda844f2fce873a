"""A hook of mkdocs.yml: pages at the root of the repository stand in the site too, and links to them lead there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
README = "about.md"  # under its own name it would be the site's index, in the place of docs/index.md
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
FILES = ("CITATION.cff", "LICENSE", "examples/any_network.ipynb", "examples/reading_an_audit.ipynb")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the root's pages, whose links start at the root, and the files that they link to."""
    for name in PAGES:
        text = re.sub(r"(\]\(|src=\")docs/", r"\1", (ROOT / name).read_text(encoding="utf-8"))
        files.append(File.generated(config, _in_site(name), content=text))
    for name in FILES:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to the root, which the site has one folder further down."""
    for name in PAGES + FILES:
        markdown = re.sub(rf"\]\(((?:\.\./)*?)(?:\.\./)?{name}", rf"](\1{_in_site(name)}", markdown)
    return markdown


def _in_site(name: str) -> str:
    return README if name == "README.md" else name
