"""All that a raw dataset holds of what people know about its labels, with the names of files and cases checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.confidence_map import map_files, name_problems
from nnunetv2_dale.nnunet_files.confidence_table import (
    MAPS,
    READERS,
    TABLE,
    ConfidenceTable,
    has_confidence,
    read_confidence_table,
)
from nnunetv2_dale.nnunet_files.geometry import Stored, require_same_grid
from nnunetv2_dale.nnunet_files.problems import DatasetProblemsError, Problem
from nnunetv2_dale.nnunet_files.raw_dataset import RawDataset
from nnunetv2_dale.nnunet_files.volumes import read_label


@dataclass(frozen=True)
class GivenConfidence:
    """The table; case → its map; reader → case → that reader's label."""

    table: ConfidenceTable
    maps: Mapping[str, Path]
    readers: Mapping[str, Mapping[str, Path]]


def read_given(dataset: RawDataset) -> GivenConfidence:
    """Read the table and find the maps and readers' labels; no volume is opened.

    Raises:
        UserError: nothing is given, the table is refused, or files belong to no case or are not of every reader.
    """
    folder = dataset.folder
    if not has_confidence(folder):
        raise UserError(
            f"{folder} has neither {TABLE} nor {MAPS} nor {READERS}; see docs/confidence.md for what they hold"
        )
    table = read_confidence_table(folder, dataset.dataset_json["labels"], [case.name for case in dataset.cases])
    names = sorted(path.name for path in (folder / READERS).glob("[!.]*") if path.is_dir())
    problems = name_problems(dataset)
    for name in names:
        problems += name_problems(dataset, f"{READERS}/{name}")
    readers = {name: map_files(dataset, f"{READERS}/{name}") for name in names}
    problems += unequal_cases(readers, {name: folder / READERS / name for name in names})
    if problems:
        raise DatasetProblemsError(problems, folder)
    return GivenConfidence(table, map_files(dataset), readers)


def unequal_cases(readers: Mapping[str, Mapping[str, Path]], places: Mapping[str, Path]) -> list[Problem]:
    """Readers that lack cases which another one has.

    Args:
        readers: name → case → file.
        places: name → folder.
    """
    everywhere = {case for files in readers.values() for case in files}
    return [
        Problem(places[name], f"lacks {len(missing)} cases that another reader has ({missing[0]}); give the same ones")
        for name, files in readers.items()
        if (missing := sorted(everywhere - files.keys()))
    ]


def readers_of(given: GivenConfidence, case: str) -> dict[str, Path]:
    """Reader → label of a case."""
    return {name: files[case] for name, files in given.readers.items() if case in files}


def read_reader(reader: Any, file: Path, allowed: Collection[int], label: Path, stored: Stored) -> NDArray[np.int16]:
    """A reader's label (Z, Y, X), on the voxels of the case's label.

    Args:
        reader: nnU-Net's, of the dataset.
        allowed: values it may hold.
        label, stored: the file to go by, its shape and its properties.
    Raises:
        FileError: damaged, with other values, or on other voxels.
    """
    drawn, properties = read_label(reader, file, allowed)
    require_same_grid(file, (drawn.shape, properties), label, stored, "readers draw on the same voxels")
    return drawn
