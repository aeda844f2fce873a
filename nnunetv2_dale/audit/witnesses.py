"""What a training itself remembers of each case: one more witness beside the networks that never saw it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from nnunetv2_dale.audit.audit_task import AuditTask
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.displacement_file import FILE, read_displacements


def training_memory(paths: Sequence[Path], task: AuditTask) -> dict[str, list[str]]:
    """Return case → a sentence per class on how its label lay to the contours that trainings with this package learned.

    Read from `case_displacement.json` beside the checkpoints, where it lies; the trainings of the other folds have
    seen the case.

    Raises:
        UserError: a damaged file.
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
