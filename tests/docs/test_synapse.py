"""docs/synapse.md: its commands, as they stand there, on a small copy of the archive."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.convert.fixtures import make_btcv

PAGE = Path(__file__).resolve().parents[2] / "docs" / "synapse.md"
ADDED = {"nnUNetv2_plan_and_preprocess": " -npfp 1 -np 1", "nnUNetv2_dale_benchmark": " -device cpu --dry_run"}
"""What the test adds to a command: fewer workers; and the table of trainings instead of 12 trainings of days."""


def marked_commands(page: str) -> list[str]:
    """The lines of every shell block that follows a `<!-- test -->` mark."""
    blocks = re.findall(r"<!-- test -->\n```bash\n(.*?)```", page, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


@pytest.mark.integration
def test_the_pages_commands_run(tmp_path: Path) -> None:
    make_btcv(tmp_path / "archive/RawData", shape=(4, 16, 16), testing=1)
    shutil.make_archive(str(tmp_path / "RawData"), "zip", tmp_path / "archive", "RawData")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "nnUNet_n_proc_DA": "1",
        "nnUNet_def_n_proc": "1",
        **{name: str(tmp_path / name) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")},
    }
    (tmp_path / "nnUNet_results").mkdir()
    commands = marked_commands(PAGE.read_text(encoding="utf-8"))
    names = [command.split()[0] for command in commands]
    assert names == [
        "python",
        "nnUNetv2_dale_convert",
        "nnUNetv2_dale_convert",
        "nnUNetv2_plan_and_preprocess",
        "nnUNetv2_dale_benchmark",
        "nnUNetv2_dale_benchmark",
    ]
    printed = []
    for command, name in zip(commands, names, strict=True):
        done = subprocess.run(
            command + ADDED.get(name, ""),
            shell=True,
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}"
        printed.append(done.stdout)
    for dataset in ("Dataset501_Synapse8Organs", "Dataset502_BTCV13Organs"):
        assert (tmp_path / "nnUNet_preprocessed" / dataset / "splits_final.json").is_file()
        assert len(list((tmp_path / "nnUNet_preprocessed" / dataset / "nnUNetPlans_3d_fullres").glob("*.pkl"))) == 30
    for text in printed[-2:]:
        assert "nnUNetTrainerDALE" in text
