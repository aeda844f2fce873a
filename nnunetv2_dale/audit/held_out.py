"""Whether the networks of a result folder had seen the labels that they are to judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.json_files import read_json_object
from nnunetv2_dale.nnunet_files.results.result_folder import ResultFolder

ARGUMENTS = "predict_from_raw_data_args.json"
"""What `nnUNetv2_predict` leaves beside its predictions; it names the images, and not the folds."""


def refuse_seen_labels(folder: ResultFolder, labels: Path) -> None:
    """Refuse predictions by networks that were trained with the labels.

    Args:
        labels: the folder of the audited labels.
    Raises:
        UserError: fold `all` alone, or training images that `nnUNetv2_predict` predicted with all folds.
    """
    if folder.folds == ("all",):
        raise UserError(
            f"{folder.path} has fold all alone, whose network has seen every label; train folds 0 to 4 for the audit"
        )
    predicted = not is_held_out(folder) and (folder.path / ARGUMENTS).is_file()
    if predicted and any(_is_of_training(folder, each) for each in (labels, *_sources(folder))):
        raise UserError(
            f"{folder.path} holds training cases of {folder.dataset} as nnUNetv2_predict predicted them ({ARGUMENTS}), "
            "by networks that have seen their labels; give the folder of the cross-validation "
            "(nnUNet_results/DATASET/TRAINER__PLANS__CONFIG)"
        )


def is_held_out(folder: ResultFolder) -> bool:
    """Say whether each case is known to have been predicted by a network that did not train with it."""
    return all(fold.isdigit() for fold in folder.folds) or bool(sorted(folder.path.glob("crossval_results_folds_*")))


def remarks_on_origin(folders: Sequence[ResultFolder]) -> Iterator[str]:
    """Return a sentence on each folder of which this is not known."""
    for folder in folders:
        if not is_held_out(folder):
            yield (
                f"{folder.name}: it has no folds, so it is not known whether its networks had seen the labels; "
                "a network agrees with the wrong labels that it was trained with"
            )


def _sources(folder: ResultFolder) -> Iterator[Path]:
    """The folders of the images that were predicted."""
    given: Any = read_json_object(folder.path / ARGUMENTS).get("list_of_lists_or_source_folder")
    if isinstance(given, str):
        yield Path(given)
    elif isinstance(given, list):
        yield from {Path(file).parent for channels in given for file in channels if isinstance(file, str)}


def _is_of_training(folder: ResultFolder, place: Path) -> bool:
    """Whether a folder holds training images or labels of the dataset that the networks were trained on."""
    training = place.name.startswith(("imagesTr", "labelsTr")) or place.name == "gt_segmentations"
    return training and folder.dataset in (place.parent.name, place.resolve().parent.name)
