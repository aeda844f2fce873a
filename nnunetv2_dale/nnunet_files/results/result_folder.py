"""What a result folder of nnU-Net holds: the folds' `summary.json`, the plans, the dataset's description."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.folders import files_by_case
from nnunetv2_dale.nnunet_files.json_files import read_json_object
from nnunetv2_dale.nnunet_files.results.not_annotated import open_classes, without_open_classes
from nnunetv2_dale.nnunet_files.results.summary_file import CaseResult, known_ending, read_summary

_ONLY_FOLD = "-"


@dataclass(frozen=True)
class ResultFolder:
    """A folder `…/DATASET/TRAINER__PLANS__CONFIG`, or any folder that holds a `summary.json` of nnU-Net."""

    path: Path
    name: str
    dataset: str | None
    trainer: str | None
    plans_name: str | None
    configuration: str | None
    folds: tuple[str, ...]
    unfinished_folds: tuple[str, ...]
    cases: Mapping[str, CaseResult]
    unlisted_cases: tuple[str, ...] = ()  # with a predicted mask, but in no summary.json: an interrupted validation
    plans: Mapping[str, Any] = field(default_factory=dict)
    dataset_json: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    asked_folds: tuple[str, ...] | None = None  # that the user chose; None: all

    @property
    def class_keys(self) -> tuple[str, ...]:
        """The foreground classes or regions as nnU-Net writes them: "1", "(1, 2)"."""
        return tuple(next(iter(self.cases.values())).classes)

    @property
    def file_ending(self) -> str:
        """Ending of the segmentation files, such as ".nii.gz"."""
        return _ending(self.cases, self.dataset_json)

    def mean_dice(self, fold: str) -> float | None:
        """nnU-Net's own number of a fold: the mean over classes of the mean over the cases that have the class."""
        cases = [case for case in self.cases.values() if case.fold == fold]
        per_class = [[case.classes[key].dice for case in cases] for key in self.class_keys]
        known = [[dice for dice in values if dice is not None] for values in per_class]
        means = [fmean(values) for values in known if values]
        return fmean(means) if means else None

    def fold_folder(self, fold: str) -> Path:
        """Say where the training log and the checkpoints of a fold are."""
        return self.path if fold == _ONLY_FOLD else self.path / f"fold_{fold}"


def read_result_folder(path: Path, folds: Iterable[str] | None = None, references: Path | None = None) -> ResultFolder:
    """Read a result folder without opening any image.

    Looked for, in this order: `fold_*/validation/summary.json`, `crossval_results_folds_*/summary.json`,
    `summary.json`. The training cases that fold `all` validates on count only when there is no other fold.
    Of a class in a case in which nobody annotated it nothing is known, whatever `summary.json` says.

    Args:
        references: see `open_classes`.
    Raises:
        UserError: no such folder or fold, nothing of nnU-Net in it, a file that is cut off, or a case validated twice.
    """
    if not path.is_dir():
        raise UserError(f"{path} is no folder; expected a result folder of nnU-Net (DATASET/TRAINER__PLANS__CONFIG)")
    path = path.resolve()
    asked = None if folds is None else tuple(folds)
    summaries, unfinished, remarks = _find_summaries(path, asked)
    files = (path / "plans.json", path / "dataset.json")
    plans, dataset_json = (read_json_object(file) if file.is_file() else {} for file in files)
    cases: dict[str, CaseResult] = {}
    for fold, summary_file in summaries.items():
        for case in read_summary(summary_file, fold, dataset_json):
            if case.name in cases:
                raise UserError(
                    f"{summary_file} holds case {case.name}, which is also in {cases[case.name].summary_file}; choose "
                    "folds with -f so that every case is validated once"
                )
            cases[case.name] = case
    trainer, plans_name, configuration = _parts_of_name(path.name)
    above = path.parent.name if re.match(r"Dataset\d{3}_", path.parent.name) else None
    dataset = plans.get("dataset_name") or above
    cases = without_open_classes(cases, open_classes(dataset, dataset_json, cases, references))
    ending = _ending(cases, dataset_json)
    return ResultFolder(
        path=path,
        name=path.name,
        dataset=dataset,
        trainer=trainer,
        plans_name=plans_name or plans.get("plans_name"),
        configuration=configuration,
        folds=tuple(summaries),
        unfinished_folds=tuple(unfinished),
        cases=cases,
        unlisted_cases=_unlisted_cases(path, summaries, unfinished, cases, ending),
        plans=plans,
        dataset_json=dataset_json,
        remarks=(*remarks, *_leftovers(summaries, cases, ending)),
        asked_folds=asked,
    )


