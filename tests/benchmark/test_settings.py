from pathlib import Path

import pytest

from nnunetv2_dale.benchmark.settings import ExecutorSettings, read_settings
from nnunetv2_dale.commands.command_line import UserError


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "my cluster.toml"
    file.write_text('executor = "slurm"\npartition = "gpu"\nwalltime = "48:00:00"\nmemory_gb = 32\n')
    settings = read_settings(file, {"partition": "fast", "gpus": None})
    assert settings == ExecutorSettings("slurm", partition="fast", walltime="48:00:00", memory_gb=32)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("queue = 'gpu'", "unknown key 'queue'; known are executor"),
        ("cpus = 'four'", "cpus in .* has to be a whole number"),
        ("gpus = true", "gpus in .* has to be a whole number"),
        ("executor = slurm", "is not TOML"),
        ("executor = 'condor'", "executor has to be one of local, slurm"),
        ("walltime = '2 days'", "walltime has to be HH:MM:SS"),
        ("workers = 0", "workers has to be at least 1"),
        ("executor = 'lsf'", "executor has to be one of local, slurm, got 'lsf'; for another .* --parsl_config"),
    ],
)
def test_a_wrong_file_is_named_in_one_sentence(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text(content)
    with pytest.raises(UserError, match=message):
        read_settings(file, {})


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the settings"):
        read_settings(tmp_path / "none.toml", {})
