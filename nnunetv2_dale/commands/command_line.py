"""How every command of this package ends: an exit code and, for a user's mistake, one sentence and no traceback."""

from __future__ import annotations

import argparse
import errno
import importlib.util
import logging
import sys
from collections.abc import Callable, Sequence

_OF_THE_PLACE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG),
    *(errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EXDEV, errno.EBUSY, errno.ENOTSUP),
)
_OF_A_DISK_FAR_AWAY = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT)
PLACE_ERRORS = frozenset((*_OF_THE_PLACE, *_OF_A_DISK_FAR_AWAY))
"""What a disk says that is full, broken or closed to this user, or that has something else under the name: for the user
to put right, no defect of the program."""

_KEPT = "nothing half-written was left under a final name"
_NEXT = "put that right, then run the same command again"


class UserError(ValueError):
    """Something the user can put right. The message is one sentence: what was expected, what was found, what to do."""


def one_line(error: BaseException) -> str:
    """Return an error's message on one line and not too long, or its kind where it says nothing."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def first_of(names: Sequence[str], most: int = 5) -> list[str]:
    """Return as many names as a sentence has place for, and how many more there are."""
    return [*names[:most], *([f"and {len(names) - most} more"] if len(names) > most else [])]


def not_installed(user: str, package: str, extra: str) -> UserError:
    """Return what to say where a package of one of the extras is missing.

    Args:
        user: what needs it.
        extra: a name of setup.cfg's `[options.extras_require]`.
    """
    return UserError(
        f"{user} needs {package}, which is not installed; in this package's checkout, run: pip install '.[{extra}]'"
    )


def require_package(user: str, package: str, extra: str) -> None:
    """Raise `not_installed`, whose arguments these are, where it is missing."""
    if importlib.util.find_spec(package.lower()) is None:
        raise not_installed(user, package, extra)


def run_command(
    parser: argparse.ArgumentParser, command: Callable[[argparse.Namespace], int | None], argv: Sequence[str] | None
) -> int:
    """Parse `argv`, run `command` on the result and turn how it ends into an exit code.

    Args:
        parser: the command's arguments.
        command: the work; its integer is the exit code, None means 0.
        argv: arguments without the program's name; None reads `sys.argv`.
    Returns:
        0 when all was done, 2 after a `UserError` (its sentence goes to stderr) or one of the `PLACE_ERRORS`, 130 after
        Ctrl-C.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    arguments = parser.parse_args(argv)
    try:
        return command(arguments) or 0
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in PLACE_ERRORS:
            raise
        print(f"{parser.prog}: stopped: {_place_and_reason(error)}; {_KEPT}; {_NEXT}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted; {_KEPT}", file=sys.stderr)
        return 130


def _place_and_reason(error: OSError) -> str:
    place = error.filename2 or error.filename
    reason = error.strerror or str(error)
    return reason if place is None else f"{place}: {reason}"
