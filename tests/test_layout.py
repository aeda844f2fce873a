"""The layout, held by the imports: which room may use which, what lies at the package root, where tests belong."""

from __future__ import annotations

import ast
import configparser
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import nnunetv2_dale
from tests.conftest import REPOSITORY

PACKAGE = "nnunetv2_dale"
METHODS = {"dale", "case_trust", "rivals", "svl_drl", "dk_uxnet"}  # train any `nn.Module`: torch and themselves
LENT = {
    "dale.fuzziness",
    "dale.label_edges",
    "dale.marginal_loss",
    "dale.masked_loss",
    "dale.validated_settings",
}  # what the other methods may take from `dale`
SHARED = {"commands", "dale", "masks", "nnunet_files", "pages"}  # what every command may use
COMMANDS = {
    "audit",
    "benchmark",
    "confidence",
    "convert",
    "demo",
    "export",
    "label_noise",
    "preview",
    "pseudo_labels",
    "report",
}
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": {"dale", "trainer"},  # the public names, on first use
    "discovery": set(),
    "discovery_build": set(),
    "dale": set(),
    "masks": set(),
    "statistics": set(),
    **dict.fromkeys(METHODS - {"dale"}, LENT),
    "trainer": METHODS | {"nnunet_files", "commands.counted"},
    "commands": set(),
    "nnunet_files": {"commands"},
    "pages": {"commands", "dale"},
    "readers": {"commands", "masks", "nnunet_files", "pages"},  # several readers' labels, joined in one way
    **dict.fromkeys(COMMANDS, SHARED),
    "audit": SHARED | {"statistics", "case_trust.border_contrast"},  # what a border shows of itself, in one definition
    "confidence": SHARED | {"readers"},
    "convert": SHARED | {"readers"},
    "benchmark": SHARED | {"report"},  # its last act is the report on its runs
    "pseudo_labels": SHARED | {"statistics"},  # its judgement of a case is what the audit knows to be usual
    "demo": SHARED | {"trainer", "case_trust.config"},  # its trainers are ours
    "trainers": {"trainer"},
    "preprocessing": {"convert", "commands", "nnunet_files"},
}
"""What each room may import of this project, but for itself: rooms, or single modules of one."""


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    """Every module of the project as (name, file): `dale.config`, `trainers.nnunetv2_dale_trainers`, `discovery`."""
    for folder in (root / PACKAGE, root / "trainers", root / "preprocessing"):
        base = folder if folder.name == PACKAGE else root
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(base).with_suffix("").parts
            yield ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts), path


def imported(path: Path, name: str = "") -> Iterator[str]:
    """What a file imports, in full: `nnunetv2_dale.dale.config.DaleConfig`, `torch.nn`.

    Args:
        path: the file.
        name: of the module, for its relative imports.
    """
    parents = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = [node.module] if node.module else []
            if node.level:
                start = [PACKAGE, *parents[: len(parents) - node.level + 1], *start]
            yield from (".".join([*start, alias.name]) for alias in node.names)


def resolved(target: str, known: set[str]) -> str | None:
    """The module that an import of this package loads, or None where there is none.

    Names that `nnunetv2_dale` itself offers are `__init__`, but for its version, which everybody may read: "".
    """
    name = target.removeprefix(PACKAGE).removeprefix(".")
    if name in ("", "__version__"):
        return ""
    if name in known:
        return name
    module = name.rpartition(".")[0]
    if not module:
        return "__init__" if name in nnunetv2_dale.__all__ else None
    return module if module in known else None


def wrong_arrows(root: Path) -> set[tuple[str, str | None]]:
    """Imports that no rule allows, as (module, what it imports)."""
    files = dict(modules(root))
    wrong = set()
    for name, path in files.items():
        room = name.split(".")[0]
        for target in imported(path, name):
            first = target.split(".")[0]
            if first == PACKAGE:
                module = resolved(target, set(files))
                its_room = (module or "").split(".")[0]
                if module != "" and its_room != room and not {module, its_room} & MAY_IMPORT.get(room, set()):
                    wrong.add((name, module))
            elif room in METHODS and first != "torch" and first not in sys.stdlib_module_names:
                wrong.add((name, first))
    return wrong


def imports_of_nothing(root: Path) -> list[tuple[str, str]]:
    """Imports of this package, in any file of the repository, that lead to no module and no public name."""
    names = {path: name for name, path in modules(root)}
    others = [path for folder in ("benchmarks", "docs", "tests") for path in sorted((root / folder).rglob("*.py"))]
    return [
        (str(path.relative_to(root)), target)
        for path in [*names, *others]
        for target in imported(path, names.get(path, ""))
        if target.split(".")[0] == PACKAGE and resolved(target, set(names.values())) is None
    ]


