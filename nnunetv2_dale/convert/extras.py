"""Packages that only the conversion needs: imported when used, with one sentence where they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from nnunetv2_dale.commands.command_line import not_installed


def require(module: str) -> Any:
    """Import `module`, a package of the `[convert]` extra."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = {"PIL": "pillow"}.get(module.split(".")[0], module.split(".")[0])
        raise not_installed("this recipe", package, "convert") from error
