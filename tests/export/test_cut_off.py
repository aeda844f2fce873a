"""An export that is killed or finds the disk full."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunetv2_dale.export.cli import main
from tests.export.fixtures import STOCK, files, make_model
from tests.nnunet_files.fixtures import full_after, kill_at


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "results", folds=(0, 1))


@pytest.mark.integration
@pytest.mark.parametrize(("output", "function"), [("out", "torch.save"), ("out.zip", "zipfile.ZipFile")])
def test_a_killed_export_leaves_nothing_and_works_again(model: Path, tmp_path, output: str, function: str) -> None:
    """Killed between the two folds' checkpoints, and before the archive is packed."""
    target = tmp_path / "exports" / output
    words = ["-i", str(model), "-o", str(target)]
    kill_at("nnunetv2_dale.export.cli", function, 2 if function == "torch.save" else 1, words)
    left = [path.name for path in target.parent.iterdir()]
    assert left
    assert all(name.startswith(".unfinished_") for name in left)
    assert main(words) == 0
    assert target.exists()


def test_a_full_disk_leaves_nothing_and_a_second_model_not_half(model: Path, tmp_path: Path, capsys) -> None:
    target = tmp_path / "out"
    words = ["-i", str(model), "-o", str(target)]
    for limit, told in ((3_000, f"stopped: {target}: File too large"), (20_000, f"{target} could not be written")):
        with full_after(limit):  # in the plans, and in a checkpoint, where torch has an error of its own
            assert main(words) == 2
        assert told in capsys.readouterr().err
        assert not target.exists()
    assert main(words) == 0
    before = files(target)
    with full_after(20_000):
        assert main([*words, "--overwrite"]) == 2
    assert files(target) == before
    assert any(STOCK in name for name in before)
