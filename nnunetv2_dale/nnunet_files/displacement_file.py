"""The displacement of every case, in a file beside the checkpoints: a training resumes with it, and a reader can look.

It names cases, so it stays with the training; `nnUNetv2_dale_export` leaves it out.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from nnunetv2_dale.nnunet_files.atomic_output import new_file

FILE = "case_displacement.json"
MEANING = (
    "displacement: voxels of contour by which a case's label lies outside (+) or inside (-) of the network's, per "
    "class (label maps: with background) or region; null where a case has not shown it. excess and contour: the moving "
    "sums it is the ratio of."
)
State = dict[str, list[list[float]]]


def write_displacements(folder: Path, state: State) -> None:
    """Replace the file in `folder` when the new one is complete.

    Args:
        state: of `CaseDisplacement.state`.
    """
    cases = {
        case: {
            "displacement": [round(e / c, 4) if c > 0 else None for e, c in zip(excess, contour, strict=True)],
            "excess": excess,
            "contour": contour,
        }
        for case, (excess, contour) in sorted(state.items())
    }
    with new_file(folder / FILE, overwrite=True) as unfinished:
        unfinished.write_text(json.dumps({"meaning": MEANING, "cases": cases}, indent=1) + "\n")


def read_displacements(folder: Path) -> State | None:
    """What `write_displacements` wrote; None where there is no file.

    Raises:
        RuntimeError: a file that is not one of these.
    """
    file = folder / FILE
    if not file.exists():
        return None
    try:
        cases = json.loads(file.read_text())["cases"]
        state = {str(case): [list(each["excess"]), list(each["contour"])] for case, each in cases.items()}
        if not all(math.isfinite(value) for sums in state.values() for part in sums for value in part):
            raise ValueError("a sum that is not finite")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RuntimeError(
            f"{file} is damaged ({type(error).__name__}: {error}); delete it to let the training learn it again"
        ) from error
    return state
