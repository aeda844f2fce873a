"""From trained folds and images without labels to judged predictions, and a dataset of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from nnunetv2_dale.commands.cases import run_cases
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.csv_table import write_table
from nnunetv2_dale.nnunet_files.atomic_output import is_empty_folder, new_folder, refuse_existing
from nnunetv2_dale.nnunet_files.confidence_map import write_confidence_map
from nnunetv2_dale.nnunet_files.problems import refuse_problems
from nnunetv2_dale.nnunet_files.raw_dataset import RawCase, RawDataset, unlabelled_cases
from nnunetv2_dale.nnunet_files.volume_writing import write_label
from nnunetv2_dale.nnunet_files.volumes import reader_of
from nnunetv2_dale.pages.html_page import OKABE_ITO
from nnunetv2_dale.pseudo_labels.expected_dice import Calibration, HeldOut, held_out_expectations
from nnunetv2_dale.pseudo_labels.judged_case import JudgedCase, cases_in, given, held_out, judged
from nnunetv2_dale.pseudo_labels.judges import Judges
from nnunetv2_dale.pseudo_labels.new_dataset import NewDataset, write_dataset

FEWEST = 3  # labelled cases, from which anything is usual
TABLE = "expected_dice.csv"


@dataclass(frozen=True)
class Wanted:
    """What is judged: images or given predictions, and from which expected Dice on a class is kept."""

    output: Path
    keep_from: float
    images: Path | None = None
    predictions: tuple[Path, ...] = ()
    overwrite: bool = False

    def cases(self, dataset: RawDataset) -> dict[str, RawCase | None]:
        """The names of the cases; with images, each with its own."""
        if self.images is not None:
            return {case.name: case for case in unlabelled_cases(self.images, dataset)}
        return dict.fromkeys(cases_in(self.predictions, dataset.file_ending))


@dataclass(frozen=True)
class Verdict:
    """The expected Dice of each class of a case, by label value; `doubtful` are below what is kept."""

    case: str
    expected: dict[int, float]
    doubtful: tuple[int, ...]

    @property
    def keeps_nothing(self) -> bool:
        """No class is kept: the case teaches nothing that the networks do not say already."""
        return len(self.doubtful) == len(self.expected)


def judge_all(
    judges: Sequence[Judges], dataset: RawDataset, wanted: Wanted, new: NewDataset | None
) -> tuple[list[Verdict], float]:
    """Judge every case and write the output folder, and the new dataset if there is to be one.

    Returns the verdicts, and the mean absolute error of the expected Dice on the labelled cases. A UserError tells of
    input that cannot be judged; nothing is written.
    """
    refuse_existing(wanted.output, wanted.overwrite)
    if wanted.output.exists() and not is_empty_folder(wanted.output) and not (wanted.output / TABLE).is_file():
        raise UserError(
            f"{wanted.output} is there and is no earlier result of this command; give another place with -o"
        )
    cases = wanted.cases(dataset)
    if new is not None:
        refuse_problems(new.target.problems(None, new.overwrite), new.target.root)
    known = _held_out(judges, dataset)
    with new_folder(wanted.output, wanted.overwrite) as place:
        error = _write_calibration(known, dataset, place)
        verdicts = list(_verdicts(judges, dataset, wanted, cases, known, place))
        names = {value: name for name, value in dataset.dataset_json["labels"].items()}
        told = (
            (each.case, label, names[label], f"{value:.4f}", "no" if label in each.doubtful else "yes")
            for each in verdicts
            for label, value in each.expected.items()
        )
        write_table(place / TABLE, ("case", "label", "class", "expected_dice", "kept"), told)
        if new is not None:
            doubtful = {each.case: bool(each.doubtful) for each in verdicts if not each.keeps_nothing}
            if doubtful:
                write_dataset(new, dataset, [case for name in doubtful if (case := cases[name])], doubtful, place)
    if new is not None and all(each.keeps_nothing for each in verdicts):
        raise UserError(
            f"no class of {len(verdicts)} cases is expected to reach a Dice of {wanted.keep_from:g}: the predictions "
            f"are in {wanted.output}, and there is no new dataset; give a lower --keep_from"
        )
    return verdicts, error


def _held_out(judges: Sequence[Judges], dataset: RawDataset) -> list[HeldOut]:
    labelled = {case.name: case for case in dataset.cases if case.label is not None}
    jobs = [
        (name, (labelled[name], case.fold, each, dataset))
        for each in judges
        for name, case in sorted(each.folder.cases.items())
        if name in labelled
    ]
    if len({name for name, _ in jobs}) < FEWEST:
        raise UserError(
            f"the folds of {judges[0].folder.path} held out fewer than {FEWEST} labelled cases of {dataset.folder}; "
            "validate more folds, or give the dataset they were trained on"
        )
    return [row for _, rows in run_cases(held_out, jobs, 1, "predicting held-out cases") for row in rows]


def _write_calibration(known: Sequence[HeldOut], dataset: RawDataset, place: Path) -> float:
    """What was expected of the labelled cases and what came, as a table and a figure; the mean absolute error."""
    pairs = list(zip(known, held_out_expectations(known), strict=True))
    error = float(np.mean([abs(value - row.dice) for row, value in pairs]))
    told = ((row.case, row.fold, row.label, f"{value:.4f}", f"{row.dice:.4f}") for row, value in pairs)
    write_table(place / "calibration.csv", ("case", "fold", "label", "expected_dice", "dice"), told)
    figure = calibration_figure(known, [value for _, value in pairs], error, dataset.dataset_json["labels"])
    figure.savefig(place / "calibration.png")
    return error


def _verdicts(
    judges: Sequence[Judges],
    dataset: RawDataset,
    wanted: Wanted,
    cases: dict[str, RawCase | None],
    known: Sequence[HeldOut],
    place: Path,
) -> Iterator[Verdict]:
    """Judge every case; of images, write the label that the folds give, and its confidence where one is doubtful."""
    calibration = Calibration.of(known)
    writer = reader_of(dataset.dataset_json, None, judges[0].folder.plans)
    jobs = [(name, (name, case, judges, dataset, wanted.predictions)) for name, case in cases.items()]
    for name, found in run_cases(_judged, jobs, 1, "judging cases"):
        overlaps = found.overlaps(dataset.foreground_values)
        expected = {label: calibration.expected(label, *overlap) for label, overlap in overlaps.items()}
        doubtful = tuple(label for label, value in expected.items() if value < wanted.keep_from)
        if cases[name] is not None:
            file = place / f"{name}{dataset.file_ending}"
            write_label(writer, found.label, file, found.properties)
            if doubtful:
                (place / "confidence").mkdir(exist_ok=True)
                write_confidence_map(found.confidence(doubtful), place / "confidence" / file.name, found.properties)
        yield Verdict(name, expected, doubtful)


def _judged(
    name: str, case: RawCase | None, judges: Sequence[Judges], dataset: RawDataset, predictions: Sequence[Path]
) -> JudgedCase:
    return judged(case, judges, dataset) if case else given(name, predictions, dataset, judges[0])


def calibration_figure(
    known: Sequence[HeldOut], expected: Sequence[float], error: float, labels: Mapping[str, Any]
) -> Figure:
    """A dot per labelled case and class; on the diagonal, what was expected came."""
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
    for number, label in enumerate(sorted({each.label for each in known})):
        points = [(value, row.dice) for value, row in zip(expected, known, strict=True) if row.label == label]
        name = next((name for name, value in labels.items() if value == label), str(label))
        colour = OKABE_ITO[number % len(OKABE_ITO)]
        axes.plot(*zip(*points, strict=True), "o", color=colour, markersize=4, label=name)
    axes.set(xlabel="expected Dice", ylabel="Dice with the label", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.set_title(f"{len(known)} held-out classes of cases, mean absolute error {error:.3f}", fontsize="small")
    axes.legend(fontsize="small")
    return figure
