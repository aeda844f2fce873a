"""Where and with how much the benchmark runs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nnunetv2_dale.commands.command_line import UserError

EXECUTORS = ("local", "slurm")


@dataclass(frozen=True)
class ExecutorSettings:
    """What is asked of the machine or the batch system. Every field is a flag, which says what it means."""

    executor: str = "local"
    workers: int | None = None
    threads: int | None = None
    partition: str | None = None
    account: str | None = None
    walltime: str = "24:00:00"
    gpus: int | None = None
    cpus: int | None = None
    memory_gb: int | None = None
    max_jobs: int | None = None
    preamble: str = ""
    scheduler_options: str = ""
    address: str | None = None

    def __post_init__(self) -> None:
        if self.executor not in EXECUTORS:
            raise UserError(
                f"executor has to be one of {', '.join(EXECUTORS)}, got {self.executor!r}; for another batch system "
                "give a file to --parsl_config (docs/benchmark.md has examples)"
            )
        for name in ("workers", "threads", "cpus", "memory_gb", "max_jobs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} has to be at least 1, got {value}")
        if self.gpus is not None and self.gpus < 0:
            raise UserError(f"gpus cannot be negative, got {self.gpus}")
        if not re.fullmatch(r"\d+:[0-5]\d:[0-5]\d", self.walltime):
            raise UserError(f"walltime has to be HH:MM:SS, such as 24:00:00, got {self.walltime!r}")
