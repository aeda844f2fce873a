"""Files and folders that appear under their final name only when they are complete."""

from __future__ import annotations

import errno
import glob
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from nnunetv2_dale.commands.command_line import PLACE_ERRORS, UserError
from nnunetv2_dale.nnunet_files.file_names import UNFINISHED, unfinished_suffix

logger = logging.getLogger(__name__)


def refuse_existing(target: Path, overwrite: bool) -> None:
    """Raise a `UserError` when `target` exists and may not be replaced, or when a file stands where a folder has to."""
    for folder in target.parents:
        if os.path.lexists(folder) and not folder.is_dir():
            raise UserError(f"{folder} is no folder, so {target} cannot be made in it; give another place")
    if os.path.lexists(target) and not overwrite:
        raise UserError(f"{target} already exists; give another place or --overwrite to replace it")


def refuse_irreplaceable(target: Path) -> None:
    """Raise a `UserError` when `target` is a folder with files in it that no other folder can take the place of."""
    target = target.resolve()
    if not target.is_dir() or is_empty_folder(target):
        return
    if target.is_mount() or target == Path.cwd():
        what = "a mount point" if target.is_mount() else "the current folder"
        raise UserError(f"{target} is {what} and not empty, so it is not replaced; give a folder in it, or empty it")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise UserError(
            f"{target} is not empty, and {target.parent} is closed to you, so it cannot be replaced; empty it"
        )


def is_empty_folder(path: Path) -> bool:
    """Say whether this is a folder without anything in it."""
    return path.is_dir() and not any(path.iterdir())


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
    with made_for(target):
        handle, name = tempfile.mkstemp(prefix=UNFINISHED, suffix=unfinished_suffix(target), dir=target.parent)
        os.close(handle)
        unfinished = Path(name)
        try:
            yield unfinished
            unfinished.chmod(0o666 & ~_umask())
            refuse_existing(target, overwrite)  # another run may have made it meanwhile
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)


def write_texts(contents: Mapping[Path, str], overwrite: bool = False) -> None:
    """Write several files that belong together: none appears before all of them are written."""
    with ExitStack() as stack:
        for target, text in contents.items():
            stack.enter_context(new_file(target, overwrite)).write_text(text, encoding="utf-8")


@contextmanager
def new_folder(target: Path, overwrite: bool = False) -> Iterator[Path]:
    """Fill a folder beside `target` and move it there when the block ends without an error.

    With `overwrite` an existing `target` stays untouched until the new one is complete; a link stays, and leads to the
    new folder. Folders above it are made, and removed again if the block fails. What a run that was killed left beside
    `target` is named, not removed: another run may be writing there.

    Yields:
        an empty folder to fill.
    Raises:
        UserError: `target` exists and `overwrite` is off, or it cannot be replaced (`refuse_irreplaceable`).
        OSError: something in it could not be written; names `target`.
    """
    target = Path(target)
    refuse_existing(target, overwrite)
    refuse_irreplaceable(target)
    target = target.resolve()
    with made_for(target):
        for leftover in sorted(target.parent.glob(f"{UNFINISHED}*{glob.escape(unfinished_suffix(target))}")):
            logger.warning("%s is left of a run that was cut off; remove it, unless a run is writing there", leftover)
        unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, suffix=unfinished_suffix(target), dir=_workplace(target)))
        try:
            yield unfinished
            unfinished.chmod(0o777 & ~_umask())
            refuse_existing(target, overwrite)
            put_in_place(unfinished, target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def put_in_place(complete: Path, target: Path) -> None:
    """Give a folder its final name; what had this name before is removed afterwards.

    An empty folder that has to stay (a mount point, the current folder) is filled instead.
    """
    if not os.path.lexists(target):
        complete.replace(target)
        return
    if complete.parent == target or (is_empty_folder(target) and target.resolve() == Path.cwd()):
        _fill(target, complete)
        return
    with tempfile.TemporaryDirectory(prefix=".unfinished_", suffix="_replaced", dir=target.parent) as replaced:
        old = Path(replaced) / target.name
        try:
            target.replace(old)
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.EXDEV) or not is_empty_folder(target):
                raise
            _fill(target, complete)
            return
        try:
            complete.replace(target)
        except OSError:
            old.replace(target)
            raise


def _fill(folder: Path, complete: Path) -> None:
    """Move what is in `complete` into a folder that is empty but for `complete`; all of it or nothing."""
    moved: list[Path] = []
    try:
        for path in sorted(complete.iterdir()):
            moved.append(folder / path.name)
            shutil.move(path, moved[-1])
    except BaseException:
        for path in moved:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        raise
    complete.rmdir()


def _workplace(target: Path) -> Path:
    """Where a folder is filled before it gets its name: beside `target`, or in it where only that is open to us."""
    inside = is_empty_folder(target) and not os.access(target.parent, os.W_OK | os.X_OK)
    return target if inside else target.parent


@contextmanager
def naming(target: Path) -> Iterator[None]:
    """Let a full disk's error in the block name `target`, if it names nothing or what has no final name yet."""
    try:
        yield
    except OSError as error:
        place = error.filename2 or error.filename
        if error.errno in PLACE_ERRORS and (place is None or ".unfinished_" in str(place)):
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise


@contextmanager
def made_for(target: Path) -> Iterator[None]:
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
