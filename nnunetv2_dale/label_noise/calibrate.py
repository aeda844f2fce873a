"""Find the amount of noise that gives a wanted mean Dice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

TOLERANCE = 0.02
"""How far the mean Dice may be from the wanted one."""

_CLOSE_ENOUGH = 0.002
_MOST_TRIALS = 40
_SMALLEST_BRACKET = 1e-3


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
    """Search the scale whose mean Dice is `wanted`: double until it is bracketed, then interpolate inside the bracket.

    The Dice falls from 1 at scale 0, in steps of whole voxels, components and cases, and for random walks not quite
    monotonically; the closest of all scales tried is returned, whether or not it is close.

    Args:
        mean_dice: the mean Dice at a scale, the same for the same scale.
        wanted: in (0, 1].
        highest_scale: where every amount is at its highest.
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
