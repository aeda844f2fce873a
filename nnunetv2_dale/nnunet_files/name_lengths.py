"""How long a file's name may be: files named after cases, and their longer names while they are written."""

from __future__ import annotations

import os
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError

UNFINISHED = ".unfinished_"
LONGEST_BYTES = 255  # of a name, on every common file system


def require_short_name(target: Path) -> None:
    """Raise a `UserError` when no file can be called so: some libraries report that in other words, or crash."""
    length = len(os.fsencode(target.name))
    if length > LONGEST_BYTES:
        raise UserError(
            f"{target} cannot be written: its name has {length} bytes, a file takes {LONGEST_BYTES}; "
            "shorten the name it is made of"
        )


def unfinished_suffix(target: Path) -> str:
    """Return the end of an unfinished file's name: `_` and the target's, as much of its end as there is place for."""
    require_short_name(target)
    place = LONGEST_BYTES - len(UNFINISHED) - len("12345678_")  # what `tempfile` puts between
    name = target.name
    while len(os.fsencode(name)) > place:
        name = name[1:]
    return "_" + name
