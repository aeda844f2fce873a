"""How every command of this package ends: an exit code and, for a user's mistake, one sentence and no traceback."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence


class UserError(ValueError):
    """Something the user can put right. The message is one sentence: what was expected, what was found, what to do."""


def run_command(
    parser: argparse.ArgumentParser,
    command: Callable[[argparse.Namespace], int | None],
    argv: Sequence[str] | None,
) -> int:
    """Parse `argv`, run `command` on the result and turn how it ends into an exit code.

    Args:
        parser: the command's arguments.
        command: the work; its integer is the exit code, None means 0.
        argv: arguments without the program's name; None reads `sys.argv`.
    Returns:
        0 when all was done, 2 after a `UserError` (its sentence goes to stderr), 130 after Ctrl-C.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    arguments = parser.parse_args(argv)
    try:
        return command(arguments) or 0
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted; nothing half-written was left under a final name", file=sys.stderr)
        return 130
