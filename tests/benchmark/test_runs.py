import pytest

from nnunetv2_dale.benchmark.runs import Run, added_runs, plan_runs
from nnunetv2_dale.commands.command_line import UserError

CASCADE = {("P", "3d_cascade_fullres"): "3d_lowres"}


def _plan(configurations: list[str], folds: list[str], trainers: tuple[str, ...] = ("A", "B")) -> list[Run]:
    return plan_runs("D", trainers, ["P"], configurations, folds, CASCADE, ["0", "1", "2"])


def test_every_combination_once() -> None:
    runs = plan_runs("D", ["A", "B"], ["P", "Q"], ["2d", "3d_fullres"], ["0", "all"], {}, ["0"])
    assert len(set(runs)) == len(runs) == 2 * 2 * 2 * 2
    assert runs[0] == Run("D", "A", "P", "2d", "0")


def test_a_second_stage_waits_for_every_fold_of_its_first() -> None:
    runs = _plan(["3d_cascade_fullres"], ["1"])
    second = [run for run in runs if run.configuration == "3d_cascade_fullres"]
    assert [run.trainer for run in second] == ["A", "B"]
    assert runs[-2:] == second  # after all that they wait for
    needed = [run for run in runs if second[0].depends_on(run)]
    assert [(run.trainer, run.fold, run.feeds) for run in needed] == [
        ("A", fold, "3d_cascade_fullres") for fold in ("0", "1", "2")
    ]
    assert len(added_runs(runs, ["3d_cascade_fullres"], ["1"])) == 6


def test_a_first_stage_alone_brings_nothing_else() -> None:
    runs = _plan(["3d_lowres"], ["1"], ("A",))
    assert runs == [Run("D", "A", "P", "3d_lowres", "1")]


def test_fold_all_of_a_first_stage_would_spoil_its_second() -> None:
    with pytest.raises(UserError, match="fold all of 3d_lowres"):
        _plan(["3d_lowres", "3d_cascade_fullres"], ["all"])
