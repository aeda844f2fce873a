import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.demo.workspace import Workspace


def test_everything_lies_in_the_folder(tmp_path):
    workspace = Workspace.create(tmp_path / "a demo")
    for part in (workspace.raw, workspace.preprocessed, workspace.results, workspace.trainers, workspace.logs):
        assert part.is_dir()
        assert part.parent == tmp_path / "a demo"
    for part in (workspace.page, workspace.numbers, workspace.report):
        assert part.is_relative_to(tmp_path / "a demo")
        assert not part.exists()


def test_the_folder_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Workspace.create(tmp_path.__class__("demo")).folder == tmp_path / "demo"


def test_nothing_of_the_users_nnunet_settings_is_inherited(tmp_path):
    workspace = Workspace.create(tmp_path / "demo")
    environment = workspace.environment(
        {"nnUNet_raw": "/data/raw", "nnUNet_wandb_enabled": "1", "nnUNet_keep_files_open": "1", "HOME": "/home/me"}
    )
    settings = {name: value for name, value in environment.items() if name.startswith("nnUNet_")}
    assert settings == {
        "nnUNet_raw": str(workspace.raw),
        "nnUNet_preprocessed": str(workspace.preprocessed),
        "nnUNet_results": str(workspace.results),
        "nnUNet_extTrainer": str(workspace.trainers),
        "nnUNet_compile": "f",
        "nnUNet_def_n_proc": "1",
    }
    assert environment["HOME"] == "/home/me"


def test_the_users_choice_of_waiting_threads_is_kept(tmp_path):
    workspace = Workspace.create(tmp_path / "demo")
    assert workspace.environment({})["OMP_WAIT_POLICY"] == "PASSIVE"
    assert workspace.environment({"OMP_WAIT_POLICY": "ACTIVE"})["OMP_WAIT_POLICY"] == "ACTIVE"


def test_overwrite_replaces_an_earlier_demo(tmp_path):
    first = Workspace.create(tmp_path / "demo")
    first.page.write_text("old")
    assert not Workspace.create(tmp_path / "demo", overwrite=True).page.exists()


def test_overwrite_never_removes_what_is_no_demo(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years")
    (tmp_path / "file").write_text("keep")
    (tmp_path / "link").symlink_to(tmp_path / "thesis")
    for name in ("thesis", "file", "link"):
        with pytest.raises(UserError, match="was not made by this command"):
            Workspace.create(tmp_path / name, overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years"
    assert (tmp_path / "link").is_symlink()


def test_overwrite_takes_an_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    assert Workspace.create(tmp_path / "empty", overwrite=True).raw.is_dir()


def test_the_current_folder_stays_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        workspace = Workspace.create(Path(), overwrite=True)
        workspace.page.write_text("old")
        (workspace.raw / "link").symlink_to(workspace.logs)
        assert Path("nnUNet_raw/link").is_dir()  # by the process: the folder is the one it stands in


def test_a_path_that_nnunet_would_split_is_refused(tmp_path):
    with pytest.raises(UserError, match="in their path"):
        Workspace.create(tmp_path / f"a{os.pathsep}b")
    assert list(tmp_path.iterdir()) == []


def test_too_little_space_is_said_before_anything_is_written(tmp_path, monkeypatch):
    usage = SimpleNamespace(total=10**9, used=10**9 - 10**7, free=10**7)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"needs 500 MB of disk space, .* has 10 MB"):
        Workspace.create(tmp_path / "demo")
    assert list(tmp_path.iterdir()) == []
