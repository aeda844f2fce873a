"""A small report, made once for all tests of the command."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nnunetv2_dale.report.cli import main
from tests.report.fixtures import FAST, Study, make_study


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    """A study and its report, with masks and images."""
    root = tmp_path_factory.mktemp("study with spaces")
    study = make_study(root)
    patch = pytest.MonkeyPatch()
    patch.setenv("nnUNet_raw", str(study.raw.parent))
    try:
        assert main([*study.folders, "-o", str(root / "report"), *FAST]) == 0
    finally:
        patch.undo()
    return study, root / "report"


@pytest.fixture
def study(made: tuple[Study, Path], tmp_path: Path) -> Study:
    """A copy that may be broken."""
    source = made[0]
    root = source.raw.parents[1]
    for part in ("raw", "results"):
        shutil.copytree(root / part, tmp_path / part)
    return Study(*(tmp_path / path.relative_to(root) for path in (source.raw, source.baseline, source.candidate)))
