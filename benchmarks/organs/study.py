"""A study over several datasets, as its TOML file names it, and the commands that make it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunetv2_dale.commands.command_line import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Data:
    """A dataset: where it lies, and what is known of its cases."""

    folder: str  # below the folder of data; a raw dataset of nnU-Net, or what `convert` reads
    id: int  # number of the dataset; that of its copies follows from it
    patients: str = ""  # regular expression whose group is the patient in a case's name; empty: each case is a patient
    complete: str = ""  # table of annotated classes; only cases that have all are taken. Empty: all cases.
    convert: tuple[str, ...] = ()  # words of `nnUNetv2_dale_convert` that make the raw dataset of `folder`
    # configuration → what is replaced for this data in place of the study's
    plans: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A part of the study; the file's order is that of the work."""

    data: tuple[str, ...]
    configuration: str
    labels: tuple[str, ...]
    trainers: tuple[str, ...]
    length: str
    folds: tuple[str, ...] = ("0",)
    repeats: int = 1


@dataclass(frozen=True)
class Study:
    """All of it. `labels`: name → words of `nnUNetv2_dale_corrupt_labels`, none for the labels as they are."""

    data: Mapping[str, Data]
    labels: Mapping[str, Sequence[str]]
    plans: Mapping[str, Mapping[str, Any]]  # configuration → what of nnU-Net's plans is replaced
    steps: Sequence[Step]
    benchmark: Sequence[str] = field(default_factory=tuple)  # further words of `nnUNetv2_dale_benchmark`


@dataclass(frozen=True)
class Comparison:
    """Trainers on one dataset, one set of labels and one configuration: one call of the benchmark, one result."""

    data: str
    labels: str
    step: Step

    @property
    def name(self) -> str:
        """Of its result."""
        repeated = (f"{self.step.repeats}times",) if self.step.repeats > 1 else ()
        return "_".join(
            (self.data, self.labels, self.step.configuration, self.step.length, *self.step.folds, *repeated)
        )


def read_study(file: Path) -> Study:
    """Read a study.

    Raises:
        UserError: the file is no TOML, or names what it does not define.
    """
    try:
        content = tomllib.loads(file.read_text())
        data = {
            name: Data(**{**each, "convert": tuple(each.get("convert", ()))}) for name, each in content["data"].items()
        }
        steps = [Step(**{key: _frozen(value) for key, value in each.items()}) for each in content["step"]]
        study = Study(data, content["labels"], content["plans"], steps, content.get("benchmark", ()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is no study ({error!r}); see benchmarks/organs/study.toml") from error
    for step in steps:
        if len(step.trainers) < 2:
            raise UserError(f"{file}: a step has the trainers {', '.join(step.trainers)}; give two or more to compare")
        for name in (*step.data, *step.labels, step.configuration):
            if name not in {*data, *study.labels, *study.plans}:
                raise UserError(f"{file}: a step names {name}, which is neither data, labels nor plans there")
    return study


def comparisons(study: Study) -> Iterator[Comparison]:
    """What is compared, in the file's order: of a step the labels one after the other, each for all data."""
    for step in study.steps:
        yield from (Comparison(data, labels, step) for labels in step.labels for data in step.data)


def dataset_name(study: Study, data: str, labels: str) -> str:
    """The raw dataset of these labels: the number of the data, and hundreds for the place of the labels."""
    return f"Dataset{study.data[data].id + 100 * list(study.labels).index(labels):03d}_{data}"


def noise_command(study: Study, data: str, labels: str) -> list[str]:
    """The command that makes the copy with these labels."""
    number = dataset_name(study, data, labels)[7:10]
    words = ["-d", str(study.data[data].id), "--new_id", str(int(number)), *study.labels[labels], "-np", "1"]
    return ["nnUNetv2_dale_corrupt_labels", *words]


def benchmark_command(study: Study, each: Comparison, raw: Path, reports: Path) -> list[str]:
    """The command that trains, validates and compares; noisy copies are judged by their clean labels."""
    step, dataset = each.step, dataset_name(study, each.data, each.labels)
    words = ["-d", str(int(dataset[7:10])), "-c", step.configuration, "-p", plans_name(step.configuration)]
    words += ["-f", *step.folds, "-tr", *(trainer + step.length for trainer in step.trainers)]
    words += ["--repeats", str(step.repeats)] if step.repeats > 1 else []
    words += ["--references", str(raw / dataset / "labelsTr_clean")] if study.labels[each.labels] else []
    return ["nnUNetv2_dale_benchmark", *words, *study.benchmark, "-o", str(reports / each.name)]


def replaced_plans(study: Study, data: str, configuration: str) -> dict[str, Any]:
    """What of nnU-Net's plans is replaced for one of the data."""
    return {**study.plans[configuration], **study.data[data].plans.get(configuration, {})}


def plans_name(configuration: str) -> str:
    """Of the plans that are trained; each configuration has its own."""
    return f"small_{configuration}"


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
