"""One trainer per fold at a time, on every machine that sees the folder, also after a crash.

The lock is a small JSON file in the fold's folder. It comes into being by a hard link, which is atomic on network
file systems too, and says which process holds it. It is *stale* when that process is gone: known at once on the
process's own machine; elsewhere when the holder has not refreshed the file for `STALE_AFTER_S`, by the file system's
own clock, so that machines may disagree about the time.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from nnunetv2_dale.benchmark.process_identity import ProcessIdentity

LOCK_NAME = "benchmark.lock"
HEARTBEAT_S = 20.0
STALE_AFTER_S = 300.0


@dataclass(frozen=True)
class LockHolder:
    """Who holds a lock.

    Attributes:
        token: unique for each time a lock is taken.
        runner: the benchmark command that the holder works for.
        process: the holder.
        since: when the lock was taken, local time of the holder.
    """

    token: str
    runner: str
    process: ProcessIdentity
    since: str


class LockLostError(RuntimeError):
    """The lock is in other hands: this process was taken for dead."""


class FoldLock:
    """The lock of one fold's folder, held by this process. Get one from `acquire`."""

    def __init__(self, path: Path, holder: LockHolder) -> None:
        self.path = path
        self.holder = holder

    def refresh(self) -> None:
        """Say that the holder is alive.

        Raises:
            LockLostError: the file is gone or somebody else's.
        """
        current = read_holder(self.path.parent)
        if current is None or current.token != self.holder.token:
            raise LockLostError(f"{self.path} is no longer held by this process")
        os.utime(self.path)

    def release(self) -> None:
        """Remove the lock if it is still this process's."""
        current = read_holder(self.path.parent)
        if current is not None and current.token == self.holder.token:
            self.path.unlink(missing_ok=True)


def acquire(folder: Path, runner: str) -> FoldLock | None:
    """Take the lock of `folder`, removing a stale one.

    Args:
        folder: the fold's folder; made when it does not exist.
        runner: the benchmark command this process works for.
    Returns:
        the lock, or None when a living process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK_NAME
    holder = LockHolder(uuid.uuid4().hex, runner, ProcessIdentity.current(), datetime.now().isoformat(" ", "seconds"))
    if _create(path, holder):
        return FoldLock(path, holder)
    current = read_holder(folder)
    if current is not None and not is_stale(folder, current):
        return None
    _remove_stale(path, current)
    return FoldLock(path, holder) if _create(path, holder) else None


def read_holder(folder: Path) -> LockHolder | None:
    """Who holds the lock of `folder`, stale or not; None when nobody does."""
    try:
        content = json.loads((folder / LOCK_NAME).read_text())
        return LockHolder(**{**content, "process": ProcessIdentity(**content["process"])})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):  # cut short by a full disk: nobody can refresh it, so it ages
        return LockHolder("unreadable", "unknown", ProcessIdentity("unknown", 0, ""), "unknown")


def living_holder(folder: Path) -> LockHolder | None:
    """Who works on `folder` now; None when nobody does or the lock is stale."""
    holder = read_holder(folder)
    return None if holder is None or is_stale(folder, holder) else holder


def is_stale(folder: Path, holder: LockHolder) -> bool:
    """Return whether the lock's holder is gone: its process, or, seen from another machine, its signs of life."""
    alive = holder.process.is_alive()
    if alive is not None:
        return not alive
    try:
        refreshed = (folder / LOCK_NAME).stat().st_mtime
    except FileNotFoundError:
        return True
    return _file_system_now(folder) - refreshed > STALE_AFTER_S


def _create(path: Path, holder: LockHolder) -> bool:
    with _scratch_file(path, json.dumps(asdict(holder))) as written:
        try:
            os.link(written, path)
        except FileExistsError:
            return False
        except OSError:  # no hard links on this file system: exclusive creation is the next best
            try:
                with path.open("x") as stream:
                    stream.write(written.read_text())
            except FileExistsError:
                return False
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


def _file_system_now(folder: Path) -> float:
    with _scratch_file(folder / LOCK_NAME, "") as touched:
        return touched.stat().st_mtime


@contextlib.contextmanager
def _scratch_file(beside: Path, content: str) -> Iterator[Path]:
    path = beside.with_name(f".{beside.name}.{uuid.uuid4().hex}")
    try:
        path.write_text(content)
        yield path
    finally:
        path.unlink(missing_ok=True)
