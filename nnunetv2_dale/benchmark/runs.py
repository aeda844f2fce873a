"""What there is to do: one run for each trainer, plans, configuration and fold, in an order that suits cascades."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.folders import SPLITS
from nnunetv2_dale.nnunet_files.splits import read_splits
from nnunetv2_dale.report.sides import REPEAT


@dataclass(frozen=True)
class Run:
    """One training of one fold."""

    dataset: str  # full name, ``Dataset004_Hippocampus``
    trainer: str
    plans: str
    configuration: str  # such as ``3d_fullres``
    fold: str  # number as text, or ``all``
    # configuration of this benchmark that trains on this run's predictions (a cascade's second stage)
    feeds: str | None = None
    needs: str | None = None  # configuration whose folds must all have been predicted before this run can start

    @property
    def model(self) -> str:
        """nnU-Net's name of the folder that holds the folds."""
        return f"{self.trainer}__{self.plans}__{self.configuration}"

    @property
    def repeat(self) -> int | None:
        """The number of a training that is repeated (`repeated_plans`); None where there is one."""
        found = REPEAT.search(self.plans)
        return None if found is None else int(found[1])

    @property
    def name(self) -> str:
        """What messages call the run."""
        return f"{self.model} fold {self.fold}"

    def folder(self, results: Path) -> Path:
        """Return where nnU-Net writes this run, below the folder ``nnUNet_results``."""
        return results / self.dataset / self.model / f"fold_{self.fold}"

    def depends_on(self, other: Run) -> bool:
        """Return whether `other` has to be done first."""
        return (
            self.needs is not None
            and other.configuration == self.needs
            and (other.trainer, other.plans) == (self.trainer, self.plans)
        )


def plan_runs(
    dataset: str,
    trainers: Sequence[str],
    plans: Sequence[str],
    configurations: Sequence[str],
    folds: Sequence[str],
    previous_stage: Mapping[tuple[str, str], str],
    split_folds: Iterable[str],
) -> list[Run]:
    """Return every run of the benchmark, those that others wait for first.

    The second stage of a cascade trains on the first stage's predictions of *all* cases, so it brings the first stage's
    folds of the whole split with it, asked for or not.

    Args:
        previous_stage: for each (plans, configuration) that is a second stage, its first stage.
        split_folds: every fold of the dataset's split.
    Raises:
        UserError: fold ``all`` is asked for a first stage together with its second stage.
    """
    runs: dict[Run, None] = {}
    for trainer in trainers:
        for plan in plans:
            first_stages = {previous_stage[plan, c]: c for c in configurations if (plan, c) in previous_stage}
            for first, second in first_stages.items():
                if first in configurations and "all" in folds:
                    raise UserError(
                        f"fold all of {first} would replace the cross-validated predictions that {second} trains on; "
                        f"run {first} with -f all on its own"
                    )
                for fold in split_folds:
                    runs[Run(dataset, trainer, plan, first, fold, feeds=second)] = None
            for configuration in configurations:
                if configuration in first_stages:
                    continue  # all its folds are there already
                for fold in folds:
                    needed = previous_stage.get((plan, configuration))
                    runs[Run(dataset, trainer, plan, configuration, fold, needs=needed)] = None
    return sorted(runs, key=lambda run: (run.repeat or 0, run.needs is not None))


def repeated_plans(plans: Sequence[str], repeats: int) -> list[str]:
    """The plans of every training, all first ones before all second ones; with one training the plans themselves."""
    if repeats == 1:
        return list(plans)
    return [f"{name}_repeat{number}" for number in range(1, repeats + 1) for name in plans]


def added_runs(runs: Sequence[Run], configurations: Sequence[str], folds: Sequence[str]) -> list[Run]:
    """Runs that were not asked for but are needed by one that was."""
    return [run for run in runs if run.configuration not in configurations or run.fold not in folds]


def cases_of_fold(preprocessed: Path, run: Run) -> list[str] | None:
    """Validation cases of the run's fold according to the dataset's split; None when no split was made yet.

    Args:
        preprocessed: the folder ``nnUNet_preprocessed``.
    """
    splits = preprocessed / run.dataset / SPLITS
    if not splits.exists() or run.fold == "all":
        return None
    return read_splits(splits)[int(run.fold)]["val"]
