"""How good the demo's predictions are, against the clean labels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_dale.demo.anatomy import LABELS

FOREGROUND = {name: value for name, value in LABELS.items() if value != 0}


@dataclass(frozen=True)
class Judgement:
    """Dice per method, case and class: `dice[method][case][class]`, NaN where neither side has the class."""

    dice: dict[str, dict[str, dict[str, float]]]

    def mean(self, method: str, name: str | None = None) -> float:
        """Mean over the cases of one class, or of the mean over the classes; cases without the class do not count."""
        cases = self.dice[method].values()
        return _mean([_mean(case.values()) if name is None else case[name] for case in cases])

    def as_json(self) -> dict[str, dict[str, dict[str, float | None]]]:
        """`dice` with null for NaN, which JSON does not know."""
        return {
            method: {
                case: {name: None if math.isnan(value) else value for name, value in classes.items()}
                for case, classes in cases.items()
            }
            for method, cases in self.dice.items()
        }


def dice_of_folder(judged: Path, truth: Path) -> dict[str, dict[str, float]]:
    """Dice of every case of a folder against the file of the same name in another: case -> class -> Dice.

    The numbers are nnU-Net's own (`nnunetv2.evaluation`).

    Raises:
        FileNotFoundError: a case has no truth.
    """
    from nnunetv2.evaluation.evaluate_predictions import compute_metrics
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

    ending = ".nii.gz"
    result = {}
    for file in sorted(judged.glob(f"*{ending}")):
        if not (truth / file.name).is_file():
            raise FileNotFoundError(f"expected the truth for {file} in {truth}")
        found = compute_metrics(str(truth / file.name), str(file), SimpleITKIO(), list(FOREGROUND.values()))
        result[file.name.removesuffix(ending)] = {
            name: float(found["metrics"][value]["Dice"]) for name, value in FOREGROUND.items()
        }
    return result


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
