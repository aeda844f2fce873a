"""Files and folders that appear under their final name only when they are complete."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError


def refuse_existing(target: Path, overwrite: bool) -> None:
    """Raise a `UserError` when `target` exists and may not be replaced."""
    if os.path.lexists(target) and not overwrite:
        raise UserError(f"{target} already exists; give another place or --overwrite to replace it")


@contextmanager
def new_file(target: Path, overwrite: bool = False) -> Iterator[Path]:
    """Write a file beside `target` and move it there when the block ends without an error.

    Yields:
        the path to write to: same folder, same suffixes as `target`.
    Raises:
        UserError: `target` exists and `overwrite` is off.
    """
    target = Path(target)
    refuse_existing(target, overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".unfinished_", suffix="_" + target.name, dir=target.parent)
    os.close(handle)
    unfinished = Path(name)
    try:
        yield unfinished
        unfinished.chmod(0o666 & ~_umask())
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def new_folder(target: Path, overwrite: bool = False) -> Iterator[Path]:
    """Fill a folder beside `target` and move it there when the block ends without an error.

    With `overwrite` an existing `target` stays untouched until the new one is complete.

    Yields:
        an empty folder to fill.
    Raises:
        UserError: `target` exists and `overwrite` is off.
    """
    target = Path(target)
    refuse_existing(target, overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished_", suffix="_" + target.name, dir=target.parent))
    try:
        yield unfinished
        unfinished.chmod(0o777 & ~_umask())
        if os.path.lexists(target):
            replaced = unfinished.with_name(unfinished.name + "_replaced")
            target.replace(replaced)
            unfinished.replace(target)
            shutil.rmtree(replaced)
        else:
            unfinished.replace(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
