import importlib.util
import os
import re
import sys
from pathlib import Path

import pytest
from parsl.config import Config
from parsl.errors import OptionalModuleMissing
from parsl.executors import HighThroughputExecutor

from nnunetv2_dale.benchmark.arguments import ExecutorSettings
from nnunetv2_dale.benchmark.executors import (
    own_addresses,
    parsl_config,
    put_environment_on_path,
    run_directory,
    user_config,
)
from nnunetv2_dale.commands.command_line import UserError
from tests.conftest import REPOSITORY


def _executor(config: Config) -> HighThroughputExecutor:
    assert config.usage_tracking == 0  # nothing is reported to anybody
    (executor,) = config.executors
    assert isinstance(executor, HighThroughputExecutor)
    return executor


def _cluster(kind: str, **settings: object) -> HighThroughputExecutor:
    chosen = ExecutorSettings(kind, partition="gpu", account="me", walltime="48:00:00", **settings)  # type: ignore[arg-type]
    return _executor(parsl_config(chosen, Path("/runs"), "cuda", 1, [], 10))


@pytest.mark.parametrize(
    ("num_gpus", "workers", "runs", "expected"),
    [(1, None, 10, ["4", "5", "6", "7"]), (1, 2, 10, ["4", "5"]), (2, None, 10, ["4,5", "6,7"]), (1, None, 1, ["4"])],
)
def test_each_local_training_is_pinned_to_its_gpus(num_gpus: int, workers: int | None, runs: int, expected) -> None:
    config = parsl_config(ExecutorSettings(workers=workers), Path("/runs"), "cuda", num_gpus, list("4567"), runs)
    executor = _executor(config)
    assert executor.available_accelerators == expected
    assert executor.max_workers_per_node == len(expected)
    assert executor.all_addresses == {"127.0.0.1"}


def test_local_cpu_workers() -> None:
    executor = _executor(parsl_config(ExecutorSettings(workers=3), Path("/runs"), "cpu", 1, [], 10))
    assert (executor.max_workers_per_node, executor.available_accelerators) == (3, [])


def test_slurm() -> None:
    executor = _cluster("slurm", cpus=8, memory_gb=32, gpus=2, preamble="module load cuda", max_jobs=4)
    options = executor.provider.scheduler_options
    for line in ("--partition=gpu", "--account=me", "--gpus-per-node=2"):
        assert f"#SBATCH {line}" in options
    assert "exclusive" not in options
    assert (executor.provider.max_blocks, executor.max_workers_per_node) == (4, 2)
    scripts = Path(sys.executable).parent
    assert executor.provider.worker_init.splitlines() == [f'export PATH="{scripts}:$PATH"', "module load cuda"]
    assert executor.available_accelerators == []  # the batch system's own choice of GPUs is kept
    assert executor.all_addresses == own_addresses()


def _example(name: str) -> str:
    """The file of that name that docs/benchmark.md shows."""
    page = (REPOSITORY / "docs" / "benchmark.md").read_text()
    (code,) = re.findall(rf"```python\n(# {name}\.py.*?)```", page, re.DOTALL)
    return str(code)


@pytest.mark.parametrize("name", ["lsf", "pbs", "k8s"])
def test_the_examples_of_the_docs_are_whole_configurations(name: str, tmp_path: Path) -> None:
    file = tmp_path / f"{name}_example.py"
    file.write_text(_example(name))
    if name == "k8s" and importlib.util.find_spec("kubernetes") is None:
        with pytest.raises(OptionalModuleMissing, match="kubernetes"):
            user_config(file, tmp_path / "runs")
        return
    config = user_config(file, tmp_path / "runs")
    executor = _executor(config)
    assert config.run_dir == str(tmp_path / "runs")
    assert (executor.max_workers_per_node, executor.provider.max_blocks) == (1, 8)
    assert executor.provider.worker_init.splitlines()[0].startswith(f'export PATH="{Path(sys.executable).parent}:')
    assert executor.all_addresses == own_addresses()


def test_the_example_for_lsf_asks_for_gpu_memory_and_cores(tmp_path: Path) -> None:
    file = tmp_path / "lsf.py"
    file.write_text(_example("lsf"))
    options = _executor(user_config(file, tmp_path)).provider.scheduler_options
    for line in ("-gpu num=1", '-R "rusage[mem=64GB]"', "-q gpu", "-n 12"):
        assert f"#BSUB {line}\n" in options


def test_a_user_configuration_gets_no_usage_tracking_and_no_folder_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "my config.py"
    file.write_text("from parsl.config import Config\nconfig = Config(usage_tracking=3)\n")
    config = user_config(file, tmp_path / "runs")
    assert (config.usage_tracking, config.run_dir) == (0, str(tmp_path / "runs"))
    file.write_text("config = {}")
    with pytest.raises(UserError, match=r"has to define config, a parsl\.config\.Config, got dict"):
        user_config(file, tmp_path)
    with pytest.raises(UserError, match="there is no Parsl configuration"):
        user_config(tmp_path / "none.py", tmp_path)


def test_parsls_folder_has_no_spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_directory(Path("/results/parsl"), "slurm") == Path("/results/parsl")
    monkeypatch.setenv("HOME", "/home/me")
    assert run_directory(Path("/my results/parsl"), "slurm") == Path("/home/me/.nnunetv2_dale/benchmark")
    assert " " not in str(run_directory(Path("/my results/parsl"), "local"))
    monkeypatch.setenv("HOME", "/home/my self")
    with pytest.raises(UserError, match="path has no spaces"):
        run_directory(Path("/my results/parsl"), "slurm")


def test_parsls_programs_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    put_environment_on_path()
    assert os.environ["PATH"] == f"{Path(sys.executable).parent}{os.pathsep}/usr/bin"
