"""How the slices of a volume lie in the patient, and which way round radiologists look at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import nibabel
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from numpy.typing import NDArray

_OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}
_PLANE = {"R": "sagittal", "L": "sagittal", "A": "coronal", "P": "coronal", "S": "axial", "I": "axial"}


@dataclass(frozen=True)
class PlaneView:
    """Slices along one axis of an array (Z, Y, X), as radiologists look: R, A or S at the left and at the top."""

    name: str  # "axial", "coronal" or "sagittal", whichever is nearest
    left: str  # the side of the patient there; the opposite side is on the right and at the bottom
    top: str
    mirrored: bool  # whether a picture that begins with the first row and column has to be turned so
    upside_down: bool

    def turn(self, axes: Axes) -> None:
        """Turn a drawn slice, and write the four letters at its edges."""
        if self.mirrored:
            axes.invert_xaxis()
        if self.upside_down:
            axes.invert_yaxis()
        for letter, x, y in (
            (self.left, 0.03, 0.5),
            (_OPPOSITE[self.left], 0.97, 0.5),
            (self.top, 0.5, 0.96),
            (_OPPOSITE[self.top], 0.5, 0.04),
        ):
            text = axes.text(x, y, letter, transform=axes.transAxes, color="white", fontsize=13, fontweight="bold")
            text.set(ha="center", va="center", path_effects=[patheffects.withStroke(linewidth=2, foreground="black")])


def plane_views(affine: NDArray[np.float64]) -> list[PlaneView]:
    """Return the views of slices along the axes z, y and x of an array.

    Args:
        affine: (4, 4), from voxel (x, y, z) to RAS+ mm, not singular. An oblique axis counts as the nearest one.
    """
    towards: Sequence[str] = nibabel.aff2axcodes(affine)[::-1]
    views = []
    for axis in range(3):
        row, column = (towards[other] for other in range(3) if other != axis)
        views.append(
            PlaneView(
                name=_PLANE[towards[axis]],
                left=column if column in "RAS" else _OPPOSITE[column],
                top=row if row in "RAS" else _OPPOSITE[row],
                mirrored=column in "RAS",
                upside_down=row in "RAS",
            )
        )
    return views
