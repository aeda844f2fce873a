"""Which cases get noise, a ranking by the seed, and how much of it gives a wanted mean Dice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.label_noise.noisy_case import CaseJob, Effect
from nnunetv2_dale.label_noise.random_streams import case_generator

TOLERANCE = 0.02  # by which the mean Dice may be off the wanted one
_CLOSE_ENOUGH = 0.002
_MOST_TRIALS = 40
_SMALLEST_BRACKET = 1e-3


@dataclass(frozen=True)
class Ranking:
    """Cases that may get noise, in the order in which they are drawn, and how many shall get it."""

    names: tuple[str, ...]
    wanted: int


def rank_cases(names: Sequence[str], clean: Collection[str], fraction: float, seed: int) -> Ranking:
    """Rank the cases that are not to stay clean; `fraction` of them is wanted, rounded to whole cases."""
    candidates = [name for name in names if name not in clean]
    ranked = sorted(candidates, key=lambda name: (case_generator(seed, name, "selection").random(), name))
    wanted = round(fraction * len(ranked))
    if not wanted:
        raise UserError(
            f"no case is left to corrupt: {counted(len(names), 'case')}, {len(set(names) & set(clean))} of them kept "
            f"clean for validation, fraction {fraction:g}; give one --fold, or a larger --fraction"
        )
    return Ranking(tuple(ranked), wanted)


Drawn = dict[str, Effect]
"""Case → what the noise does to it, of the cases that get some."""


def mean_dice(drawn: Drawn) -> float:
    """Mean over the cases that have foreground; NaN without any."""
    values = [effect.dice for effect in drawn.values() if effect.has_foreground]
    return float(np.mean(values)) if values else float("nan")


def draw_cases(jobs: Sequence[CaseJob], wanted: int, measure: Callable[[Sequence[CaseJob]], Sequence[Effect]]) -> Drawn:
    """Return the first `wanted` cases that the noise changes; where there are fewer, the first of the others fill up.

    So a case without foreground, or whose `swap` swaps nothing, is replaced by the next in the ranking.
    """
    seen: list[tuple[str, Effect]] = []
    while (lacking := wanted - sum(effect.is_changed for _, effect in seen)) and len(seen) < len(jobs):
        more = jobs[len(seen) : len(seen) + lacking]
        seen += zip([job.case.name for job in more], measure(more), strict=True)
    return dict(sorted(seen, key=lambda each: not each[1].is_changed)[:wanted])


@dataclass(frozen=True)
class Calibration:
    """The factor of the amounts that came closest to the wanted mean Dice, and the Dice it gives."""

    scale: float
    dice: float
    wanted: float

    @property
    def reached(self) -> bool:
        """Whether the Dice is within `TOLERANCE` of the wanted one."""
        return abs(self.dice - self.wanted) <= TOLERANCE


def calibrate(mean_dice: Callable[[float], float], wanted: float, highest_scale: float) -> Calibration:
    """Search the scale whose mean Dice is `wanted`, in (0, 1]: double until it is bracketed, then interpolate inside.

    The Dice falls from 1 at scale 0, in steps of whole voxels, components and cases, and for random walks not quite
    monotonically; the closest of all scales tried is returned, whether or not it is close. At `highest_scale` every
    amount is at its highest.
    """
    best = low = Calibration(0.0, 1.0, wanted)
    high: Calibration | None = None
    scale = min(1.0, highest_scale)
    for _ in range(_MOST_TRIALS):
        if abs(best.dice - wanted) <= _CLOSE_ENOUGH:
            break
        tried = Calibration(scale, mean_dice(scale), wanted)
        best = min(best, tried, key=lambda calibration: abs(calibration.dice - wanted))
        if tried.dice > wanted:
            low = tried
        else:
            high = tried
        if high is None:
            if scale >= highest_scale:
                break
            scale = min(2 * scale, highest_scale)
        else:
            if high.scale - low.scale < _SMALLEST_BRACKET * high.scale:
                break
            scale = _between(low, high)
    return best


def _between(low: Calibration, high: Calibration) -> float:
    """Where a straight line through both ends meets the wanted Dice, kept off the ends so that the bracket shrinks."""
    part = (low.dice - low.wanted) / (low.dice - high.dice)
    return low.scale + min(0.9, max(0.1, part)) * (high.scale - low.scale)
