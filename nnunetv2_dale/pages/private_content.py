"""What of patients and of a machine a page holds, and how paths are left out of what is written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FOLDERS = re.compile(r"""(?<![\w.:/\\])(?:[A-Za-z]:)?[/\\](?=[^\s/\\])(?:[^\s"'<>|*?:;,()/\\]+[/\\])*""")


@dataclass(frozen=True)
class Held:
    """What a page may hold beside the names of cases: pictures of patients, paths of files."""

    pictures: bool = True
    paths: bool = True


EVERYTHING = Held()


def without_paths(value: Any, folders: Iterable[Path]) -> Any:
    """Return a text, or the texts of a JSON value, in which of every absolute path the name at its end is left.

    Args:
        value: text, number, None, or lists and dictionaries of them.
        folders: known ones, whose names may hold spaces; other paths end at a space.
    """
    known = {Path(folder).absolute() for folder in folders}
    known |= {folder.resolve() for folder in known}
    longest_first = sorted((str(folder) for folder in known if folder.name), key=len, reverse=True)
    folder = re.compile(rf"(?<![\w.:/\\])(?:{'|'.join(map(re.escape, longest_first)) or '(?!)'})(/|(?![^\s\"',;:)]))")
    return _without(value, folder)


def _without(value: Any, folder: re.Pattern[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, folder) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_without(item, folder) for item in value)
    if not isinstance(value, str):
        return value
    return _FOLDERS.sub("", folder.sub(lambda found: "" if found[1] else Path(found[0]).name, value))
