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


KEPT = "nothing half-written was left under a final name"


@pytest.mark.parametrize(
    ("outcome", "argv", "code", "said"),
    [
        (None, [], 0, ""),
        (None, ["-d", "3"], 3, ""),
        (UserError("expected a folder, found none; give one"), [], 2, "expected a folder, found none; give one"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/here"),
            [],
            2,
            f"stopped: /here: No space left on device; {KEPT}; put that right, then run the same command again",
        ),
        (
            OSError(errno.EROFS, "Read-only file system"),
            [],
            2,
            f"stopped: Read-only file system; {KEPT}; put that right, then run the same command again",
        ),
        (KeyboardInterrupt(), [], 130, f"interrupted; {KEPT}"),
    ],
)
def test_the_end_of_a_command_is_a_code_and_a_sentence(outcome, argv, code, said, capsys):
    assert run(outcome, argv) == code
    assert capsys.readouterr().err == (f"nnUNetv2_dale_something: {said}\n" if said else "")


@pytest.mark.parametrize("name", ["ENOTDIR", "EEXIST", "EISDIR", "EXDEV", "EBUSY", "ENOTSUP", "EPERM", "EIO"])
def test_a_place_of_another_kind_is_one_sentence(capsys, name):
    number = getattr(errno, name)
    assert run(OSError(number, os.strerror(number), "/here")) == 2
    assert f"stopped: /here: {os.strerror(number)}; nothing" in capsys.readouterr().err


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "No such file", "/here"), ZeroDivisionError()])
def test_a_defect_of_ours_is_not_hidden(error):
    with pytest.raises(type(error)):
        run(error)


def test_unknown_flags_exit_with_2():
    with pytest.raises(SystemExit) as stopped:
        run(None, ["--nothing"])
    assert stopped.value.code == 2
