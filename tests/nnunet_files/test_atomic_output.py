"""Nothing half-written under a final name, nothing overwritten unasked."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.atomic_output import new_file, new_folder


def write_half(unfinished: Path) -> None:
    """Write something and find the disk full."""
    (unfinished if unfinished.is_file() else unfinished / "new").write_text("half")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_appears_when_it_is_complete(tmp_path):
    target = tmp_path / "a folder" / "report.json"
    with new_file(target) as unfinished:
        unfinished.write_text("{}")
        assert unfinished.suffix == ".json"
        assert not target.exists()
    assert target.read_text() == "{}"
    assert list(target.parent.iterdir()) == [target]


def test_a_file_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="No space left"), new_file(tmp_path / "x.json") as unfinished:
        write_half(unfinished)
    assert list(tmp_path.iterdir()) == []


def test_a_replacement_that_fails_keeps_the_old_file(tmp_path):
    target = tmp_path / "x.json"
    target.write_text("old")
    with pytest.raises(OSError, match="No space left"), new_file(target, overwrite=True) as unfinished:
        write_half(unfinished)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("new", [new_file, new_folder])
def test_what_exists_is_refused_unless_asked(tmp_path, new):
    target = tmp_path / "there"
    target.mkdir()
    (target / "keep").write_text("me")
    with pytest.raises(UserError, match=r"already exists; give another place or --overwrite"), new(target):
        pass
    assert (target / "keep").read_text() == "me"
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_folder_appears_when_it_is_complete(tmp_path):
    target = tmp_path / "Dataset001_A name"
    with new_folder(target) as unfinished:
        (unfinished / "a").write_text("1")
        assert not target.exists()
    assert (target / "a").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_an_old_folder_is_replaced_whole_or_not_at_all(tmp_path):
    target = tmp_path / "results"
    target.mkdir()
    (target / "old").write_text("old")
    with pytest.raises(OSError, match="No space left"), new_folder(target, overwrite=True) as unfinished:
        write_half(unfinished)
    assert [path.name for path in target.iterdir()] == ["old"]
    with new_folder(target, overwrite=True) as unfinished:
        (unfinished / "new").write_text("new")
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_permissions_are_the_users(tmp_path):
    ordinary = tmp_path / "ordinary"
    ordinary.write_text("")
    with new_file(tmp_path / "ours") as unfinished:
        Path(unfinished).write_text("")
    assert (tmp_path / "ours").stat().st_mode == ordinary.stat().st_mode
