"""What a recipe hands to the conversion: the cases of a dataset, how to read them, and what is known about it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from nnunetv2_dale.nnunet_files.problems import Problem
from nnunetv2_dale.readers.consensus import LabelTarget

_PAGE_WIDTH = 100


@dataclass(frozen=True)
class SourceCase:
    """One case of the source dataset."""

    name: str  # nnU-Net's case identifier (see `layouts.case_name`)
    # the image's files: one per channel, or the slices of one volume in order (the reader decides)
    images: tuple[Path, ...]
    # the file that holds the label; None for an unlabelled test case, and where `readers` have theirs
    label: Path | None
    test_set: str | None = None  # None for a training case, "" for `imagesTs`, "Kvasir" for `imagesTs_Kvasir`
    # what the manifest should say about this case, for example its patient
    details: Mapping[str, str] = field(default_factory=dict)
    # the label of each of several readers, by name; of which `DatasetPlan.readers_become` makes one
    readers: Mapping[str, Path] = field(default_factory=dict)

    @property
    def files(self) -> list[Path]:
        """Every source file of the case, each once, images first."""
        return list(dict.fromkeys([*self.images, *([self.label] if self.label else []), *self.readers.values()]))

    @property
    def folders(self) -> tuple[str, str]:
        """Names of the image and the label folder in the raw dataset."""
        if self.test_set is None:
            return "imagesTr", "labelsTr"
        suffix = f"_{self.test_set}" if self.test_set else ""
        return f"imagesTs{suffix}", f"labelsTs{suffix}"


@dataclass(frozen=True)
class CaseTargets:
    """Where one case is written: the image (none: the label alone) and the label (None: unlabelled)."""

    images: tuple[Path, ...]  # for each of `SourceCase.images`; slices of one volume become the first of them alone
    label: Path | None


class CaseFormat(Protocol):
    """Reads the cases of one kind of source and writes them as nnU-Net wants them. Pickles: it travels to workers."""

    def file_ending(self, cases: Sequence[SourceCase]) -> str:
        """Return nnU-Net's file ending for the whole dataset, decided from all its files."""

    def convert(self, case: SourceCase, targets: CaseTargets | None) -> list[Problem]:
        """Check one case and write it to `targets` (None: check only); return what is wrong with it."""


@dataclass(frozen=True)
class Facts:
    """The page of a public dataset, shown by `--help` and kept in dataset.json."""

    title: str  # what the dataset is, in a line
    source: str  # where it comes from, with the paper to cite
    licence: str  # its terms; says so where they could not be verified
    modality: str  # what the images are, and how nnU-Net will normalise them
    classes: str  # the label values of the result
    cases: str  # counts
    split: str  # the fixed split of the paper or the field
    layout: str  # the files the recipe expects below SOURCE
    caveats: str = "none known"  # what a user has to know before comparing numbers

    def page(self) -> str:
        """Return the facts as plain text, one paragraph each; the layout keeps its lines."""
        rows = [
            ("Source", self.source),
            ("Licence", self.licence),
            ("Images", self.modality),
            ("Classes", self.classes),
            ("Cases", self.cases),
            ("Split", self.split),
            ("Caveats", self.caveats),
        ]
        facts = "\n\n".join(textwrap.fill(f"{name}: {' '.join(text.split())}", _PAGE_WIDTH) for name, text in rows)
        return f"{self.title}\n\n{facts}\n\nExpected in the folder of -i:\n{self.layout.rstrip()}"


@dataclass(frozen=True)
class DatasetPlan:
    """A whole dataset, found but not yet read."""

    facts: Facts  # the dataset's page
    # nnU-Net's channel names in order; they choose the normalisation ("CT" only for Hounsfield units)
    channel_names: tuple[str, ...]
    labels: Mapping[str, int]  # class name -> label value, "background" is 0
    cases: Sequence[SourceCase]  # training and test cases
    format: CaseFormat  # reads and writes one case
    # folds of a fixed split (`splits_final.json`), None where nnU-Net's own five folds are wanted
    splits: Sequence[Mapping[str, Sequence[str]]] | None = None
    # the published number of cases per set (None is training); another number is worth a warning
    expected_counts: Mapping[str | None, int] = field(default_factory=dict)
    problems: Sequence[Problem] = ()  # what was already found to be wrong with the source
    readers_become: LabelTarget = "majority"  # the training label, where cases have several readers
