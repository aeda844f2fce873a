"""The parser of every command: nnU-Net's spelling, one form of help, old spellings out of sight."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Any, NoReturn

from nnunetv2_dale import __version__


class CommandParser(argparse.ArgumentParser):
    """An `ArgumentParser` with `--version`, whose help says for each flag whether it is needed and its default.

    Words in a flag are joined by underscores; hyphens in their place, as spelled at first, are read as underscores.
    Sub-commands are of this class too. What it cannot read ends in one sentence and exit code 2.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"formatter_class": _HelpText, **options})
        shown = "show the versions of this package and of nnU-Net and exit"
        self.add_argument("--version", action="version", version=versions(), help=shown)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as `ArgumentParser` does, with hyphens in flags read as underscores."""
        words: Sequence[str] = sys.argv[1:] if args is None else args
        return super().parse_known_args([self._as_spelled_now(word) for word in words], namespace)

    def error(self, message: str) -> NoReturn:
        """End with one sentence in place of the usage."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")

    def _as_spelled_now(self, word: str) -> str:
        flag, equals, value = word.partition("=")
        now = "--" + flag[2:].replace("-", "_")
        if flag[:2] != "--" or not any(known.startswith(now) for known in self._option_string_actions):
            return word
        return now + equals + value


def add_old_spelling(container: argparse._ActionsContainer, action: argparse.Action, flag: str) -> None:
    """Let `flag` mean what `action` means, without showing it."""
    container._option_string_actions[flag] = action


@lru_cache
def versions() -> str:
    """This package and the installed nnU-Net with their versions."""
    return f"nnunetv2-dale {__version__}, nnU-Net {version('nnunetv2')}"


class _HelpText(argparse.HelpFormatter):
    """Puts `[REQUIRED]` or `[OPTIONAL]` before each flag's help, its default behind; keeps indented paragraphs.

    A default that is None in Python stands in the help itself, in the same form: `Default: all that are there`.
    """

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text, default = action.help, action.default
        if not text or not action.option_strings or default is argparse.SUPPRESS:
            return text
        text = ("[REQUIRED] " if action.required else "[OPTIONAL] ") + text
        if default is None or default is False or default in ([], ()) or "Default: " in text:
            return text
        values = default if isinstance(default, (list, tuple)) else [default]
        return f"{text}. Default: " + " ".join(
            f"{value:g}" if isinstance(value, float) else f"{value}" for value in values
        )

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(self._paragraph(text, width, indent) for text in text.strip().split("\n\n"))

    def _paragraph(self, text: str, width: int, indent: str) -> str:
        return textwrap.indent(text, indent) if "\n " in text else super()._fill_text(text, width, indent)
