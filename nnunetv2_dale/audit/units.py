"""Cases whose networks say different things (`.npz` in some folds, more referees for some cases) in comparable units.

Networks that say how unsure they are let a label differ by as much; networks that say only yes or no do not. Such
differences have different units. So the cases of the most frequent form are compared with each other, and every other
case is held against what most of its networks say, yes or no, in which all cases can be compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from nnunetv2_dale.audit.evidence import CaseEvidence
from nnunetv2_dale.statistics.usual_values import LEAST_OF_FOLD

WEAKER, CHANCE = 0.03, 0.01  # Dice, and chance of an accident, from which a fold's network counts as weaker


def saturated_folds(cases: Sequence[CaseEvidence]) -> frozenset[str]:
    """Return folds whose probabilities are all exactly 0 or 1: they say no more than yes or no."""
    soft = {case.fold for case in cases if case.soft}
    unsure = {case.fold for case in cases if case.soft and any(row.unsure_voxels for row in case.classes.values())}
    return frozenset(soft - unsure)


def of_the_most_frequent_form(cases: Sequence[CaseEvidence]) -> NDArray[np.bool_]:
    """Return (N,) the cases whose networks' doubt can be compared; of two as frequent forms the softer."""
    saturated = saturated_folds(cases)
    # how many networks judge a case, and whether they say how sure they are
    forms = [(case.referees, case.soft and case.fold not in saturated) for case in cases]
    counts = Counter(forms)
    most = max(counts, key=lambda form: (counts[form], form[1], form[0]), default=None)
    return np.array([form == most for form in forms], dtype=bool)


def remarks_on_units(cases: Sequence[CaseEvidence]) -> list[str]:
    """Name probabilities that are there and do not serve, and folds that are judged by all others."""
    remarks = []
    saturated = sorted(saturated_folds(cases))
    if saturated:
        remarks.append(
            f"the probabilities of fold {', '.join(saturated)} are all exactly 0 or 1 (.npz): they count as yes or no"
        )
    without = [case for case in cases if not case.soft]
    if without and len(without) < len(cases):
        folds = ", ".join(sorted({case.fold for case in without}))
        fewer = "these" if of_the_most_frequent_form(cases)[[case.soft for case in cases]].any() else "all"
        remarks.append(
            f"{len(without)} of {len(cases)} cases have no probabilities (.npz; fold {folds}): {fewer} cases are "
            "judged by the networks' yes or no; validate again with --npz to tell hard borders from wrong ones"
        )
    sizes = Counter(case.fold for case in cases)
    small = sum(size < LEAST_OF_FOLD for size in sizes.values())
    if small:
        remarks.append(
            f"{small} of {len(sizes)} folds have fewer than {LEAST_OF_FOLD} cases: what is usual for their networks is "
            "taken from the cases of all folds"
        )
    return [*remarks, *_weak_folds(cases)]


def _weak_folds(cases: Sequence[CaseEvidence]) -> list[str]:
    """Name folds whose networks agree clearly less with the labels than the others' do (rank sum test).

    What is usual is learned fold by fold, so that an error has to stand out more there.
    """
    agreement: dict[str, list[float]] = {fold: [] for fold in sorted({case.fold for case in cases})}
    for case in cases:
        if (found := case.agreement) is not None:
            agreement[case.fold].append(found)
    remarks = []
    for fold, mine in agreement.items():
        others = [value for other, values in agreement.items() if other != fold for value in values]
        if len(mine) < LEAST_OF_FOLD or len(others) < LEAST_OF_FOLD or np.median(others) - np.median(mine) < WEAKER:
            continue
        if stats.mannwhitneyu(mine, others, alternative="less").pvalue < CHANCE / len(agreement):
            remarks.append(
                f"the network of fold {fold} agrees less with its labels than the others do (median Dice "
                f"{np.median(mine):.2f} beside {np.median(others):.2f}): errors in its {len(mine)} cases have to be "
                "larger to stand out; a second result folder, or a longer training, would judge them better"
            )
    return remarks
