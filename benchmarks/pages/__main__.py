"""Writes every page that shows a measured number or a setting: `python -m benchmarks.pages`, or `make pages`.

A page is a template, `PAGE.md.j2`, beside the `PAGE.md` that comes of it. Its numbers are calls of the functions in
this folder, which read the stored rows of `benchmarks/results/`. So no page says what was not measured.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import FunctionType

from jinja2 import Environment, FileSystemLoader, StrictUndefined

ROOT = Path(__file__).resolve().parents[2]
NOTE = "<!-- Written by `make pages` from {}: change that file. -->\n\n"
FUNCTIONS: dict[str, FunctionType] = {
    name: each
    for file in sorted(Path(__file__).parent.glob("[!_]*.py"))
    for name, each in vars(import_module(f"benchmarks.pages.{file.stem}")).items()
    if isinstance(each, FunctionType) and each.__module__.endswith(f".{file.stem}") and not name.startswith("_")
}


def templates() -> list[Path]:
    """The README's, and all in docs/."""
    return [ROOT / "README.md.j2", *sorted((ROOT / "docs").rglob("*.md.j2"))]


def written(template: Path) -> str:
    """The page of a template.

    Raises:
        jinja2.UndefinedError: the template calls a function that is not in `FUNCTIONS`.
        LookupError, ValueError: the stored rows lack what it asks for.
    """
    environment = Environment(loader=FileSystemLoader(ROOT), undefined=StrictUndefined, keep_trailing_newline=True)
    environment.globals |= FUNCTIONS
    return NOTE.format(template.name) + environment.get_template(template.relative_to(ROOT).as_posix()).render()


def main() -> None:
    for template in templates():
        template.with_suffix("").write_text(written(template), encoding="utf-8")


if __name__ == "__main__":
    main()
