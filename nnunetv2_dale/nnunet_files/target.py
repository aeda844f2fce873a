"""Where a raw dataset goes, and what may stand in its way."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.atomic_output import is_empty_folder, refuse_existing
from nnunetv2_dale.nnunet_files.folders import known_folder, splits_of
from nnunetv2_dale.nnunet_files.json_files import read_json_object
from nnunetv2_dale.nnunet_files.problems import FileError, Problem
from nnunetv2_dale.nnunet_files.raw_dataset import RawDataset
from nnunetv2_dale.nnunet_files.splits import read_splits

NOISY_COPY, DECIDED_COPY, OF_READERS, PSEUDO_LABELS, CONVERSION = MARKS = (
    *("label_noise.json", "audit_decisions.csv", "readers.json", "pseudo_labels.json", "manifest.json"),
)
"""The file by which the result of a command is known. A noisy copy takes its source's along, so its own comes first."""


@dataclass(frozen=True)
class Target:
    """A dataset that is to be written."""

    root: Path  # the `nnUNet_raw` folder
    dataset_id: int  # 1 to 999
    name: str  # the part after `Dataset501_`; what nnU-Net and every file system take, so spaces and dots too
    # which of `MARKS` the command leaves in what it writes, by which it may replace it; None: any of them
    mark: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.dataset_id <= 999:
            raise UserError(f"a dataset id lies between 1 and 999, got {self.dataset_id}")
        if not re.fullmatch(r'[^\x00-\x1f<>:"/\\|?*]*[^\x00-\x1f<>:"/\\|?*. ]', self.name):
            raise UserError(
                f'a dataset name has none of < > : " / \\ | ? * and does not end in a dot or space, got {self.name!r}'
            )

    @classmethod
    def of_copy(cls, source: RawDataset, dataset_id: int, mark: str) -> Target:
        """Say where a copy of a dataset goes: beside it, under its name and another id.

        Raises:
            FileError: the id is the dataset's own, or `dataset.json` names its files one by one, as no copy's would.
        """
        target = cls(source.folder.parent, dataset_id, source.folder.name.partition("_")[2], mark)
        if "dataset" in source.dataset_json:
            what = "names its files one by one; expected the layout of imagesTr and labelsTr"
            raise FileError(source.folder / "dataset.json", what)
        if source.folder.resolve() == target.folder.resolve():
            raise FileError(source.folder, "is the dataset itself; give another id with --new_id")
        return target

    @property
    def folder(self) -> Path:
        """The dataset's folder."""
        return self.root / f"Dataset{self.dataset_id:03d}_{self.name}"

    def problems(self, splits: Sequence[Mapping[str, Sequence[str]]] | None, overwrite: bool) -> list[Problem]:
        """List an existing target, an id that another dataset has (nnU-Net would refuse it), another split already in
        use.

        Looked for in `root` and in nnU-Net's three folders, where those are set. With `overwrite` an existing target is
        a problem only where another command, or nobody of us, made it.
        """
        found: list[Problem] = []
        refuse_existing(self.folder, overwrite=True)
        if os.path.lexists(self.folder) and not self._is_replaceable():
            what = "already exists and is no earlier result of this command; give another id"
            found.append(Problem(self.folder, what))
        elif os.path.lexists(self.folder) and not overwrite:
            found.append(Problem(self.folder, "already exists; give another id, or --overwrite to replace it"))
        known = [known_folder(name) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")]
        for place in dict.fromkeys(
            each.resolve() for each in (self.root, *known) if each is not None and each.is_dir()
        ):
            for other in sorted(place.glob(f"Dataset{self.dataset_id:03d}*")):
                if other.name != self.folder.name and other.is_dir():
                    found.append(Problem(other, f"has the id {self.dataset_id} already; give another id"))
        used = splits_of(self.folder.name)
        if used is not None and splits is not None and used.is_file() and _differs(used, splits):
            found.append(Problem(used, "holds another split; remove that preprocessed dataset or give another id"))
        return found

    def _is_replaceable(self) -> bool:
        mark = mark_of(self.folder)
        return is_empty_folder(self.folder) or (mark is not None and self.mark in (None, mark))


def mark_of(folder: Path) -> str | None:
    """Say which of `MARKS` tells what made a dataset; None where no command of this package did."""
    return next((mark for mark in MARKS if _is_ours(folder / mark)), None)


def _is_ours(file: Path) -> bool:
    if file.suffix != ".json":
        return file.is_file()
    try:
        return "nnunetv2_dale" in read_json_object(file)  # the version that wrote it
    except UserError:
        return False


def default_root() -> Path:
    """Return the folder in `nnUNet_raw`."""
    root = known_folder("nnUNet_raw")
    if root is None:
        raise UserError("the environment variable nnUNet_raw is not set; set it, or give the target folder with -o")
    return root


def _differs(used: Path, splits: Sequence[Mapping[str, Sequence[str]]]) -> bool:
    try:
        existing = read_splits(used)
    except UserError:
        return True
    mine, theirs = (
        [{part: set(fold[part]) for part in ("train", "val")} for fold in each] for each in (existing, splits)
    )
    return mine[: len(splits)] != theirs
