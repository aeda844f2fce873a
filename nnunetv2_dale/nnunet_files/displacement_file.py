"""The displacement and border contrast of every case, in files beside the checkpoints.

A training resumes with one, and a reader can look at the other, a table.

They name cases, so they stay with the training; `nnUNetv2_dale_export` leaves them out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from nnunetv2_dale.commands.csv_table import write_table
from nnunetv2_dale.nnunet_files.atomic_output import new_file
from nnunetv2_dale.nnunet_files.json_files import read_json, write_json

FILE, TABLE = "case_displacement.json", "case_displacement.csv"
MEANING = (
    "displacement: voxels of contour by which a case's label lies outside (+) or inside (-) of the network's, per "
    "class (label maps: with background) or region; null where a case has not shown it. border_contrast: how much the "
    "image changes across the label's border, against what is around; null below ten of its faces. excess, contour, "
    "contrast and faces: the moving sums they are the ratios of. found and size: probability of the class in its own "
    "voxels, and their number. extra and missing: voxels of objects that the network does not find, and of ones that "
    "the label lacks, with contrasts and faces of their borders. labels: checksums of the preprocessed labels of all "
    "training cases."
)
BORDER_SUMS = ("excess", "contour", "contrast", "faces")
OBJECT_SUMS = (
    "found", "size", "extra", "extra_contrast", "extra_faces", "missing", "missing_contrast", "missing_faces",
)  # fmt: skip
SUMS = BORDER_SUMS + OBJECT_SUMS
State = dict[str, list[list[float]]]  # case → each of the sums, of each class


def write_displacements(folder: Path, state: State, labels: Mapping[str, str], classes: Sequence[str]) -> None:
    """Replace the files in `folder`, each when the new one is complete; `labels` are the checksums of the preprocessed
    label of each training case, seen yet or not.
    """
    cases: dict[str, dict[str, Sequence[float | None]]] = {}
    for case, sums in sorted(state.items()):
        named = dict(zip(SUMS, sums, strict=True))
        displacement = _ratio(named["excess"], named["contour"], 1)
        contrast = _ratio(named["contrast"], named["faces"], 10)
        cases[case] = {"displacement": displacement, "border_contrast": contrast, **named}
    with new_file(folder / FILE, overwrite=True) as unfinished:
        write_json(unfinished, {"meaning": MEANING, "classes": list(classes), "labels": dict(labels), "cases": cases})
    rows = [
        [case, name, off, image]
        for case, each in cases.items()
        for name, off, image in zip(classes, each["displacement"], each["border_contrast"], strict=True)
        if off is not None  # a case that has shown the class
    ]
    with new_file(folder / TABLE, overwrite=True) as unfinished:
        write_table(unfinished, ["case", "class", "displacement", "border_contrast"], rows)


def read_displacements(folder: Path) -> State | None:
    """Read what `write_displacements` wrote; None where there is no file, a `RuntimeError` where it is another one."""
    file = folder / FILE
    if not file.exists():
        return None
    try:
        cases = read_json(file)["cases"]
        state = {}
        for case, each in cases.items():
            later = [list(each.get(name, [0.0] * len(each["excess"]))) for name in SUMS[2:]]  # not in older files
            state[str(case)] = [list(each["excess"]), list(each["contour"]), *later]
        if not all(math.isfinite(value) for sums in state.values() for part in sums for value in part):
            raise ValueError("a sum that is not finite")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RuntimeError(
            f"{file} is damaged ({type(error).__name__}: {error}); delete it to let the training learn it again"
        ) from error
    return state


def read_label_checksums(folder: Path) -> dict[str, str]:
    """Return the checksum of the label that each training case had; older files have none."""
    file = folder / FILE
    checksums: dict[str, str] = read_json(file).get("labels", {}) if file.exists() else {}
    return checksums


def _ratio(above: list[float], below: list[float], least: float) -> list[float | None]:
    # as in CaseDisplacement: a class that was seen long ago has next to nothing left of its contour
    return [round(a / b, 4) if b >= least else None for a, b in zip(above, below, strict=True)]
