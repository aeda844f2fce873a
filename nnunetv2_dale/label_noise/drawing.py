"""Which cases get noise: a ranking by the seed, of which the first are taken that the noise changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.label_noise.noisy_case import CaseJob, Effect
from nnunetv2_dale.label_noise.random_streams import case_generator


@dataclass(frozen=True)
class Ranking:
    """Cases that may get noise, in the order in which they are drawn, and how many shall get it."""

    names: tuple[str, ...]
    wanted: int


def rank_cases(names: Sequence[str], clean: Collection[str], fraction: float, seed: int) -> Ranking:
    """Rank the cases that are not to stay clean; `fraction` of them is wanted, rounded to whole cases.

    Raises:
        UserError: no case is left.
    """
    candidates = [name for name in names if name not in clean]
    ranked = sorted(candidates, key=lambda name: (case_generator(seed, name, "selection").random(), name))
    wanted = round(fraction * len(ranked))
    if not wanted:
        raise UserError(
            f"no case is left to corrupt: {len(names)} cases, {len(set(names) & set(clean))} of them kept clean for "
            f"validation, fraction {fraction:g}; give one --fold, or a larger --fraction"
        )
    return Ranking(tuple(ranked), wanted)


@dataclass(frozen=True)
class Drawn:
    """The cases that get noise of one amount, and what it does to them."""

    effects: dict[str, Effect]

    @property
    def mean_dice(self) -> float:
        """Over the cases that have foreground; NaN without any."""
        values = [effect.dice for effect in self.effects.values() if effect.has_foreground]
        return float(np.mean(values)) if values else float("nan")


def draw_cases(jobs: Sequence[CaseJob], wanted: int, measure: Callable[[Sequence[CaseJob]], Sequence[Effect]]) -> Drawn:
    """Return the first `wanted` cases that the noise changes; where there are fewer, the first of the others fill up.

    So a case without foreground, or whose `swap` swaps nothing, is replaced by the next in the ranking.

    Args:
        jobs: in the order of the ranking, with their noise.
        measure: what the noise does to each of some cases.
    """
    seen: list[tuple[str, Effect]] = []
    while (lacking := wanted - sum(effect.is_changed for _, effect in seen)) and len(seen) < len(jobs):
        more = jobs[len(seen) : len(seen) + lacking]
        seen += zip([job.case.name for job in more], measure(more), strict=True)
    return Drawn(dict(sorted(seen, key=lambda each: not each[1].is_changed)[:wanted]))
