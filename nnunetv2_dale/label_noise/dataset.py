"""A copy of a raw dataset whose training labels carry noise, beside the clean ones, maps of the changes and a table."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas

from nnunetv2_dale import __version__
from nnunetv2_dale.commands.cases import run_cases
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.label_noise.drawing import TOLERANCE, Calibration, Drawn, Ranking, calibrate, draw_cases, mean_dice
from nnunetv2_dale.label_noise.noise_model import KINDS, NoiseModel
from nnunetv2_dale.label_noise.noisy_case import CaseJob, CaseRow, check_label, effect_of_noise, write_case
from nnunetv2_dale.nnunet_files.confidence_table import READERS, TABLE
from nnunetv2_dale.nnunet_files.folders import SPLITS
from nnunetv2_dale.nnunet_files.json_files import write_json
from nnunetv2_dale.nnunet_files.placing import Placement, place_others
from nnunetv2_dale.nnunet_files.problems import Problem, refuse_problems
from nnunetv2_dale.nnunet_files.raw_dataset import RawDataset, require_labels
from nnunetv2_dale.nnunet_files.splits import PATIENTS, Splits, new_dataset
from nnunetv2_dale.nnunet_files.target import NOISY_COPY, Target

logger = logging.getLogger(__name__)

TABLE_NAME = "label_noise.csv"
Result = TypeVar("Result")

_NOT_COPIED = {"imagesTr", "labelsTr", SPLITS, PATIENTS, READERS}  # a training would draw the readers' clean labels


@dataclass(frozen=True)
class CopyPlan:
    """What to copy, and which cases get which noise."""

    source: RawDataset  # the clean dataset, with a label for every case
    target: Target  # where the copy goes
    model: NoiseModel  # the noise
    ranking: Ranking  # the cases that may get it, and how many do
    splits: Splits | None  # splits_final.json of the copy, or None
    # mean foreground Dice over the corrupted cases that have foreground; None takes the model's amounts
    wanted_dice: float | None = None
    keep_closest: bool = False  # write the copy also where `wanted_dice` was not reached
    placement: Placement = "copy"  # how images and clean labels get into the copy
    overwrite: bool = False  # replace an existing target


def write_noisy_copy(plan: CopyPlan, processes: int) -> tuple[list[CaseRow], Calibration | None]:
    """Calibrate the noise, then write the copy; it appears under its final name when it is complete.

    Returns the table's rows in the order of the cases, and how close the Dice came if one was wanted.

    Raises:
        UserError: problems of the dataset or the target, all in one message; a Dice that cannot be reached, unless
            `keep_closest`. Nothing is written.
    """
    source, model, reader = plan.source, plan.model, plan.source.reader()
    problems = plan.target.problems(plan.splits, plan.overwrite)
    if (source.folder / "labelsTr_clean").exists():
        what = "the dataset carries label noise already; start from the clean one"
        problems.append(Problem(source.folder / "labelsTr_clean", what))
    refuse_problems(problems, source.folder)
    require_labels(source)
    jobs = {
        case.name: CaseJob(case, reader, source.label_values, model.ignore_label, None, placement=plan.placement)
        for case in source.cases
    }
    checked = _results(check_label, list(jobs.values()), processes, "checking labels")
    refuse_problems([problem for each in checked for problem in each], source.folder)
    ranked = [dataclasses.replace(jobs[name], model=model) for name in plan.ranking.names]
    calibration = None if plan.wanted_dice is None else _calibrated(plan, ranked, plan.wanted_dice, processes)
    scale = 1.0 if calibration is None else calibration.scale
    noisy = _drawn(plan, ranked, scale, processes, "drawing cases")
    with new_dataset(source.folder, plan.target.folder, plan.splits, plan.overwrite) as folder:
        for name in ("imagesTr", "labelsTr", "labelsTr_clean", "labelsTr_changed"):
            (folder / name).mkdir()
        refuse_problems(place_others(source.folder, folder, _NOT_COPIED, plan.placement), source.folder)
        if (folder / TABLE).is_file():
            shutil.copyfile(folder / TABLE, folder / "labelsTr_clean" / TABLE)  # of clean labels it says the same
        if model.ignore_label != source.ignore_label:
            write_json(folder / "dataset.json", source.with_ignore_label())
        written = [
            dataclasses.replace(job, model=model if name in noisy else None, scale=scale, target=folder)
            for name, job in jobs.items()
        ]
        results = _results(write_case, written, processes, "writing cases")
        refuse_problems([result for result in results if isinstance(result, Problem)], source.folder)
        rows = [result for result in results if isinstance(result, CaseRow)]
        if scale * max(model.amounts) > 0 and not any(row.is_changed for row in rows):
            raise UserError(
                f"the noise changes none of the {len(noisy)} labels that were drawn; nothing was written; give more of "
                "it, or another kind: a structure that ignored voxels surround has no room to grow"
            )
        write_table(folder / TABLE_NAME, rows)
        write_json(folder / NOISY_COPY, _settings(plan, rows, scale, calibration))
    return rows, calibration


def _drawn(plan: CopyPlan, ranked: Sequence[CaseJob], scale: float, processes: int, what: str) -> Drawn:
    """The cases that get noise at this scale of its amounts."""
    scaled = [dataclasses.replace(job, scale=scale) for job in ranked]
    return draw_cases(scaled, plan.ranking.wanted, lambda jobs: _results(effect_of_noise, jobs, processes, what))


def _calibrated(plan: CopyPlan, ranked: Sequence[CaseJob], wanted: float, processes: int) -> Calibration:
    if {plan.model.draw(name)[0] for name in plan.ranking.names} <= {"swap"}:
        raise UserError("swap leaves the foreground as a whole as it is, so --dice cannot be reached; give --amount")

    def dice_at(scale: float) -> float:
        mean = mean_dice(_drawn(plan, ranked, scale, processes, f"calibrating, amounts x {scale:.4g}"))
        if np.isnan(mean):
            raise UserError(
                f"a Dice of {wanted:g} was asked for, but no case that is to be corrupted has any foreground"
            )
        logger.info("amounts x %.4g: mean Dice %.4f", scale, mean)
        return mean

    highest = max(
        KINDS[kind].highest / amount for kind, amount in zip(plan.model.kinds, plan.model.amounts, strict=True)
    )
    calibration = calibrate(dice_at, wanted, highest)
    if not calibration.reached and not plan.keep_closest:
        raise UserError(
            f"a mean Dice of {wanted:g} cannot be reached within {TOLERANCE}: the closest is {calibration.dice:.3f}, "
            f"with {amounts_in_words(plan.model, calibration.scale)}; nothing was written; ask for that Dice, change "
            "the kind, or give --keep_closest"
        )
    return calibration


def _results(work: Callable[[CaseJob], Result], jobs: Sequence[CaseJob], processes: int, what: str) -> list[Result]:
    named = [(job.case.name, (job,)) for job in jobs]
    return [result for _, result in run_cases(work, named, processes, what)]


def _settings(plan: CopyPlan, rows: list[CaseRow], scale: float, calibration: Calibration | None) -> dict[str, Any]:
    model = plan.model
    return {
        "nnunetv2_dale": __version__,
        "source": plan.source.folder.name,
        "noise": [
            {"kind": kind, "amount": KINDS[kind].scaled(amount, scale), "unit": KINDS[kind].unit, "weight": weight}
            for kind, amount, weight in zip(model.kinds, model.amounts, model.weights, strict=True)
        ],
        **{
            name: getattr(model, name) if "boundary" in model.kinds else None
            for name in ("bias", "variance", "smoothing")
        },
        "seed": model.seed,
        "wanted_dice": None if calibration is None else calibration.wanted,
        "mean_dice_of_corrupted_cases_with_foreground": round(mean_noisy_dice(rows), 6),
        "cases": len(rows),
        "corrupted": sorted(row.case for row in rows if row.is_changed),
        "drawn_but_unchanged": sorted(row.case for row in rows if row.kind and not row.is_changed),
    }


def mean_noisy_dice(rows: Sequence[CaseRow]) -> float:
    """Return the mean Dice over the corrupted cases that have foreground, which `--dice` asks for; NaN without any."""
    values = [row.dice for row in rows if row.kind and row.voxels_foreground]
    return float(np.mean(values)) if values else float("nan")


def amounts_in_words(model: NoiseModel, scale: float) -> str:
    """List each kind with its amount times `scale`: "dilate 1.2 mm, swap 0.08 probability"."""
    pairs = zip(model.kinds, model.amounts, strict=True)
    return ", ".join(f"{kind} {KINDS[kind].scaled(amount, scale):.4g} {KINDS[kind].unit}" for kind, amount in pairs)


def write_table(path: Path, rows: Sequence[CaseRow]) -> None:
    """Write a line for each case."""
    pandas.DataFrame([dataclasses.asdict(row) for row in rows]).to_csv(
        path, index=False, float_format="%.6g", lineterminator="\n"
    )
