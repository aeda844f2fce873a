"""One process at a place at a time, on every machine that sees the folder, also after a crash.

The lock is a small JSON file: of a fold in its folder, of an audit beside its output. Only one process can create it,
on network file systems too, and it says which process holds it. It is *stale* when that process is
gone: known at once on the process's own machine; elsewhere when the holder has not refreshed the file for
`STALE_AFTER_S`, by the file system's own clock, so that machines may disagree about the time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import threading
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.process_identity import ProcessIdentity

LOCK_NAME = "benchmark.lock"
HEARTBEAT_S = 20.0
STALE_AFTER_S = 300.0


@dataclass(frozen=True)
class LockHolder:
    """Who holds a lock."""

    token: str  # unique for each time a lock is taken
    runner: str  # the command that the holder works for
    process: ProcessIdentity
    since: str  # when the lock was taken, local time of the holder


class LockLostError(RuntimeError):
    """The lock is in other hands: this process was taken for dead."""


class FoldLock:
    """A lock that is held by this process. Get one from `acquire`."""

    def __init__(self, path: Path, holder: LockHolder) -> None:
        self.path = path
        self.holder = holder

    def refresh(self) -> None:
        """Say that the holder is alive.

        Raises:
            LockLostError: the file is gone or somebody else's.
        """
        current = read_holder(self.path.parent, self.path.name)
        if current is None or current.token != self.holder.token:
            raise LockLostError(f"{self.path} is no longer held by this process")
        os.utime(self.path)

    def release(self) -> None:
        """Remove the lock if it is still this process's."""
        current = read_holder(self.path.parent, self.path.name)
        if current is not None and current.token == self.holder.token:
            self.path.unlink(missing_ok=True)


def acquire(folder: Path, runner: str, name: str = LOCK_NAME) -> FoldLock | None:
    """Take the lock `name` in `folder`, removing a stale one.

    Args:
        folder: made when it does not exist.
        runner: the command this process works for.
    Returns:
        the lock, or None when a living process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    holder = LockHolder(uuid.uuid4().hex, runner, ProcessIdentity.current(), datetime.now().isoformat(" ", "seconds"))
    if _create(path, holder):
        return FoldLock(path, holder)
    current = read_holder(folder, name)
    if current is not None and not is_stale(folder, current, name):
        return None
    _remove_stale(path, current)
    return FoldLock(path, holder) if _create(path, holder) else None


@contextlib.contextmanager
def held(target: Path, runner: str) -> Iterator[None]:
    """Be the only process that makes `target`; the lock lies beside it while the block runs.

    Raises:
        UserError: another process is at it.
    """
    target = target.resolve()
    name = f".{hashlib.sha256(target.name.encode()).hexdigest()[:16]}.lock"  # also of names of 250 letters
    lock = acquire(target.parent, runner, name)
    if lock is None:
        holder = read_holder(target.parent, name)
        by = f" (process {holder.process.pid} on {holder.process.host}, since {holder.since})" if holder else ""
        raise UserError(f"{target} is being written by another {runner}{by}; wait for it, or give another -o")
    ended = threading.Event()

    def stay_alive() -> None:
        while not ended.wait(HEARTBEAT_S):
            with contextlib.suppress(LockLostError, OSError):
                lock.refresh()

    heart = threading.Thread(target=stay_alive, daemon=True)
    heart.start()
    try:
        yield
    finally:
        ended.set()
        heart.join()
        lock.release()


def read_holder(folder: Path, name: str = LOCK_NAME) -> LockHolder | None:
    """Say who holds the lock of `folder`, stale or not; None when nobody does."""
    try:
        content = json.loads((folder / name).read_text())
        return LockHolder(**{**content, "process": ProcessIdentity(**content["process"])})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):  # cut short by a full disk: nobody can refresh it, so it ages
        return LockHolder("unreadable", "unknown", ProcessIdentity("unknown", 0, ""), "unknown")


def living_holder(folder: Path) -> LockHolder | None:
    """Say who works on `folder` now; None when nobody does or the lock is stale."""
    holder = read_holder(folder)
    return None if holder is None or is_stale(folder, holder) else holder


def is_stale(folder: Path, holder: LockHolder, name: str = LOCK_NAME) -> bool:
    """Return whether the lock's holder is gone: its process, or, seen from another machine, its signs of life."""
    alive = holder.process.is_alive()
    if alive is not None:
        return not alive
    try:
        refreshed = (folder / name).stat().st_mtime
    except FileNotFoundError:
        return True
    with tempfile.NamedTemporaryFile(prefix=f".{LOCK_NAME}.", dir=folder) as touched:  # by the file system's clock
        return Path(touched.name).stat().st_mtime - refreshed > STALE_AFTER_S


def _create(path: Path, holder: LockHolder) -> bool:
    try:
        stream = path.open("x")
    except FileExistsError:
        return False
    try:
        with stream:
            json.dump(asdict(holder), stream)
    except OSError:  # a full disk: nobody holds what cannot be read
        path.unlink(missing_ok=True)
        raise
    return True


def _remove_stale(path: Path, judged: LockHolder | None) -> None:
    """Take the stale lock away; one that was taken anew since it was judged is put back."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    try:
        moved = json.loads(aside.read_text()).get("token")
    except ValueError:
        moved = "unreadable"
    if judged is None or moved != judged.token:
        # lost a race against another runner that removed the same stale lock; should a third one have taken
        # the place meanwhile, the holder notices at its next refresh and stops
        with contextlib.suppress(OSError):
            os.link(aside, path)
    aside.unlink(missing_ok=True)
