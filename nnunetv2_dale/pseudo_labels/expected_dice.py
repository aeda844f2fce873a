"""The Dice that a prediction is expected to have, from how sure its networks are and what that was worth before.

Networks that say p in each voxel expect of their mask h the overlap m = 2 Σ h p / (Σ h + Σ p). Mostly they are too
sure. By how much shows in the labelled cases that a fold held out, class by class: what is usual there for logit(Dice)
− logit(m), as the audit tells what is usual (`null_model.usual`), is added to logit(m) of a case without a label. Where
nothing is found of a class, Dice is 1 or 0: how often it was 1 is expected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from nnunetv2_dale.statistics.usual_values import usual

LEAST, MOST = 0.01, 0.99  # a Dice is taken as if it lay between
OWN_CASES = 5.0  # of a class, from which it counts as much as all classes together
FEWEST_EMPTY = 3  # labelled cases without the class in the prediction, from which a share of them is taken


@dataclass(frozen=True)
class HeldOut:
    """One class of a labelled case: what the fold that held it out expects, and the Dice with its label."""

    case: str
    fold: str
    label: int
    overlap: float
    dice: float
    found: bool = True  # whether the fold found any voxel of the class


def overlap_with(found: NDArray[np.bool_], support: NDArray[np.floating]) -> float:
    """(2 Σ h s + 1) / (Σ h + Σ s + 1): the Dice that the support s leads to expect of a mask h.

    The 1 is a voxel: nothing found where nothing is supported is 1.
    """
    both = float(support[found].sum(dtype=np.float64))
    return (2 * both + 1) / (float(np.count_nonzero(found)) + float(support.sum(dtype=np.float64)) + 1)


def shifts(known: Sequence[HeldOut]) -> dict[int, float]:
    """Label value → usual difference of logit(Dice) and logit(overlap); that of all classes is under 0.

    The fewer cases a class has, the more it is drawn to what is usual among all. 0 for fewer than 3. Cases in which the
    class was not found say nothing of masks that were.
    """
    known = [each for each in known if each.found]
    labels = np.array([each.label for each in known])
    apart = _logit([each.dice for each in known]) - _logit([each.overlap for each in known])
    found = {0: usual(apart)[0]}
    for label in sorted(set(labels.tolist())):
        own = apart[labels == label]
        weight = len(own) / (len(own) + OWN_CASES) if len(own) > 2 else 0.0
        found[label] = found[0] + weight * (usual(own)[0] - found[0])
    return found


@dataclass(frozen=True)
class Calibration:
    """What labelled cases say of `overlap_with`."""

    shifts: Mapping[int, float]
    right: Mapping[int, Sequence[float]]  # label value → the Dice, 1 or 0, of each case in which nothing was found

    @classmethod
    def of(cls, known: Sequence[HeldOut]) -> Calibration:
        """From labelled cases."""
        right: dict[int, list[float]] = {}
        for each in known:
            if not each.found:
                right.setdefault(each.label, []).append(each.dice)
        return cls(shifts(known), right)

    def expected(self, label: int, overlap: float, found: bool) -> float:
        """The expected Dice in [0, 1] of a class; of one that is not found, and seldom was not, the overlap."""
        if not found:
            right = self.right.get(label, ())
            return fmean(right) if len(right) >= FEWEST_EMPTY else overlap
        return float(expit(_logit([overlap])[0] + self.shifts.get(label, self.shifts[0])))


def held_out_expectations(known: Sequence[HeldOut]) -> list[float]:
    """What would have been expected of each labelled case by the cases of the other folds; of one fold, the others."""
    folds = {each.fold for each in known}
    expected = []
    for each in known:
        others = [other for other in known if other.fold != each.fold or (len(folds) == 1 and other.case != each.case)]
        expected.append(Calibration.of(others).expected(each.label, each.overlap, each.found))
    return expected


def _logit(values: Sequence[float]) -> NDArray[np.float64]:
    return np.asarray(logit(np.clip(values, LEAST, MOST)), np.float64)
