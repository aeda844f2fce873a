"""JSON files, read with one sentence where one is damaged, and written in one form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from nnunetv2_dale.nnunet_files.problems import FileError

Record = TypeVar("Record")


class _DoubledKeyError(Exception):
    """A key stands twice in one object."""


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _DoubledKeyError(next(key for key in keys if keys.count(key) > 1))
    return found


def read_json(path: Path, remedy: str = "") -> Any:
    """Read a JSON file; a byte order mark is accepted.

    Args:
        remedy: what to do where it is missing or damaged, to end the sentence.
    Raises:
        FileError: it cannot be opened, is cut off, is no JSON, or has a key twice in one object.
    """
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"), object_pairs_hook=_without_twins)
    except _DoubledKeyError as error:
        what = f"has the key {error.args[0]!r} twice in one object, of which only the last would count"
        raise FileError(path, _with(what, remedy or "keep one of them")) from error
    except OSError as error:
        missing = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror or error
        what = f"cannot be read: {missing}"
        raise FileError(path, _with(what, remedy)) from error
    except UnicodeDecodeError as error:
        raise FileError(path, _with("is not UTF-8 text; save it with the encoding UTF-8", remedy)) from error
    except json.JSONDecodeError as error:
        rest = error.doc[error.pos :].lstrip()
        hint = "; JSON knows no comments" if rest.startswith(("#", "//", "/*")) else ""
        if not rest or error.msg.startswith("Unterminated"):
            hint = "; it was cut off"
        what = f"is not valid JSON ({error.msg}, line {error.lineno}, column {error.colno}){hint}"
        raise FileError(path, _with(what, remedy)) from error


def read_json_object(path: Path, remedy: str = "") -> dict[str, Any]:
    """Read a JSON file that has to hold an object."""
    content = read_json(path, remedy)
    if not isinstance(content, dict):
        what = f"should hold a JSON object, {{...}}, and holds a {type(content).__name__}"
        raise FileError(path, _with(what, remedy))
    return content


def record_of(kind: type[Record], content: Mapping[str, Any]) -> Record:
    """Build a dataclass from what `dataclasses.asdict` gave, read back from JSON: its records too, lists as the tuples
    that they were.

    The key "class" is that of a field `class_key`, else `class_name`; keys without a field are left out.

    Raises:
        TypeError, AttributeError: content of another form.
    """
    hints = get_type_hints(kind)
    name_of_class = "class_key" if "class_key" in hints else "class_name"
    named = {name_of_class if key == "class" else key: value for key, value in content.items()}
    return kind(**{name: _as_hinted(hints[name], value) for name, value in named.items() if name in hints})


def _as_hinted(hint: Any, value: Any) -> Any:
    options = get_args(hint)
    if value is None:
        return None
    if type(None) in options:
        return _as_hinted(options[0], value)
    if isinstance(hint, type) and is_dataclass(hint):
        return record_of(hint, value)
    origin = get_origin(hint)
    if origin is tuple or origin is list:
        return origin(_as_hinted(options[0], each) for each in value)
    if origin is dict:
        return {key: _as_hinted(options[1], each) for key, each in value.items()}
    return value


def json_text(content: Any) -> str:
    """Return content as the text of a JSON file."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file into a folder that is being made."""
    path.write_text(json_text(content), encoding="utf-8")


def _with(what: str, remedy: str) -> str:
    return f"{what}; {remedy}" if remedy else what
