"""The study of the expected Dice: what it reads of the command's output, its table and its figure."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.expected_dice import draw, main, results_table, row_of
from tests.benchmarks.tables import cells

TABLE = "case,fold,label,expected_dice,dice\na,0,1,0.9000,0.8000\na,0,2,0.5000,0.7000\nb,1,1,0.7000,0.6000\n"


def test_a_row_is_what_the_command_wrote(tmp_path: Path) -> None:
    (tmp_path / "calibration.csv").write_text(TABLE)
    row = row_of("hearts", tmp_path)
    assert row["data"] == "hearts"
    assert row["held_out"] == [["a", "0", 1, 0.9, 0.8], ["a", "0", 2, 0.5, 0.7], ["b", "1", 1, 0.7, 0.6]]
    # |.1| |.2| |.1|; of label 1 the median .7 misses .8 and .6 by .1, of label 2 nothing
    (shown,) = cells(results_table([row]))
    assert shown == ["hearts", "3", "0.700", "0.700", "0.133", "0.067", "0.800 (1)", "0.650 (2)"]
    draw([row, row], tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_another_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--add", "hearts", str(tmp_path)]) == 2
    assert "which nnUNetv2_dale_pseudo_labels writes" in capsys.readouterr().err
