"""The benchmark on a real SLURM: NNUNETV2_DALE_SLURM_TEST=1, as root, with slurm-wlm and munge installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.benchmark.fixtures import DATASET, benchmark_command, preprocessed_phantom, until_in_work
from tests.benchmark.slurm_here import running_slurm

OPTED_IN = os.environ.get("NNUNETV2_DALE_SLURM_TEST") == "1"


@pytest.mark.slurm
@pytest.mark.skipif(not OPTED_IN, reason="set NNUNETV2_DALE_SLURM_TEST=1 to start a SLURM on this machine")
def test_a_cancelled_job_continues_from_its_checkpoint(tmp_path: Path) -> None:
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root and slurm-wlm, munge (missing: {', '.join(missing) or 'root'})")
    environment = preprocessed_phantom(tmp_path / "data")
    fold = Path(environment["nnUNet_results"]) / DATASET / "nnUNetTrainer_long__nnUNetPlans__2d" / "fold_0"
    with running_slurm(tmp_path / "slurm") as variables:
        environment.update(variables)
        arguments = ["-tr", "nnUNetTrainer_long", "-f", "0", "-device", "cpu", "--no_report"]
        arguments += ["--executor", "slurm", "--partition", "test", "--cpus", "1", "--walltime", "00:20:00"]
        output = tmp_path / "output.txt"
        with output.open("w") as stream:
            command = subprocess.Popen(benchmark_command(*arguments), env=environment, stdout=stream, stderr=stream)
            try:
                until_in_work(command, (fold / "checkpoint_latest.pth").exists, "a checkpoint")
                jobs = subprocess.check_output(["squeue", "-h", "-o", "%i"], env=environment, text=True).split()
                subprocess.run(["scancel", *jobs], env=environment, check=True)
                assert command.wait(500) == 0, output.read_text()
            finally:
                command.terminate()
                command.wait()
    assert len(jobs) == 1
    logs = sorted(fold.glob("benchmark_log_*.txt"))
    assert [" --c" in log.read_text().splitlines()[0] for log in logs] == [False, True]
    assert (fold / "validation" / "summary.json").exists()
