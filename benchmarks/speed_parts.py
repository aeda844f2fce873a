"""What the benchmarks of commands share: some of their parts are measured, and a JSON file holds the latest of each."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

Part = Callable[[Path], dict[str, float]]
"""Measures in an empty folder of its own; its docstring says what."""


def measure_parts(description: str | None, parts: Mapping[str, Part], targets: Mapping[str, dict[str, float]]) -> None:
    """Run the parts that the command line asks for; parts of the file that were not asked for stay."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(parts), default=list(parts))
    parser.add_argument("--output", type=Path, help="also write the JSON here")
    arguments = parser.parse_args()
    results: dict[str, object] = {}
    if arguments.output and arguments.output.is_file():
        results = dict(json.loads(arguments.output.read_text()))
    for name in arguments.only:
        load = round(os.getloadavg()[0], 1)
        with tempfile.TemporaryDirectory() as folder:
            row = parts[name](Path(folder))
        what = (parts[name].__doc__ or "").strip()
        results[name] = {"what": what, "target": targets[name], "load_before": load, **row}
    # only now: the peak memory of a process that this one starts is never below this one's own
    import torch

    from benchmarks.machine import command_line, describe

    results |= {"command": command_line(), "machine": describe(torch.device("cpu"), 1)}
    text = json.dumps(results, indent=1)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n")
