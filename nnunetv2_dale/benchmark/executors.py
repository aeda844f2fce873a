"""Parsl's configuration for one machine, SLURM, or of a file of the user's own."""

from __future__ import annotations

import os
import re
import runpy
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # Parsl's own dependency
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.executors.status_handling import BlockProviderExecutor
from parsl.jobs.error_handlers import simple_error_handler
from parsl.jobs.states import JobStatus
from parsl.providers import LocalProvider, SlurmProvider

from nnunetv2_dale.benchmark.arguments import ExecutorSettings
from nnunetv2_dale.commands.command_line import UserError

HEARTBEAT_S = 10
LOST_AFTER_S = 60
PARSLS_RUN_DIR = "runinfo"


def put_environment_on_path() -> None:
    """Let Parsl find ``interchange.py`` and ``process_worker_pool.py``, however this command was called."""
    scripts = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)])


def run_directory(wanted: Path, executor: str) -> Path:
    """Where Parsl keeps its scripts and logs: `wanted`, or a place without spaces, which Parsl's scripts cannot bear.

    Raises:
        UserError: a cluster needs a shared folder and neither `wanted` nor the home folder will do.
    """
    if re.fullmatch(r"[\w@%+=:,./-]+", str(wanted)):
        return wanted
    if executor == "local":
        return Path(tempfile.mkdtemp(prefix="nnunetv2_dale_benchmark_"))
    at_home = Path.home() / ".nnunetv2_dale" / "benchmark"
    if not re.fullmatch(r"[\w@%+=:,./-]+", str(at_home)):
        raise UserError(
            f"Parsl needs a shared folder whose path has no spaces, but there are some in {wanted} and {at_home}"
        )
    return at_home


def parsl_config(
    settings: ExecutorSettings, run_dir: Path, device: str, num_gpus: int, visible_gpus: list[str], num_runs: int
) -> Config:
    """Parsl's configuration for `settings`.

    Args:
        run_dir: for Parsl's scripts and logs.
        device: nnU-Net's ``-device``.
        num_gpus: GPUs of one training.
        visible_gpus: GPUs of this machine, for the local executor.
        num_runs: trainings that there are to do at most.
    """
    if settings.executor == "local":
        executor = _local_executor(settings, device, num_gpus, visible_gpus, num_runs)
        return _config(executor, "simple", str(run_dir))
    workers = workers_per_job(settings, device, num_gpus)
    provider = _slurm_provider(settings, gpus_per_job(settings, device, num_gpus), -(-num_runs // workers))
    return cluster_config(provider, workers, settings.address, str(run_dir))


def cluster_config(
    provider: Any, workers: int = 1, address: str | None = None, run_dir: str = PARSLS_RUN_DIR
) -> Config:
    """Parsl's configuration for jobs of a batch system, for a file of `--parsl_config` too.

    Args:
        provider: an `ExecutionProvider` of Parsl; gets this environment's scripts on its PATH.
        workers: trainings that share one job.
        address: IPv4 address of this machine that the compute nodes reach; None tries all.
        run_dir: for Parsl's scripts and logs; `user_config` chooses it where it is Parsl's default.
    """
    provider.worker_init = f'export PATH="{Path(sys.executable).parent}:$PATH"\n{provider.worker_init}'
    options = {**_common_options(), "provider": provider, "max_workers_per_node": workers}
    executor = HighThroughputExecutor(label="cluster", address=address or "127.0.0.1", **options)
    if address is None:
        # Parsl's own way to list this machine's addresses also asks a server on the internet
        executor.address = None
        executor.all_addresses = own_addresses()
    return _config(executor, "htex_auto_scale", run_dir)


def _config(executor: HighThroughputExecutor, strategy: str, run_dir: str) -> Config:
    return Config(executors=[executor], run_dir=run_dir, strategy=strategy, usage_tracking=0, initialize_logging=False)


def user_config(path: Path, run_dir: Path) -> Config:
    """Return the configuration `config` from a user's Python file, without usage tracking.

    Raises:
        UserError: no such file, or it defines no `parsl.config.Config` of that name.
    """
    if not path.is_file():
        raise UserError(f"there is no Parsl configuration {path}")
    config = runpy.run_path(str(path)).get("config")
    if not isinstance(config, Config):
        raise UserError(f"{path} has to define config, a parsl.config.Config, got {type(config).__name__}")
    config.usage_tracking = 0
    if config.run_dir == PARSLS_RUN_DIR:  # in the current folder
        config.run_dir = str(run_dir)
    return config


def workers_per_job(settings: ExecutorSettings, device: str, num_gpus: int) -> int:
    """Trainings that share one batch job."""
    if settings.workers is not None:
        return settings.workers
    return max(1, gpus_per_job(settings, device, num_gpus) // num_gpus)


def gpus_per_job(settings: ExecutorSettings, device: str, num_gpus: int) -> int:
    """GPUs that one batch job asks for."""
    if settings.gpus is not None:
        return settings.gpus
    return num_gpus * (settings.workers or 1) if device == "cuda" else 0


def _local_executor(
    settings: ExecutorSettings, device: str, num_gpus: int, visible_gpus: list[str], num_runs: int
) -> HighThroughputExecutor:
    accelerators: list[str] = []
    if device == "cuda":
        groups = [visible_gpus[i : i + num_gpus] for i in range(0, len(visible_gpus), num_gpus)]
        accelerators = [",".join(group) for group in groups if len(group) == num_gpus]
        workers = min(len(accelerators), settings.workers or len(accelerators))
        accelerators = accelerators[:workers]
    else:
        workers = settings.workers or 1
    return HighThroughputExecutor(
        label="local",
        address="127.0.0.1",
        max_workers_per_node=max(1, min(workers, num_runs)),
        available_accelerators=accelerators[: max(1, num_runs)],
        provider=LocalProvider(init_blocks=1, max_blocks=1),  # type: ignore[no-untyped-call]
        **_common_options(),
    )


def _slurm_provider(settings: ExecutorSettings, gpus: int, most_jobs: int) -> SlurmProvider:
    return SlurmProvider(
        partition=settings.partition,
        account=settings.account,
        cores_per_node=settings.cpus,
        mem_per_node=settings.memory_gb,
        gpus_per_node=gpus or None,
        walltime=settings.walltime,
        scheduler_options=settings.scheduler_options,
        worker_init=settings.preamble,
        exclusive=False,
        cmd_timeout=60,
        max_blocks=settings.max_jobs or max(1, most_jobs),
    )


def _common_options() -> dict[str, Any]:
    return {
        "cores_per_worker": 1e-3,  # the number of workers is decided here, not by the number of cores
        "heartbeat_period": HEARTBEAT_S,
        "heartbeat_threshold": LOST_AFTER_S,
        "interchange_launch_cmd": [sys.executable, "-m", "nnunetv2_dale.benchmark.tied_process", "interchange.py"],
        "block_error_handler": _give_up_when_no_job_ever_ran,
    }


def _give_up_when_no_job_ever_ran(executor: BlockProviderExecutor, status: dict[str, JobStatus]) -> None:
    """Parsl's rule, unless some job's workers have reported: then failed jobs are walltimes and preemptions."""
    if isinstance(executor, HighThroughputExecutor) and executor.connected_blocks():
        return
    simple_error_handler(executor, status, threshold=3)


def own_addresses() -> set[str]:
    """IPv4 addresses of this machine, without asking anybody else."""
    of_interfaces = psutil.net_if_addrs().values()
    return {each.address for addresses in of_interfaces for each in addresses if each.family == socket.AF_INET}