def _find_summaries(path: Path, folds: Sequence[str] | None) -> tuple[dict[str, Path], list[str], list[str]]:
    """Summary file of each fold, names of the folds without one, and remarks."""
    fold_folders = {
        folder.name.removeprefix("fold_"): folder
        for folder in sorted(path.glob("fold_*"), key=_fold_order)
        if folder.is_dir()
    }
    if folds is not None and fold_folders:
        absent = [fold for fold in folds if fold not in fold_folders]
        if absent:
            raise UserError(
                f"{path} has no fold {', '.join(absent)}; it has {', '.join(fold_folders)}: choose among them with -f"
            )
        fold_folders = {fold: folder for fold, folder in fold_folders.items() if fold in folds}
    remarks = []
    if "all" in fold_folders:
        if len(fold_folders) > 1:
            remarks.append("fold all is left out: it validates on its own training cases")
            del fold_folders["all"]
        else:
            remarks.append("fold all validates on its own training cases: its numbers say nothing about new ones")
    summaries = {fold: folder / "validation" / "summary.json" for fold, folder in fold_folders.items()}
    found = {fold: file for fold, file in summaries.items() if file.is_file()}
    if not found and folds is None:
        alone = sorted(path.glob("crossval_results_folds_*/summary.json"))[:1] or [path / "summary.json"]
        if alone[0].is_file():
            return {_ONLY_FOLD: alone[0]}, [], [f"no folds: the cases come from {alone[0].relative_to(path)} alone"]
    if not found:
        if fold_folders:
            raise UserError(
                f"{path} has no validation of fold {', '.join(fold_folders)}: expected fold_*/validation/summary.json; "
                f"finish it with {validation_command(path, next(iter(fold_folders)))}"
            )
        asked = "" if folds is None else f" for folds {' '.join(folds)}"
        raise UserError(
            f"{path} is no result folder of nnU-Net{asked}: expected fold_*/validation/summary.json, "
            f"crossval_results_folds_*/summary.json or summary.json in it"
        )
    return found, [fold for fold in summaries if fold not in found], remarks


def validation_command(path: Path, fold: str) -> str:
    """Return nnU-Net's command that validates a fold; of a training stopped early, its best checkpoint."""
    trainer, plans, configuration = _parts_of_name(path.name)
    words = f"{path.parent.name} {configuration} {fold} -tr {trainer} -p {plans}" if trainer else "…"
    folder, command = path / f"fold_{fold}", f"nnUNetv2_train {words} --val"
    checkpoints = {file.name for file in folder.glob("checkpoint_*.pth")}
    if "checkpoint_best.pth" in checkpoints and "checkpoint_final.pth" not in checkpoints:  # --val needs a final one
        best, final = (shlex.quote(str(folder / f"checkpoint_{name}.pth")) for name in ("best", "final"))
        return f"cp {best} {final} && {command} (it was stopped early; --c in place of both continues it)"
    return command


def _parts_of_name(name: str) -> tuple[str | None, str | None, str | None]:
    parts = name.split("__")
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else (None, None, None)


def _fold_order(folder: Path) -> tuple[int, str]:
    number = folder.name.removeprefix("fold_")
    return (int(number), "") if number.isdigit() else (10**6, number)


def _unlisted_cases(
    path: Path, summaries: Mapping[str, Path], unfinished: Iterable[str], cases: Collection[str], ending: str
) -> tuple[str, ...]:
    folders = [file.parent for file in summaries.values()]
    folders += [path / f"fold_{fold}" / "validation" for fold in unfinished]
    return tuple(sorted({name for folder in folders for name in files_by_case(folder, ending)} - set(cases)))


def _leftovers(summaries: Mapping[str, Path], cases: Mapping[str, CaseResult], ending: str) -> Iterator[str]:
    """A sentence on each fold with masks of cases that another fold validated: the splits have changed since."""
    for fold, file in summaries.items():
        own = {name for name, case in cases.items() if case.fold == fold}
        left = sorted((files_by_case(file.parent, ending).keys() & set(cases)) - own)
        if left:
            yield (
                f"fold {fold} holds masks of {', '.join(left)}, which another fold validated: left over of other "
                "splits, they are not used"
            )


def _ending(cases: Mapping[str, CaseResult], dataset_json: Mapping[str, Any]) -> str:
    return str(dataset_json.get("file_ending") or known_ending(next(iter(cases.values())).prediction_file))
