"""How commands end."""

from __future__ import annotations

import argparse
import errno
import os
from typing import Any

import pytest

from nnunetv2_dale.commands.command_line import UserError, run_command


def run(outcome: object, argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="nnUNetv2_dale_something")
    parser.add_argument("-d", type=int, default=0)

    def command(arguments: argparse.Namespace) -> Any:
        if isinstance(outcome, BaseException):
            raise outcome
        return arguments.d if outcome is None else outcome

    return run_command(parser, command, argv or [])


def test_a_command_that_returns_nothing_succeeds():
    assert run(None) == 0


def test_its_integer_is_the_exit_code():
    assert run(None, ["-d", "3"]) == 3


def test_a_users_mistake_is_one_sentence(capsys):
    assert run(UserError("expected a folder, found none; give one")) == 2
    assert capsys.readouterr().err == "nnUNetv2_dale_something: expected a folder, found none; give one\n"


def test_a_full_disk_is_one_sentence(capsys):
    assert run(OSError(errno.ENOSPC, "No space left on device", "/here")) == 2
    assert capsys.readouterr().err == (
        "nnUNetv2_dale_something: stopped: /here: No space left on device; nothing half-written was left under a final "
        "name; put that right, then run the same command again\n"
    )
    assert run(OSError(errno.EROFS, "Read-only file system")) == 2
    assert "stopped: Read-only file system; nothing" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ENOTDIR", "EEXIST", "EISDIR", "EXDEV", "EBUSY", "ENOTSUP", "EPERM", "EIO"])
def test_a_place_of_another_kind_is_one_sentence(capsys, name):
    number = getattr(errno, name)
    assert run(OSError(number, os.strerror(number), "/here")) == 2
    assert f"stopped: /here: {os.strerror(number)}; nothing" in capsys.readouterr().err


def test_another_error_of_the_system_is_not_hidden():
    with pytest.raises(FileNotFoundError):
        run(FileNotFoundError(errno.ENOENT, "No such file", "/here"))


def test_ctrl_c_is_130(capsys):
    assert run(KeyboardInterrupt()) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_defect_of_ours_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run(ZeroDivisionError())


def test_unknown_flags_exit_with_2():
    with pytest.raises(SystemExit) as stopped:
        run(None, ["--nothing"])
    assert stopped.value.code == 2
