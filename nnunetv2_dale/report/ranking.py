"""Which cases a candidate gains and loses most on."""

from __future__ import annotations

from dataclasses import dataclass

from nnunetv2_dale.report.report_data import MEAN_CLASS, Report


@dataclass(frozen=True)
class RankedCase:
    """A case, whether it is among the "best" or the "worst", and its Dice in both runs (mean over classes)."""

    case: str
    rank: str
    baseline_dice: float
    dice: float

    @property
    def difference(self) -> float:
        """Candidate − baseline."""
        return self.dice - self.baseline_dice


def ranked_cases(report: Report, candidate: str, count: int = 5) -> list[RankedCase]:
    """Return the `count` cases with the largest gain in Dice, then those with the largest loss (the worst first).

    With fewer than 2·`count` cases the better half and the worse half; no case is in both.
    """
    columns = [report.run(name).values["Dice"][MEAN_CLASS] for name in (report.baseline, candidate)]
    rows = [
        (case, before, after)
        for case, before, after in zip(report.case_names, *columns, strict=True)
        if before is not None and after is not None
    ]
    rows.sort(key=lambda row: (row[1] - row[2], row[0]))
    best = min(count, (len(rows) + 1) // 2)
    worst = min(count, len(rows) - best)
    chosen = [("best", row) for row in rows[:best]] + [("worst", row) for row in rows[::-1][:worst]]
    return [RankedCase(case, rank, before, after) for rank, (case, before, after) in chosen]