def misplaced(root: Path) -> list[str]:
    """Modules at the package root or folders that the layout does not know."""
    return sorted({name.split(".")[0] for name, _ in modules(root)} - set(MAY_IMPORT))


def without_test(root: Path) -> list[str]:
    """Modules of the methods that have no test file of their own and that no test of their room imports."""
    files = dict(modules(root))
    found = []
    for name, path in files.items():
        room = root / "tests" / name.split(".")[0]
        if name.split(".")[0] in METHODS and path.name != "__init__.py":
            tested = (resolved(each, set(files)) for test in sorted(room.glob("*.py")) for each in imported(test))
            if not (room / f"test_{path.stem}.py").is_file() and name not in tested:
                found.append(name)
    return found


def more_than_reexports(path: Path) -> list[int]:
    """The lines of statements that are no docstring, no import from elsewhere and no re-export of all trainers."""
    return [
        node.lineno
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if not isinstance(node, ast.ImportFrom)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        and ast.unparse(node) != "globals().update(ALL_TRAINERS)"
    ]


def edits_of_the_search_path(path: Path) -> list[int]:
    """The lines that put something on `sys.path`: files here import each other by their full names."""
    edits = ("sys.path.insert(", "sys.path.append(", "sys.path.extend(", "sys.path[", "sys.path =", "sys.path +=")
    statements = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.stmt))
    return [node.lineno for node in statements if ast.unparse(node).startswith(edits)]


def test_every_import_follows_the_layout() -> None:
    assert wrong_arrows(REPOSITORY) == set()


def test_every_import_of_ours_leads_somewhere() -> None:
    assert imports_of_nothing(REPOSITORY) == []


def test_every_module_has_its_room_and_every_method_its_tests() -> None:
    assert misplaced(REPOSITORY) == []
    assert without_test(REPOSITORY) == []


def test_the_allowed_arrows_make_no_circle() -> None:
    rooms = {room: {target.split(".")[0] for target in targets} for room, targets in MAY_IMPORT.items()}
    order = list(TopologicalSorter(rooms).static_order())
    assert order.index("dale") < order.index("trainer") < order.index("demo")


def test_trainers_only_reexport() -> None:
    for path in (REPOSITORY / "trainers").glob("*.py"):
        assert more_than_reexports(path) == [], path.name


def test_nothing_is_put_on_the_search_path() -> None:
    files = [path for folder in ("benchmarks", "docs", "tests") for path in (REPOSITORY / folder).rglob("*.py")]
    assert [str(path) for path in files if edits_of_the_search_path(path)] == []


def test_tests_mirror_the_rooms() -> None:
    rooms = {name.split(".")[0] for name, path in modules(REPOSITORY) if path.parent.name != PACKAGE}
    folders = {path.parent.relative_to(REPOSITORY / "tests").parts[0] for path in REPOSITORY.glob("tests/*/test_*.py")}
    assert folders == rooms - {"trainers"} | {"benchmarks", "docs", "examples"}
    loose = {path.name for path in (REPOSITORY / "tests").glob("*.py")}
    assert loose == {
        "__init__.py",
        "conftest.py",
        "datasets.py",
        "run_commands.py",
        "test_discovery.py",
        "test_layout.py",
        "test_project.py",
    }


def test_every_room_is_installed() -> None:
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    installed = set(setup["options"]["packages"].split())
    rooms = {name.rpartition(".")[0] or name for name, path in modules(REPOSITORY) if path.parent.name != PACKAGE}
    assert installed == {PACKAGE} | {f"{PACKAGE}.{room}" for room in rooms}


