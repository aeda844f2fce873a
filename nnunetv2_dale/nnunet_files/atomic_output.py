"""Files and folders that appear under their final name only when they are complete."""

from __future__ import annotations

import glob
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from nnunetv2_dale.commands.command_line import PLACE_ERRORS, UserError

logger = logging.getLogger(__name__)


def refuse_existing(target: Path, overwrite: bool) -> None:
    """Raise a `UserError` when `target` exists and may not be replaced."""
    if os.path.lexists(target) and not overwrite:
        raise UserError(f"{target} already exists; give another place or --overwrite to replace it")


@contextmanager
def new_file(target: Path, overwrite: bool = False) -> Iterator[Path]:
    """Write a file beside `target` and move it there when the block ends without an error.

    Folders above it are made, and removed again if the block fails.

    Yields:
        the path to write to: same folder, same suffixes as `target`.
    Raises:
        UserError: `target` exists and `overwrite` is off.
        OSError: it could not be written; names `target`.
    """
    target = Path(target)
    refuse_existing(target, overwrite)
    with _tidy(target):
        handle, name = tempfile.mkstemp(prefix=".unfinished_", suffix="_" + target.name, dir=target.parent)
        os.close(handle)
        unfinished = Path(name)
        try:
            yield unfinished
            unfinished.chmod(0o666 & ~_umask())
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)


def write_texts(contents: Mapping[Path, str], overwrite: bool = False) -> None:
    """Write several files that belong together: none appears before all of them are written.

    Raises:
        UserError, OSError: as `new_file`; then none of them was made or changed.
    """
    with ExitStack() as stack:
        for target, text in contents.items():
            stack.enter_context(new_file(target, overwrite)).write_text(text, encoding="utf-8")


@contextmanager
def new_folder(target: Path, overwrite: bool = False) -> Iterator[Path]:
    """Fill a folder beside `target` and move it there when the block ends without an error.

    With `overwrite` an existing `target` stays untouched until the new one is complete. Folders above it are made, and
    removed again if the block fails. What a run that was killed left beside `target` is named, not removed: another run
    may be writing there.

    Yields:
        an empty folder to fill.
    Raises:
        UserError: `target` exists and `overwrite` is off.
        OSError: something in it could not be written; names `target`.
    """
    target = Path(target)
    refuse_existing(target, overwrite)
    with _tidy(target):
        for leftover in sorted(target.parent.glob(f".unfinished_*_{glob.escape(target.name)}")):
            logger.warning("%s is left of a run that was cut off; remove it, unless a run is writing there", leftover)
        unfinished = Path(tempfile.mkdtemp(prefix=".unfinished_", suffix="_" + target.name, dir=target.parent))
        try:
            yield unfinished
            unfinished.chmod(0o777 & ~_umask())
            put_in_place(unfinished, target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def put_in_place(complete: Path, target: Path) -> None:
    """Give a folder its final name; what had this name before is removed afterwards."""
    if not os.path.lexists(target):
        complete.replace(target)
        return
    with tempfile.TemporaryDirectory(prefix=".unfinished_", suffix="_replaced", dir=target.parent) as replaced:
        target.replace(Path(replaced) / target.name)
        complete.replace(target)


@contextmanager
def naming(target: Path) -> Iterator[None]:
    """A full disk's error in the block names `target`, if it names nothing or what has no final name yet."""
    try:
        yield
    except OSError as error:
        place = error.filename2 or error.filename
        if error.errno in PLACE_ERRORS and (place is None or ".unfinished_" in str(place)):
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise


@contextmanager
def _tidy(target: Path) -> Iterator[None]:
    """Make the folders above `target`, and remove them again if the block fails; see `naming` too."""
    absent = [folder for folder in target.parents if not folder.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with naming(target):
            yield
    except BaseException:
        with suppress(OSError):  # another run has put something there meanwhile
            for folder in absent:
                folder.rmdir()
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
