"""The benchmark's engine: Parsl brings each job to a worker and its result back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from parsl import python_app
from parsl.config import Config
from parsl.dataflow.dflow import DataFlowKernel

from nnunetv2_dale.benchmark.job import Job, run_job
from nnunetv2_dale.benchmark.runs import Run


class ParslEngine:
    """Runs jobs on the workers that a Parsl configuration describes."""

    def __init__(self, config: Config, make_job: Callable[[Run], Job]) -> None:
        """
        Args:
            config: which workers; its ``run_dir`` also gets ``parsl.log``.
            make_job: the job that does a run.
        """
        _log_to(Path(config.run_dir) / "parsl.log")
        self._make_job = make_job
        self._kernel = DataFlowKernel(config)
        self._app = python_app(run_job, data_flow_kernel=self._kernel)

    def submit(self, run: Run) -> Future[str]:
        """Queue an attempt at `run`."""
        future: Future[str] = self._app(self._make_job(run).to_json())
        return future

    def close(self) -> None:
        """End the workers and whatever they still do."""
        self._kernel.cleanup()


def _log_to(file: Path) -> None:
    """Send Parsl's messages to `file` instead of the terminal, which belongs to the table."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(file, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("parsl")
    for old in [h for h in logger.handlers if isinstance(h, logging.FileHandler)]:
        logger.removeHandler(old)
        old.close()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
