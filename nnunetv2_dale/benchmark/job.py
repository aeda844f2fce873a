"""What a worker is told to do, and the function that Parsl runs on it. Imports nothing heavy: every worker loads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

from nnunetv2_dale.benchmark.runs import Run
from nnunetv2_dale.commands.process_identity import ProcessIdentity
from nnunetv2_dale.commands.worker_pool import usable_cores
from nnunetv2_dale.nnunet_files.json_files import record_of


class Ending(str, Enum):
    """How an attempt at a run ended."""

    DONE = "done"
    FAILED = "failed"  # nnU-Net ended by itself, with an error
    KILLED = "killed"  # something ended nnU-Net or the worker: walltime, preemption, out of memory, kill
    BUSY = "busy"  # another benchmark works on this fold


@dataclass(frozen=True)
class Job:
    """One attempt at one run."""

    run: Run
    results: str  # nnU-Net's folder, and so the next
    preprocessed: str
    device: str  # ``cuda``, ``cpu`` or ``mps``
    npz: bool  # save the validation's probabilities
    pretrained_weights: str | None  # checkpoint to start from; only when training starts from the beginning
    num_gpus: int  # GPUs of one training
    threads: int | None  # CPU threads of one training; None shares the machine's among its workers
    # GPUs that a batch system gives to the workers of one node together; None when Parsl pins them
    gpus_per_node: int | None
    environment: Mapping[str, str]  # variables to set on the worker, nnU-Net's own among them
    runner: str  # name of this benchmark command
    head: ProcessIdentity  # its process

    def to_json(self) -> str:
        """Return the job as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Return the job that `to_json` wrote."""
        return record_of(cls, json.loads(text))


@dataclass(frozen=True)
class JobResult:
    """How an attempt ended."""

    ending: Ending
    message: str = ""  # one clause that says more
    log: str | None = None  # file with everything that nnU-Net printed, if it was started

    def to_json(self) -> str:
        """Return the result as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> JobResult:
        """Return the result that `to_json` wrote."""
        return cls(**{**(fields := json.loads(text)), "ending": Ending(fields["ending"])})


def run_job(job_json: str) -> str:
    """Do one attempt at a run, in a process of its own that outlives neither this worker nor its training.

    Args:
        job_json: a `Job` as text.
    Returns:
        a `JobResult` as text.
    Raises:
        RuntimeError: the supervising process could not do its work.
    """
    job = Job.from_json(job_json)
    environment = {**os.environ, **job.environment, **worker_environment(job, os.environ)}
    supervisor = subprocess.run(
        [sys.executable, "-m", "nnunetv2_dale.benchmark.supervisor"],
        input=job_json,
        capture_output=True,
        text=True,
        env=environment,
        start_new_session=True,  # out of reach of the terminal's Ctrl-C: it watches its parent instead
        check=False,
    )
    if supervisor.returncode == 0:
        return supervisor.stdout.splitlines()[-1]
    if supervisor.returncode < 0:
        return JobResult(Ending.KILLED, f"its supervisor was ended by signal {-supervisor.returncode}").to_json()
    last_line = supervisor.stderr.strip().rpartition("\n")[2]
    raise RuntimeError(last_line or f"the supervisor ended with exit code {supervisor.returncode}")


def worker_environment(job: Job, environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that keep the workers of one machine out of each other's way; what the user has set stays.

    Args:
        environment: the worker's own, with Parsl's ``PARSL_WORKER_RANK`` and ``PARSL_WORKER_COUNT``.
    """
    variables: dict[str, str] = {}
    workers = int(environment.get("PARSL_WORKER_COUNT", "1"))
    threads = job.threads or max(1, usable_cores() // workers)
    on_cpu = job.device == "cpu"
    loaders = max(1, threads // 4) if on_cpu else max(1, min(12, threads))
    given = {**environment, **job.environment}
    for name, value in (("nnUNet_n_proc_DA", loaders), ("nnUNet_def_n_proc", max(1, min(8, threads)))):
        if name not in given:
            variables[name] = str(value)
    if on_cpu:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            variables[name] = str(threads)
    if job.gpus_per_node is not None:
        variables["CUDA_VISIBLE_DEVICES"] = _own_gpus(job, environment)
    return variables


def nnunet_train_command(device: str, seed: int | None = None) -> list[str]:
    """How ``nnUNetv2_train`` is started: this Python environment's command; seeded, or on the CPU, our `training`."""
    if seed is not None or device == "cpu":
        return [sys.executable, "-m", "nnunetv2_dale.benchmark.training", "none" if seed is None else str(seed)]
    beside = Path(sys.executable).parent / "nnUNetv2_train"
    return [str(beside) if beside.exists() else "nnUNetv2_train"]


def _own_gpus(job: Job, environment: Mapping[str, str]) -> str:
    """This worker's share of the GPUs that the batch system allotted to the node."""
    allotted = environment.get("CUDA_VISIBLE_DEVICES")
    gpus = allotted.split(",") if allotted else [str(index) for index in range(job.gpus_per_node or 0)]
    rank = int(environment.get("PARSL_WORKER_RANK", "0"))
    return ",".join(gpus[rank * job.num_gpus : (rank + 1) * job.num_gpus])


def environment_of_workers(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what every worker needs of this command's environment; not every batch system hands it on."""
    passed = {
        name: value
        for name, value in environment.items()
        if name.startswith(("nnUNet_", "NNUNETV2_DALE_")) or name == "PYTHONPATH"
    }
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "nnUNet_extTrainer", "PYTHONPATH"):
        if name in passed:  # a worker's current folder is another one
            paths = passed[name].split(os.pathsep)
            passed[name] = os.pathsep.join(str(Path(path).absolute()) if path else path for path in paths)
    return passed
