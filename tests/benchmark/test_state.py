from dataclasses import replace
from pathlib import Path

import pytest

from nnunetv2_dale.benchmark.state import FoldState, Stage, fold_state, progress_mark
from tests.benchmark.fixtures import RUN, write_checkpoint, write_summary


def _state(root: Path, **options: bool) -> FoldState:
    return fold_state(RUN, root, root / "preprocessed", **options)


@pytest.mark.parametrize(
    ("whole", "cut_short", "stage"),
    [
        ((), (), Stage.START),
        (("best",), (), Stage.START),
        (("latest",), (), Stage.RESUME),
        (("latest", "best"), (), Stage.RESUME),
        (("latest", "final"), (), Stage.VALIDATE),
        (("latest",), ("final",), Stage.RESUME),
        (("best",), ("latest",), Stage.RESUME),
        ((), ("latest",), Stage.START),
    ],
)
def test_checkpoints_decide(tmp_path: Path, whole: tuple[str, ...], cut_short: tuple[str, ...], stage: Stage) -> None:
    folder = RUN.folder(tmp_path)
    for name in whole + cut_short:
        write_checkpoint(folder / f"checkpoint_{name}.pth", whole=name in whole)
    state = _state(tmp_path)
    assert state.stage is stage
    assert ("copy checkpoint_best.pth" in state.why) == (whole == ("latest", "best"))
    assert {path.name for path in state.broken} == {f"checkpoint_{name}.pth" for name in cut_short}


def test_a_summary_is_done_and_a_cut_short_one_is_not(tmp_path: Path) -> None:
    folder = RUN.folder(tmp_path)
    write_checkpoint(folder / "checkpoint_final.pth")
    write_summary(folder)
    assert _state(tmp_path).stage is Stage.DONE
    summary = folder / "validation" / "summary.json"
    summary.write_text(summary.read_text()[:40])
    assert _state(tmp_path).stage is Stage.VALIDATE


def test_npz_belongs_to_done_when_asked_for(tmp_path: Path) -> None:
    folder = RUN.folder(tmp_path)
    write_checkpoint(folder / "checkpoint_final.pth")
    write_summary(folder, case="case.01")
    (folder / "validation" / "case.npz").touch()  # another case, whose name only begins alike
    (folder / "validation" / "case.npz").rename(folder / "validation" / "case_1.npz")
    assert _state(tmp_path).stage is Stage.DONE
    assert _state(tmp_path, npz=True).stage is Stage.VALIDATE
    (folder / "validation" / "case.01.npz").touch()
    assert _state(tmp_path, npz=True).stage is Stage.DONE


def test_a_first_stage_is_done_when_the_second_has_its_predictions(tmp_path: Path) -> None:
    run = replace(RUN, configuration="3d_lowres", feeds="3d_cascade_fullres")
    split = tmp_path / "preprocessed" / RUN.dataset / "splits_final.json"
    split.parent.mkdir(parents=True)
    split.write_text('[{"train": ["a"], "val": ["b.1", "c"]}]')
    write_checkpoint(run.folder(tmp_path) / "checkpoint_final.pth")
    write_summary(run.folder(tmp_path))
    next_stage = run.folder(tmp_path).parent / "predicted_next_stage" / "3d_cascade_fullres"
    next_stage.mkdir(parents=True)
    (next_stage / "b.1.b2nd").touch()
    state = fold_state(run, tmp_path, tmp_path / "preprocessed")
    assert (state.stage, state.why) == (Stage.VALIDATE, "predictions for 3d_cascade_fullres are missing")
    (next_stage / "c.b2nd").touch()
    assert fold_state(run, tmp_path, tmp_path / "preprocessed").stage is Stage.DONE


def test_a_new_checkpoint_is_progress(tmp_path: Path) -> None:
    marks = [progress_mark(tmp_path)]
    for name in ("checkpoint_latest.pth", "checkpoint_final.pth"):
        write_checkpoint(tmp_path / name)
        marks.append(progress_mark(tmp_path))
    assert marks[0] is None
    assert len(set(marks)) == 3
