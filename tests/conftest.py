"""What several test modules share."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

if TYPE_CHECKING:
    from tests.datasets import NnunetFolders

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """Let Ctrl-C work in tests of it: what a shell starts in the background ignores SIGINT, and so do its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow files: two processes side by side then end together."""
    slow = {item.path for item in items if item.get_closest_marker("integration")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _seeded_and_single_threaded() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data for development; tests pass without it."""
    folder = Path(os.environ.get("NNUNETV2_DALE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder} (set NNUNETV2_DALE_DATA)")
    return folder


@pytest.fixture
def nnunet_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NnunetFolders:
    """nnU-Net's three folders in the environment, empty."""
    from tests.datasets import NnunetFolders

    folders = NnunetFolders(tmp_path)
    for folder in (folders.raw, folders.preprocessed, folders.results):
        folder.mkdir()
        monkeypatch.setenv(f"nnUNet_{folder.name}", str(folder))
    return folders


@pytest.fixture
def nnunet(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NnunetFolders:
    """nnU-Net's environment: tiny datasets made once per test run, and results of this test alone.

    A training's progress.png is empty: drawing it after every epoch takes longer than the epoch.
    `tests/trainer/test_stock_commands.py` has nnU-Net's own picture.
    """
    from nnunetv2.training.logging.nnunet_logger import LocalLogger

    from tests.datasets import NnunetFolders, write_datasets
    from tests.trainer.fixtures import empty_progress_picture

    folders = NnunetFolders(tmp_path_factory.getbasetemp() / "nnunet")
    for name, value in {**folders.environment, "nnUNet_results": str(tmp_path / "results")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(LocalLogger, "plot_progress_png", empty_progress_picture)
    np.random.seed(0)  # nnU-Net's data loaders draw from the global state
    if not folders.root.exists():
        write_datasets(folders)
    return folders
