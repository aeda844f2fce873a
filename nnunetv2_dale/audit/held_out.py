"""What the trainings behind a result folder know: had its networks seen the labels, and what they remember of cases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from nnunetv2_dale.audit.audit_task import AuditTask
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.displacement_file import FILE, read_displacements
from nnunetv2_dale.nnunet_files.json_files import read_json_object
from nnunetv2_dale.nnunet_files.results.result_folder import ResultFolder

ARGUMENTS = "predict_from_raw_data_args.json"
"""What `nnUNetv2_predict` leaves beside its predictions; it names the images, and not the folds."""


def refuse_seen_labels(folder: ResultFolder, labels: Path) -> None:
    """Refuse predictions by networks that were trained with the labels.

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


def training_memory(paths: Sequence[Path], task: AuditTask) -> dict[str, list[str]]:
    """Return case → a sentence per class on how its label lay to the contours that trainings with this package learned.

    Read from `case_displacement.json` beside the checkpoints, where it lies; the trainings of the other folds have
    seen the case.
    """
    seen: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for folder in (folder for path in paths for folder in sorted(Path(path).glob("fold_*"))):
        try:
            state = read_displacements(folder) or {}
        except RuntimeError as error:
            raise UserError(str(error)) from error
        for case, (excess, contour, *_) in state.items():
            for number, (e, c) in enumerate(zip(excess, contour, strict=True)):
                if c > 0:
                    seen[case][number].append(e / c)
    return {
        case: [
            f"{item.in_words}: {fmean(values):+.2f} voxels of contour, in {len(values)} training"
            f"{'s' if len(values) > 1 else ''} ({FILE})"
            for item in task.classes
            if item.key in task.channels and (values := by_class.get(task.channels.index(item.key)))
        ]
        for case, by_class in seen.items()
    }
