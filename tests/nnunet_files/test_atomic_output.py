"""Nothing half-written under a final name, nothing overwritten unasked."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import pytest

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.atomic_output import new_file, new_folder, put_in_place, write_texts


def write_half(unfinished: Path) -> None:
    """Write something and find the disk full."""
    (unfinished if unfinished.is_file() else unfinished / "new").write_text("half")
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(params=[new_file, new_folder])
def new(request):
    return request.param


def test_what_is_complete_appears(tmp_path, new):
    target = tmp_path / "a folder" / "Dataset001_A name.json"
    with new(target) as unfinished:
        content = unfinished if new is new_file else unfinished / "a"
        content.write_text("{}")
        assert unfinished.suffix == ".json"
        assert not target.exists()
    assert (target if new is new_file else target / "a").read_text() == "{}"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_that_fails_leaves_what_was_there(tmp_path, overwrite):
    target = tmp_path / "x.json"
    if overwrite:
        target.write_text("old")
    with pytest.raises(OSError, match="No space left"), new_file(target, overwrite) as unfinished:
        write_half(unfinished)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"] * overwrite


def test_what_exists_is_refused_unless_asked(tmp_path, new):
    target = tmp_path / "there"
    target.mkdir()
    (target / "keep").write_text("me")
    with pytest.raises(UserError, match=r"already exists; give another place or --overwrite"), new(target):
        pass
    assert (target / "keep").read_text() == "me"
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


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


def test_folders_that_were_made_for_it_go_with_what_failed(tmp_path, new):
    (tmp_path / "old").mkdir()
    for target in (tmp_path / "old" / "new" / "newer" / "x", tmp_path / "new" / "x"):
        with pytest.raises(OSError, match=f"No space left on device: '{target}'"), new(target) as unfinished:
            write_half(unfinished)
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]


def test_an_error_of_another_file_keeps_its_name(tmp_path):
    with pytest.raises(OSError, match="Permission denied: '/elsewhere'"), new_file(tmp_path / "x"):
        raise OSError(errno.EACCES, "Permission denied", "/elsewhere")


def test_files_that_belong_together_appear_together(tmp_path):
    old = tmp_path / "b.json"
    old.write_text("old")
    with pytest.raises(UserError, match="already exists"):
        write_texts({tmp_path / "a.json": "new", old: "new"})
    assert [path.name for path in tmp_path.iterdir()] == ["b.json"]
    write_texts({tmp_path / "a.json": "new", old: "new"}, overwrite=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.json": "new", "b.json": "new"}


def test_what_a_killed_run_left_is_named(tmp_path, caplog):
    (tmp_path / ".unfinished_abc_Dataset001_A").mkdir()
    (tmp_path / ".unfinished_abc_Dataset002_A").mkdir()
    with caplog.at_level(logging.WARNING), new_folder(tmp_path / "Dataset001_A"):
        pass
    assert [record.getMessage().partition(" is left of a run")[0] for record in caplog.records] == [
        str(tmp_path / ".unfinished_abc_Dataset001_A")
    ]
    assert (tmp_path / ".unfinished_abc_Dataset001_A").is_dir()


def test_a_folder_is_put_in_place_of_another(tmp_path):
    for name in ("new", "target", ".unfinished_target_replaced"):  # the last one of a run that was cut off
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    put_in_place(tmp_path / "new", tmp_path / "target")
    assert (tmp_path / "target/file").read_text() == "new"
    assert {path.name for path in tmp_path.iterdir()} == {"target", ".unfinished_target_replaced"}


def test_the_current_folder_is_filled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for target in (Path(), tmp_path):
        with new_folder(target, overwrite=True) as unfinished:
            (unfinished / "sub").mkdir()
            (unfinished / "sub/new").write_text("new")
        assert [path.name for path in Path().rglob("*")] == ["sub", "new"]  # by the process, so the folder is the same
        with pytest.raises(UserError, match="is the current folder and not empty, so it is not replaced"):
            new_folder(target, overwrite=True).__enter__()
        (tmp_path / "sub/new").unlink()
        (tmp_path / "sub").rmdir()


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV])
def test_an_empty_mount_point_is_filled_and_one_with_files_stays(tmp_path, monkeypatch, number):
    """Renaming a mount point fails with EBUSY; Python renames by `Path.replace`."""
    target, replace = tmp_path / "mounted", Path.replace
    target.mkdir()

    def replace_no_mount(self: Path, to: Path) -> Path:
        if self == target:
            raise OSError(number, os.strerror(number), str(self), None, str(to))
        return replace(self, to)

    monkeypatch.setattr(Path, "replace", replace_no_mount)
    before = target.stat().st_ino
    with new_folder(target, overwrite=True) as unfinished:
        (unfinished / "new").write_text("new")
    assert ((target / "new").read_text(), target.stat().st_ino) == ("new", before)
    with pytest.raises(OSError, match=os.strerror(number)), new_folder(target, overwrite=True):
        pass
    monkeypatch.setattr(Path, "is_mount", lambda self: self == target)
    with pytest.raises(UserError, match="is a mount point and not empty"), new_folder(target, overwrite=True):
        pass
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["mounted", "mounted/new"]


def test_a_folder_that_cannot_take_the_place_gives_it_back(tmp_path, monkeypatch):
    replace, target = Path.replace, tmp_path / "target"
    target.mkdir()
    (target / "old").write_text("old")

    def replace_but_for_the_new(self: Path, to: Path) -> Path:
        if ".unfinished_" in self.name:
            raise OSError(errno.EIO, "Input/output error")
        return replace(self, to)

    monkeypatch.setattr(Path, "replace", replace_but_for_the_new)
    with pytest.raises(OSError, match="Input/output error"), new_folder(target, overwrite=True):
        pass
    assert (target / "old").read_text() == "old"


def test_a_folder_whose_parent_is_closed_is_filled(tmp_path, monkeypatch):
    """The tests may run as root, to whom nothing is closed: `os.access` answers in place of the file system."""
    target = tmp_path / "mine"
    target.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with new_folder(target, overwrite=True) as unfinished:
        (unfinished / "new").write_text("new")
        assert unfinished.parent == target
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "new"]
    with pytest.raises(UserError, match="is closed to you, so it cannot be replaced"):
        new_folder(target, overwrite=True).__enter__()


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    (tmp_path / "large disk").mkdir()
    (tmp_path / "report").symlink_to(tmp_path / "large disk")
    with new_folder(tmp_path / "report", overwrite=True) as unfinished:
        (unfinished / "new").write_text("new")
    assert (tmp_path / "report").is_symlink()
    assert (tmp_path / "large disk/new").read_text() == "new"


def test_a_file_where_a_folder_has_to_be_is_refused(tmp_path, new):
    (tmp_path / "file.txt").write_text("mine")
    for target in (tmp_path / "file.txt/x", tmp_path / "file.txt/sub/x"):
        with pytest.raises(UserError, match=r"file\.txt is no folder, so .* cannot be made in it"), new(target):
            pass
    assert (tmp_path / "file.txt").read_text() == "mine"


def test_permissions_are_the_users(tmp_path):
    ordinary = tmp_path / "ordinary"
    ordinary.write_text("")
    with new_file(tmp_path / "ours") as unfinished:
        Path(unfinished).write_text("")
    assert (tmp_path / "ours").stat().st_mode == ordinary.stat().st_mode


@pytest.mark.parametrize("letter", ["n", "ä"])
def test_every_name_that_a_file_takes_can_be_written(tmp_path, new, letter):
    """Its unfinished name is longer, and starts as every other; the suffixes stay."""
    ending = "_displacement.nii.gz"
    target = tmp_path / (letter * ((255 - len(ending)) // len(letter.encode())) + ending)
    with new(target, overwrite=True) as unfinished:
        assert unfinished.name.startswith(".unfinished_")
        assert unfinished.name.endswith(ending)
        if new is new_file:
            unfinished.write_text("text")
    with pytest.raises(UserError, match=r"nii\.gz cannot be written: its name has 25[67] bytes, a file takes 255"):
        new_file(target.with_name("nn" + target.name)).__enter__()


def test_what_another_run_made_meanwhile_stays(tmp_path, new):
    target = tmp_path / "result"
    with pytest.raises(UserError, match="result already exists"), new(target):
        target.write_text("of the other run")
    assert target.read_text() == "of the other run"
    assert [path.name for path in tmp_path.iterdir()] == ["result"]
