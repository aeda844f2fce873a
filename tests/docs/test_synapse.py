"""docs/synapse.md: its commands, as they stand there, on a small copy of the archive."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

import pytest

from tests.convert.fixtures import make_btcv
from tests.run_commands import go_to, run, use_threads

PAGE = Path(__file__).resolve().parents[2] / "docs" / "synapse.md"
ADDED = {"nnUNetv2_plan_and_preprocess": " -npfp 1 -np 1", "nnUNetv2_dale_benchmark": " -device cpu --dry_run"}
"""What the test adds to a command: fewer workers; and the table of trainings instead of 12 trainings of days."""


def marked_commands(page: str) -> list[str]:
    """The lines of every shell block that follows a `<!-- test -->` mark."""
    blocks = re.findall(r"<!-- test -->\n```bash\n(.*?)```", page, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


@pytest.mark.filterwarnings("default")  # of nnU-Net's commands
def test_the_pages_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    make_btcv(tmp_path / "archive/RawData", shape=(4, 16, 16), testing=1)
    shutil.make_archive(str(tmp_path / "RawData"), "zip", tmp_path / "archive", "RawData")
    (tmp_path / "nnUNet_results").mkdir()
    unpack, *commands = marked_commands(PAGE.read_text(encoding="utf-8"))
    go_to(tmp_path, monkeypatch)
    use_threads(monkeypatch)
    assert unpack.split()[:3] == ["python", "-m", "zipfile"]
    zipfile.main(unpack.split()[3:])  # type: ignore[attr-defined]  # typeshed leaves the command out
    names = [command.split()[0] for command in commands]
    assert names == [
        "nnUNetv2_dale_convert",
        "nnUNetv2_dale_convert",
        "nnUNetv2_plan_and_preprocess",
        "nnUNetv2_dale_benchmark",
        "nnUNetv2_dale_benchmark",
    ]
    run((command + ADDED.get(name, "") for command, name in zip(commands[:3], names[:3], strict=True)), monkeypatch)
    for dataset in ("Dataset501_Synapse8Organs", "Dataset502_BTCV13Organs"):
        assert (tmp_path / "nnUNet_preprocessed" / dataset / "splits_final.json").is_file()
        assert len(list((tmp_path / "nnUNet_preprocessed" / dataset / "nnUNetPlans_3d_fullres").glob("*.pkl"))) == 30
    for command in commands[3:]:
        capsys.readouterr()
        run([command + ADDED["nnUNetv2_dale_benchmark"]], monkeypatch)
        assert "nnUNetTrainerDALE" in capsys.readouterr().out.partition("\n")[2]  # not in the command itself
