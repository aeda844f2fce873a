"""What is audited: the classes, the referees, and the files of every case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.nnunet_files.raw_dataset import read_raw
from nnunetv2_dale.nnunet_files.results.class_keys import class_labels, keys_of_names
from nnunetv2_dale.nnunet_files.results.not_annotated import open_classes


@dataclass(frozen=True)
class AuditedClass:
    """One class or region: its key in nnU-Net's summaries ("2", "(1, 2)"), its name, and the label values it holds."""

    key: str
    name: str
    values: tuple[int, ...]

    @property
    def in_words(self) -> str:
        """As a finding names it: "label 2 (kidney)"."""
        if not self.key:
            return "the whole label"
        return f"label {self.key} ({self.name})" if len(self.values) == 1 else f"region {self.key} ({self.name})"


@dataclass(frozen=True)
class CaseInputs:
    """The files of one case."""

    case: str  # its name
    fold: str  # in which the first referee held it out
    label: Path  # the label that is audited
    referees: tuple[str, ...]  # names of the result folders that predicted the case
    predictions: tuple[Path, ...]  # the file of each
    probabilities: tuple[Path | None, ...]  # its `.npz`, or None, for each of them
    images: tuple[Path, ...]  # one file per channel, or none


@dataclass(frozen=True)
class AuditTask:
    """A dataset's cases and how they are read."""

    dataset: str  # its name
    referees: tuple[str, ...]  # names of the result folders
    classes: tuple[AuditedClass, ...]  # foreground classes or regions
    # the class key of each channel of the networks; "0" is the background, which regions do not have
    channels: tuple[str, ...]
    has_regions: bool  # whether classes overlap
    ignore_label: int | None  # value of the label that does not count, or None
    label_values: frozenset[int]  # every value a label may hold
    is_ct: bool  # whether the image's first channel is CT
    reader: Any  # nnU-Net's reader
    cases: tuple[CaseInputs, ...]  # in alphabetical order
    missing: tuple[str, ...]  # a sentence for each thing that could not be used
    held_out: bool = True  # whether no network is known or may be thought to have seen the labels it judges
    crossing_regions: bool = False  # whether predicted label maps do not say what regions were found; probabilities do
    # case → keys of the classes that nobody annotated in it, as `confidence.csv` says
    open_classes: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def whole(self) -> AuditedClass | None:
        """All classes together, under the key ""; None where one class is everything."""
        values = tuple(sorted({value for item in self.classes for value in item.values}))
        alone = any(set(item.values) == set(values) for item in self.classes)
        return None if alone else AuditedClass("", "all classes", values)

    @property
    def judged(self) -> tuple[AuditedClass, ...]:
        """All classes, and the whole label where it says more than they."""
        return (*self.classes, self.whole) if self.whole else self.classes


def dataset_task(dataset: str) -> AuditTask:
    """Find the labels and images of a dataset in `nnUNet_raw`; none is opened.

    Raises:
        UserError: no such dataset, one without labels, or a `confidence.csv` that is refused.
    """
    source = read_raw(dataset)
    labelled = [case for case in source.cases if case.label is not None]
    without = [case.name for case in source.cases if case.label is None]
    if not labelled:
        raise UserError(
            f"{source.folder / 'labelsTr'} holds no label of the images in imagesTr; the audit needs labels"
        )
    keys = {name: key for name, key in keys_of_names(source.dataset_json["labels"]).items() if key != "0"}
    classes = tuple(AuditedClass(key, name, class_labels(key)) for name, key in keys.items())
    return AuditTask(
        dataset=source.folder.name,
        referees=(),
        classes=classes,
        channels=(),
        has_regions=any(len(item.values) > 1 for item in classes),
        ignore_label=source.ignore_label,
        label_values=source.label_values,
        is_ct=source.is_ct,
        reader=source.reader(),
        cases=tuple(CaseInputs(case.name, "", case.label, (), (), (), case.images) for case in labelled if case.label),
        missing=(f"{counted(len(without), 'image has', 'images have')} no label, not audited: {', '.join(without)}",)
        if without
        else (),
        held_out=False,
        open_classes=open_classes(source.folder.name, source.dataset_json, [case.name for case in labelled]),
    )
