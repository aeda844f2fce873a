"""Cost from nnU-Net's logs, with interruptions and values that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunetv2_dale.nnunet_files.results.training_logs import epochs_from_logs
from nnunetv2_dale.report.build import ReportSettings, build_report
from nnunetv2_dale.report.cost import pseudo_dice_at, read_fold_cost, shared_hours
from nnunetv2_dale.report.cost_tables import cost_table, fold_cost_table
from tests.report.fixtures import make_study, training_log


def test_a_log_by_hand(tmp_path: Path) -> None:
    (tmp_path / "training_log_1.txt").write_text(training_log(4, 20.0))
    cost, curve = read_fold_cost(tmp_path, "0", 0.9) or pytest.fail("nothing read")
    # Epochs start 21 s apart; the last one lasts 20 s.
    assert (cost.epochs, cost.seconds_per_epoch, cost.source) == (4, 83 / 4, "training log")
    assert cost.hours == pytest.approx((3 * 21 + 20) / 3600)
    assert curve.pseudo_dice == pytest.approx([0.3, 0.5, 0.7, 0.9])  # nan classes do not count
    assert curve.train_loss == pytest.approx([-0.3, -0.5, -0.7, -0.9])
    assert pseudo_dice_at(curve, 42 / 3600) == pytest.approx(0.5)
    assert pseudo_dice_at(curve, 1 / 3600) is None
    assert shared_hours([[curve], [curve]]) == cost.hours
    assert shared_hours([[curve], []]) is None


def test_an_interrupted_training_counts_each_epoch_once(tmp_path: Path) -> None:
    first = training_log(3, 20.0) + "2025-01-01 00:10:00: Epoch 3 \n2025-01-01 00:10:05: train_loss nan \n"
    second = training_log(6, 30.0, start="2025-01-02 00:00:00")
    second = second[second.index("2025-01-02 00:01:02") :]  # from epoch 2 on
    (tmp_path / "training_log_1.txt").write_text(first)
    (tmp_path / "training_log_2.txt").write_text(second)
    epochs = epochs_from_logs(sorted(tmp_path.glob("*.txt")))
    assert list(epochs) == [0, 1, 2, 3, 4, 5]
    assert [epoch.seconds for epoch in epochs.values()] == [20, 20, 30, 30, 30, 30]
    cost, _ = read_fold_cost(tmp_path, "0", None) or pytest.fail("nothing read")
    assert cost.hours == pytest.approx((21 + 21 + 31 * 3 + 30) / 3600)  # the night between does not count


def test_an_unfinished_fold_is_no_cost_of_a_training(tmp_path: Path) -> None:
    """Fold 1 of the candidate is two epochs old. By hand: 8 epochs of 44 s over 10 of 20 s."""
    study = make_study(tmp_path)
    log = "fold_1/training_log_2025_1_1_00_00_00.txt"
    (study.candidate / log).write_text(training_log(2, 44.0))
    (study.candidate / "fold_1/validation/summary.json").unlink()
    report = build_report([study.baseline, study.candidate], ReportSettings(summary_only=True, resamples=99)).report
    assert [(cost.fold, cost.finished) for cost in report.runs[1].costs] == [("0", True), ("1", False)]
    labels = {run.name: run.name for run in report.runs}
    table = cost_table(report, labels) or pytest.fail("no table")
    first, second = ([cell["sort"] for cell in row[1:]] for row in table.rows)
    hours = [(9 * 21 + 20) / 3600, (7 * 45 + 44) / 3600]
    assert first[:6] == pytest.approx([2, 10, 20.9, hours[0], 2 * hours[0], 1.0])
    assert second[:6] == pytest.approx([1, 8, 44.875, hours[1], hours[1], hours[1] / hours[0]])
    assert table.columns[-1]["name"] == "Pseudo Dice (%) at 3.48 min"  # of the baseline's folds, not of the two epochs
    folds = fold_cost_table(report, labels) or pytest.fail("no table")
    assert [row[1]["text"] for row in folds.rows] == ["0", "1", "0", "1 (unfinished)"]


def test_seconds_hours_and_share_of_the_baseline_agree(tmp_path: Path) -> None:
    """A few epochs of the candidate are slow, so that its median is below the baseline's; folds of other lengths."""
    study = make_study(tmp_path)
    log = "training_log_2025_1_1_00_00_00.txt"
    fast, slow = training_log(8, 18.0), training_log(12, 60.0, start="2025-01-01 01:00:00")
    slow = slow[slow.index("2025-01-01 01:08:08") :]  # from epoch 8 on
    (study.candidate / "fold_0" / log).write_text(fast)
    (study.candidate / "fold_0" / log.replace("2025_1_1_00", "2025_1_1_01")).write_text(slow)
    (study.candidate / "fold_1" / log).write_text(training_log(5, 30.0))
    report = build_report([study.baseline, study.candidate], ReportSettings(summary_only=True, resamples=99)).report
    table = cost_table(report, {run.name: run.name for run in report.runs}) or pytest.fail("no table")
    (_, epochs, seconds, hours, _, share, _), (_, first_epochs, first_seconds, first_hours, *_) = (
        [cell["sort"] for cell in row[1:]] for row in table.rows[::-1]
    )
    # epochs 0 to 7 in 7 * 19 + 18 s, 8 to 11 in 3 * 61 + 60 s; the other fold 4 * 31 + 30 s
    assert hours == pytest.approx((151 + 243 + 154) / 2 / 3600)
    assert epochs == 8.5
    assert epochs * seconds / 3600 == pytest.approx(hours)
    assert first_epochs * first_seconds / 3600 == pytest.approx(first_hours)
    assert share == pytest.approx(hours / first_hours)
    for fold in report.runs[1].costs:
        assert fold.epochs * (fold.seconds_per_epoch or 0) / 3600 == pytest.approx(fold.hours)


def test_nothing_recorded(tmp_path: Path) -> None:
    assert read_fold_cost(tmp_path, "0", None) is None
    (tmp_path / "training_log_1.txt").write_bytes(b"\xff\x00 no log")
    assert read_fold_cost(tmp_path, "0", None) is None
