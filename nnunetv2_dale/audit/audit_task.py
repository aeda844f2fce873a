"""What is audited: the classes, the referees, and the files of every case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


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
    """The files of one case.

    Attributes:
        case: its name.
        fold: in which the first referee held it out.
        label: the label that is audited.
        referees: names of the result folders that predicted the case.
        predictions: the file of each.
        probabilities: its `.npz`, or None, for each of them.
        images: one file per channel, or none.
    """

    case: str
    fold: str
    label: Path
    referees: tuple[str, ...]
    predictions: tuple[Path, ...]
    probabilities: tuple[Path | None, ...]
    images: tuple[Path, ...]


@dataclass(frozen=True)
class AuditTask:
    """A dataset's cases and how they are read.

    Attributes:
        dataset: its name.
        referees: names of the result folders.
        classes: foreground classes or regions.
        channels: the class key of each channel of the networks; "0" is the background, which regions do not have.
        has_regions: whether classes overlap.
        ignore_label: value of the label that does not count, or None.
        label_values: every value a label may hold.
        is_ct: whether the image's first channel is CT.
        reader: nnU-Net's reader.
        cases: in alphabetical order.
        missing: a sentence for each thing that could not be used.
        crossing_regions: whether predicted label maps do not say what regions were found; probabilities do.
        open_classes: case → keys of the classes that nobody annotated in it, as `confidence.csv` says.
        held_out: whether no network is known or may be thought to have seen the labels it judges.
    """

    dataset: str
    referees: tuple[str, ...]
    classes: tuple[AuditedClass, ...]
    channels: tuple[str, ...]
    has_regions: bool
    ignore_label: int | None
    label_values: frozenset[int]
    is_ct: bool
    reader: Any
    cases: tuple[CaseInputs, ...]
    missing: tuple[str, ...]
    held_out: bool = True
    crossing_regions: bool = False
    open_classes: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def whole(self) -> AuditedClass | None:
        """All classes together, under the key ""; None where one class is everything."""
        values = tuple(sorted({value for item in self.classes for value in item.values}))
        alone = any(set(item.values) == set(values) for item in self.classes)
        return None if alone else AuditedClass("", "all classes", values)