@pytest.mark.parametrize(
    ("file", "line", "arrow"),
    [
        ("nnunetv2_dale/dale/x.py", "import nnunetv2.paths", ("dale.x", "nnunetv2")),
        ("nnunetv2_dale/rivals/x.py", "import numpy as np", ("rivals.x", "numpy")),
        ("nnunetv2_dale/dale/x.py", "from nnunetv2_dale.rivals.y import z", ("dale.x", "rivals.y")),
        ("nnunetv2_dale/rivals/x.py", "from nnunetv2_dale.dale.config import z", ("rivals.x", "dale.config")),
        ("nnunetv2_dale/rivals/x.py", "from nnunetv2_dale.dale import config", ("rivals.x", "dale.config")),
        ("nnunetv2_dale/rivals/x.py", "from ..dale.config import z", ("rivals.x", "dale.config")),
        ("nnunetv2_dale/rivals/x.py", "from nnunetv2_dale import DaleConfig", ("rivals.x", "__init__")),
        ("nnunetv2_dale/rivals/x.py", "def f():\n    from nnunetv2_dale.report.y import z", ("rivals.x", "report.y")),
        ("nnunetv2_dale/trainer/x.py", "from nnunetv2_dale.report.y import z", ("trainer.x", "report.y")),
        ("nnunetv2_dale/nnunet_files/x.py", "from nnunetv2_dale.report.y import z", ("nnunet_files.x", "report.y")),
        ("nnunetv2_dale/export/x.py", "from nnunetv2_dale.report.y import z", ("export.x", "report.y")),
        ("nnunetv2_dale/audit/x.py", "from nnunetv2_dale.report.y import z", ("audit.x", "report.y")),
        ("nnunetv2_dale/export/x.py", "from nnunetv2_dale.trainers.y import z", ("export.x", "trainers.y")),
        ("nnunetv2_dale/discovery.py", "from nnunetv2_dale.dale.config import z", ("discovery", "dale.config")),
        ("trainers/x.py", "from nnunetv2_dale.dale.config import z", ("trainers.x", "dale.config")),
        ("nnunetv2_dale/rivals/x.py", "from nnunetv2_dale.dale.masked_loss import MaskedLoss", None),
        ("nnunetv2_dale/rivals/x.py", "from dataclasses import dataclass\nimport torch.nn", None),
        ("nnunetv2_dale/benchmark/x.py", "from nnunetv2_dale.report.y import z", None),
        ("nnunetv2_dale/export/x.py", "from nnunetv2_dale import __version__\nimport nnunetv2", None),
    ],
)
def test_a_wrong_arrow_is_found(tmp_path: Path, file: str, line: str, arrow: tuple[str, str | None] | None) -> None:
    tree = ("dale/config.py", "dale/masked_loss.py", "rivals/y.py", "report/y.py", "__init__.py")
    for path in [tmp_path / PACKAGE / name for name in tree] + [tmp_path / "trainers" / "y.py", tmp_path / file]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (tmp_path / file).write_text(line)
    assert wrong_arrows(tmp_path) == ({arrow} if arrow else set())


def test_an_import_of_nothing_is_found(tmp_path: Path) -> None:
    (tmp_path / PACKAGE / "dale").mkdir(parents=True)
    (tmp_path / PACKAGE / "dale" / "config.py").write_text("")
    (tmp_path / "tests").mkdir()
    right = (
        "import nnunetv2_dale.dale.config",
        "from nnunetv2_dale.dale import config",
        "from nnunetv2_dale import DaleConfig",
    )
    wrong = (
        "import nnunetv2_dale.config",
        "from nnunetv2_dale import config",
        "from nnunetv2_dale.gone.config import x",
    )
    (tmp_path / "tests" / "test_x.py").write_text("\n".join(right + wrong))
    found = [target for _, target in imports_of_nothing(tmp_path)]
    assert found == ["nnunetv2_dale.config", "nnunetv2_dale.config", "nnunetv2_dale.gone.config.x"]


def test_what_lies_in_the_wrong_place_or_has_no_test_is_found(tmp_path: Path) -> None:
    for name in ("helpers.py", "plugins/x.py", "dale/config.py", "dale/fuzziness.py", "dale/look.py", "report/cli.py"):
        path = tmp_path / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (tmp_path / "tests" / "dale").mkdir(parents=True)
    (tmp_path / "tests" / "dale" / "test_config.py").write_text("from nnunetv2_dale.dale import look")
    assert misplaced(tmp_path) == ["helpers", "plugins"]
    assert without_test(tmp_path) == ["dale.fuzziness"]


def test_what_is_more_than_a_reexport_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text(
        '"""Doc."""\nfrom a import b\nglobals().update(ALL_TRAINERS)\nimport c\nclass D(b):\n    pass\nx = b()\n'
    )
    assert more_than_reexports(path) == [4, 5, 7]


def test_what_puts_something_on_the_search_path_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text("import sys\nsys.path[:0] = ['a']\ndef f():\n    sys.path.insert(0, 'b')\nprint(sys.path)\n")
    assert edits_of_the_search_path(path) == [2, 4]
