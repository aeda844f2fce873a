from pathlib import Path

import pytest

from nnunetv2_dale.benchmark.progress import FoldProgress, last_lines, read_progress, tail
from nnunetv2_dale.benchmark.table import plain_table

EPOCH = """
2026-01-01 00:00:00.1:  
2026-01-01 00:00:00.1: Epoch {number} 
2026-01-01 00:00:00.2: train_loss -0.1 
2026-01-01 00:00:00.3: Pseudo dice [{dice}] 
2026-01-01 00:00:00.4: Epoch time: {seconds} s 
"""  # noqa: W291 (nnU-Net ends its lines with a space)


def _log(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "training_log_2026_1_1_00_00_00.txt").write_text(text)
    (folder / "debug.json").write_text('{"num_epochs": "10"}')


@pytest.mark.parametrize("dice", ["0.4, 0.6", "np.float32(0.4), np.float32(0.6)", "nan, np.float64(0.5)"])
def test_a_training_half_way(tmp_path: Path, dice: str) -> None:
    epochs = [EPOCH.format(number=number, dice=dice, seconds=seconds) for number, seconds in enumerate((9.0, 2.0, 4.0))]
    _log(tmp_path, "".join(epochs))
    progress = read_progress(tmp_path)
    assert progress == FoldProgress(epoch=3, num_epochs=10, dice=pytest.approx(0.5), seconds_per_epoch=4.0)
    assert progress.seconds_left == 7 * 4.0
    _log(tmp_path, "".join(epochs) + "2026-01-01 00:01:00.0: Epoch 3 \n")
    assert read_progress(tmp_path).epoch == 3  # begun, not completed


def test_validation_and_nothing_at_all(tmp_path: Path) -> None:
    _log(tmp_path, "x: Epoch 9 \nx: Epoch time: 1.0 s\nx: Training done. \nx: predicting a \nx: predicting b \n")
    assert read_progress(tmp_path).predicted == 2
    assert read_progress(tmp_path).seconds_left is None
    assert read_progress(tmp_path / "none") == FoldProgress()


def test_a_long_log_is_read_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("".join(f"line {number}\n\n" for number in range(20000)))
    assert tail(log, 30) == "\nline 19998\n\nline 19999\n\n"
    assert last_lines(log, 2) == ["line 19998", "line 19999"]


def test_a_table_in_plain_text() -> None:
    assert plain_table(("fold", "note", "Dice"), [("0", "", "0.5"), ("all", "", "")]) == "fold  Dice\n0     0.5\nall"
