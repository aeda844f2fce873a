"""What a measurement was made on: hardware and versions, no host names or paths."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch


def command_environment() -> dict[str, str]:
    """This environment, with the commands beside this Python first: nobody has to activate it."""
    paths = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return {**os.environ, "PATH": os.pathsep.join(paths)}


def call(command: Sequence[str]) -> None:
    """Run a command of this environment to its end, or raise."""
    print(shlex.join(command), flush=True)
    subprocess.run(command, check=True, env=command_environment())


def shown(command: Sequence[str]) -> str:
    """A command as it is typed; of folders of this machine their names alone."""
    return shlex.join(_names_alone(command))


def _names_alone(words: Sequence[str]) -> list[str]:
    return [Path(word).name if Path(word).is_absolute() else word for word in words]


def describe(device: torch.device, threads: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads_used": threads,
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "nnunetv2": version("nnunetv2"),
        "device": device.type,
        "load_average_at_start": round(os.getloadavg()[0], 1),
    }
    if device.type == "cuda":
        found |= {
            "gpu": torch.cuda.get_device_name(device),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return found


def made_here(device: torch.device = torch.device("cpu"), threads: int = 1) -> dict[str, Any]:  # noqa: B008
    """What a file or a row says of how it was made: this command, and the machine."""
    return {"command": command_line(), "machine": describe(device, threads)}


def command_line() -> str:
    """The command as it is typed from the repository's root; see `shown`."""
    return " ".join(["python", "-m", f"benchmarks.{Path(sys.argv[0]).stem}", *_names_alone(sys.argv[1:])])


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
