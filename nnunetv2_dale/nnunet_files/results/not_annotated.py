"""Classes that nobody annotated in some cases: what a result says of them there is no error of the network."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nnunetv2_dale.commands.csv_table import own_name
from nnunetv2_dale.nnunet_files.confidence_table import TABLE, read_confidence_table
from nnunetv2_dale.nnunet_files.folders import known_places
from nnunetv2_dale.nnunet_files.results.class_keys import keys_of_names
from nnunetv2_dale.nnunet_files.results.summary_file import CaseResult, ClassResult

_UNKNOWN = ClassResult(None, None, None, None, None, None, annotated=False)


def open_classes(
    dataset: str | None, dataset_json: Mapping[str, Any], cases: Collection[str], references: Path | None = None
) -> dict[str, frozenset[str]]:
    """Case → keys of the classes that nobody annotated in it, of the cases that lack some.

    They stand in `confidence.csv` of the raw dataset, of which training keeps a copy beside the preprocessed cases.

    Args:
        cases: of the results; a table from a spreadsheet may have 5 for 005.
        references: folder of masks that judge in place of the training labels. Of these the training's table says
            nothing: theirs lies in the folder, or where it is a dataset's `labelsTr`, in the dataset.
    """
    labels = dataset_json.get("labels", {})
    keys = keys_of_names(labels)
    places = [file.parent for file in _tables(dataset, references)]
    if not places or not labels:
        return {}
    table = read_confidence_table(places[0], labels)
    where = str(places[0] / TABLE)
    return {
        own_name(case, cases, where): frozenset(keys[name] for name in names)
        for case, names in table.open_classes.items()
        if names
    }


def without_open_classes(
    cases: Mapping[str, CaseResult], unknown: Mapping[str, frozenset[str]]
) -> dict[str, CaseResult]:
    """The results with nothing known of the classes that nobody annotated in a case."""
    return {
        name: replace(
            case, classes={key: _UNKNOWN if key in unknown[name] else each for key, each in case.classes.items()}
        )
        if name in unknown
        else case
        for name, case in cases.items()
    }


def sentences_on_open_classes(cases: Mapping[str, CaseResult], names: Mapping[str, str]) -> list[str]:
    """A sentence for each class that is not annotated in some of the cases."""
    counts = {key: sum(not case.classes[key].annotated for case in cases.values()) for key in names}
    of = f"of {len(cases)} cases ({TABLE}) and not counted there"
    return [f"{names[key]} is not annotated in {count} {of}" for key, count in counts.items() if count]


def _tables(dataset: str | None, references: Path | None) -> list[Path]:
    if references is not None:
        references = references.resolve()
        if references.name != "gt_segmentations":
            places = [references, references.parent] if references.name == "labelsTr" else [references]
            return [place / TABLE for place in places if (place / TABLE).is_file()]
        dataset = references.parent.name  # they are copies of its labelsTr
    found = [place / TABLE for place in known_places(dataset, "nnUNet_raw")]
    for place in known_places(dataset, "nnUNet_preprocessed"):
        found += sorted(place.glob(f"[!.]*_confidence/{TABLE}"))
    return [file for file in found if file.is_file()]
