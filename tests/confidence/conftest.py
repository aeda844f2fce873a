"""The tiny dataset of this room's tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.confidence.fixtures import Study, write_study
from tests.datasets import NnunetFolders


@pytest.fixture
def study(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A copy for this test; nnU-Net's variables lead to it."""
    made_once = tmp_path_factory.getbasetemp() / "known"
    if not made_once.exists():
        write_study(made_once)
    folders = NnunetFolders(Path(shutil.copytree(made_once, tmp_path / "nnunet")))
    for name, value in folders.environment.items():
        monkeypatch.setenv(name, value)
    return Study(folders)
