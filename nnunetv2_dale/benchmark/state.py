"""How far a fold is, read from nnU-Net's own files and nothing else."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from nnunetv2_dale.benchmark.runs import Run, cases_of_fold
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.json_files import read_json_object
from nnunetv2_dale.nnunet_files.results.not_annotated import open_classes
from nnunetv2_dale.nnunet_files.results.result_folder import read_result_folder


class Stage(Enum):
    """What is left to do for a fold; the value is what the table says."""

    DONE = "done"
    VALIDATE = "validate"
    RESUME = "resumable"
    START = "missing"


@dataclass(frozen=True)
class FoldState:
    """A fold's stage and the checkpoints that a killed process left half-written."""

    stage: Stage  # what is left to do
    broken: tuple[Path, ...] = ()  # checkpoints that cannot be read and have to be out of the way before nnU-Net starts
    why: str = ""  # one clause for the table


def fold_state(run: Run, results: Path, preprocessed: Path, npz: bool = False) -> FoldState:
    """Return how far `run` is.

    ``validation/summary.json`` → done; ``checkpoint_final.pth`` → only validation is missing;
    ``checkpoint_latest.pth`` → training can be continued; else it starts from the beginning. A file that was cut short
    counts as not there; with a broken latest checkpoint nnU-Net continues from ``checkpoint_best.pth``.

    Args:
        results, preprocessed: nnU-Net's folders.
        npz: done includes the probabilities that ``--npz`` saves.
    """
    folder = run.folder(results)
    readable = {name: _is_checkpoint(folder / f"checkpoint_{name}.pth") for name in ("final", "latest", "best")}
    broken = tuple(folder / f"checkpoint_{name}.pth" for name, good in readable.items() if good is False)
    summary = read_summary(folder)
    if summary is not None:
        missing = _missing_outputs(run, summary, results, preprocessed, npz)
        if not missing or not readable["final"]:
            return FoldState(Stage.DONE, broken)
        return FoldState(Stage.VALIDATE, broken, missing)
    if readable["final"]:
        return FoldState(Stage.VALIDATE, broken, "trained, not validated")
    if readable["latest"]:
        as_it_is = "; to end here, copy checkpoint_best.pth to checkpoint_final.pth" if readable["best"] else ""
        return FoldState(Stage.RESUME, broken, f"not validated, has a checkpoint{as_it_is}")
    if readable["latest"] is False and readable["best"]:
        return FoldState(Stage.RESUME, broken, "latest checkpoint is cut short, continues from the best one")
    return FoldState(Stage.START, broken)


def read_summary(folder: Path) -> dict[str, Any] | None:
    """nnU-Net's summary of the fold's validation; None when there is none or it was cut short."""
    try:
        summary = read_json_object(folder / "validation" / "summary.json")
    except UserError:
        return None
    return summary if "foreground_mean" in summary else None


def validation_dice(folder: Path, dataset: str) -> float | None:
    """The Dice of a validated fold, without classes in cases in which nobody annotated them; None without a summary."""
    summary = read_summary(folder)
    if summary is None:
        return None
    try:
        if open_classes(dataset, read_json_object(folder.parent / "dataset.json"), ()):
            fold = folder.name.removeprefix("fold_")
            return read_result_folder(folder.parent, [fold]).mean_dice(fold)
    except UserError:  # the report at the end says what is wrong
        pass
    return float(summary["foreground_mean"]["Dice"])


def progress_mark(folder: Path) -> tuple[str, int] | None:
    """Something that changes whenever nnU-Net has saved progress: used to tell a slow run from a stuck one."""
    for name in ("validation/summary.json", "checkpoint_final.pth", "checkpoint_latest.pth"):
        try:
            return name, (folder / name).stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return None


def _is_checkpoint(path: Path) -> bool | None:
    """Return whether the file is a whole checkpoint; None when there is no such file.

    torch.save writes a zip archive whose table of contents comes last, so a file that was cut short is no archive.
    """
    try:
        return zipfile.is_zipfile(path) if path.exists() else None
    except OSError:
        return False


def _missing_outputs(run: Run, summary: dict[str, Any], results: Path, preprocessed: Path, npz: bool) -> str:
    """Return which outputs of the validation, beyond its summary, are asked for and not there; empty when all are."""
    if npz:
        probabilities = [file.stem for file in (run.folder(results) / "validation").glob("*.npz")]
        predictions = [Path(case["prediction_file"]).name for case in summary.get("metric_per_case", [])]
        if not all(any(name.startswith(f"{stem}.") for stem in probabilities) for name in predictions):
            return "validated without --npz"
    if run.feeds is not None:
        folder = run.folder(results).parent / "predicted_next_stage" / run.feeds
        predicted = {file.name.rsplit(".", 1)[0] for file in folder.glob("*")} if folder.is_dir() else set()
        if not predicted.issuperset(cases_of_fold(preprocessed, run) or []):
            return f"predictions for {run.feeds} are missing"
    return ""
