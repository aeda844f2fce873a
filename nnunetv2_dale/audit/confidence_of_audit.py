"""What an audit found, as confidence of the labels: `nnUNetv2_dale_audit apply … --confidence`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nnunetv2_dale.audit.decisions import Decision, cases_to
from nnunetv2_dale.audit.finding_part import part_between
from nnunetv2_dale.audit.findings import Audit, AuditedCase
from nnunetv2_dale.audit.maps import map_file, read_map
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.confidence_map import read_confidence_map, write_confidence_map
from nnunetv2_dale.nnunet_files.confidence_table import (
    MAPS,
    TABLE,
    ConfidenceTable,
    read_confidence_table,
    write_confidence_table,
)
from nnunetv2_dale.nnunet_files.json_files import read_json_object, write_json
from nnunetv2_dale.nnunet_files.preprocessed_confidence import file_checksum, raw_checksums
from nnunetv2_dale.nnunet_files.raw_dataset import RawCase, RawDataset
from nnunetv2_dale.nnunet_files.results.class_keys import class_labels
from nnunetv2_dale.nnunet_files.volumes import read_label

MADE_CONFIDENCE = "audit_confidence.json"


def write_confidence_of(
    audit: Audit, place: Path, source: RawDataset, decisions: Sequence[Decision], folder: Path
) -> None:
    """Write `confidenceTr` and `confidence.csv` into the new dataset.

    The confidence is 1 − suspicion where nobody decided. Of findings that were accepted or are to be fixed it is 1: a
    person says that the label is right, or mends it. Where the source has a map the smaller value counts. Excluded
    cases have weight 0. Classes that are probably not annotated in some cases are said to be so.

    Args:
        folder: of the new dataset, with what the source has of confidence.
    """
    excluded = set(cases_to("exclude", decisions))
    (folder / MAPS).mkdir(exist_ok=True)
    raw = {case.name: case for case in source.cases}
    for case in audit.cases:
        suspicion = map_file(place / "maps", case.case, "suspicion")
        if case.case not in excluded and suspicion.is_file():
            settled = [each for each in decisions if each.case == case.case]
            _write_map(case, raw[case.case], source, place, settled, folder)
    write_confidence_table(folder / TABLE, _table(audit, source, excluded))
    write_json(folder / MADE_CONFIDENCE, raw_checksums(folder))


def is_as_made(name: Path, made: Path) -> bool:
    """Whether a file of confidence in a dataset that `apply` made is still what it wrote."""
    file = made / MADE_CONFIDENCE
    return file.is_file() and read_json_object(file).get(name.as_posix()) == file_checksum(made / name)


def _table(audit: Audit, source: RawDataset, excluded: set[str]) -> ConfidenceTable:
    known = [case.name for case in source.cases]
    table = read_confidence_table(source.folder, source.dataset_json["labels"], known)
    weights = {**table.weights, **dict.fromkeys(sorted(excluded), 0.0)}
    open_classes = {case: set(names) for case, names in table.open_classes.items()}
    for said in audit.classes:
        for case in said.cases if said.kind == "not_annotated" else ():
            open_classes.setdefault(case, set()).add(said.class_name)
    for case, names in open_classes.items():
        if names >= set(table.classes):  # nothing of the label is left to learn from
            weights[case] = 0.0
            names.clear()
    in_order = {case: tuple(name for name in table.classes if name in names) for case, names in open_classes.items()}
    return replace(table, weights=weights, open_classes=in_order)


def _write_map(
    found: AuditedCase, case: RawCase, source: RawDataset, place: Path, settled: Sequence[Decision], folder: Path
) -> None:
    if case.label is None:
        raise UserError(f"case {case.name} of {source.folder} has no label")
    label, properties = read_label(source.reader(), case.label, source.label_values)
    suspicion, networks = (
        read_map(map_file(place / "maps", case.name, name), label.shape) for name in ("suspicion", "consensus")
    )
    voxels = {(each.label, str(each.kind)): each.voxel for each in found.findings}
    for each in settled:
        values = class_labels(each.label) if each.label else None
        kind = (each.label, each.kind)
        suspicion[part_between(label, networks, values, each.kind, voxels.get(kind))] = 0
    confidence = np.clip(1 - suspicion.astype(np.float32), 0, 1)
    target = folder / MAPS / f"{case.name}{source.file_ending}"
    if target.is_file():
        given = read_confidence_map(source.reader(), target, case.label, (label.shape, properties))
        confidence = np.minimum(confidence, given)
    if confidence.min() < 1:
        write_confidence_map(confidence, target, properties)
