"""Sizes and signs in mm of the audit on two real readers, beside distances of border voxels by SciPy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy import ndimage

from nnunetv2_dale.audit.displacement import displacement

FOLDER, READERS = "two_readers_headneck", ("oncologist", "radiographer")
MOST_VOXELS = 400_000  # of an organ; brain and lungs take minutes
Mask = NDArray[np.bool_]


def compare_readers(source: Path, most_voxels: int = MOST_VOXELS) -> list[dict[str, Any]]:
    """Hold the oncologist's organs as labels against the radiographer's, in `two_readers_headneck`, as predictions.

    Organs of more than `most_voxels` are left out. A row for each organ of each case: mean displacement with and
    without sign, by the audit and by SciPy, mm.
    """
    return [
        _row(case, organ, label, other, spacing)
        for case, organ, label, other, spacing in organs(source / FOLDER)
        if label.sum() < most_voxels
    ]


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Correlation, largest difference in voxels, and how often the signs agree where they are clear."""
    ours, other = (np.array([row[key] for row in rows]) for key in ("mean_mm", "scipy_mean_mm"))
    far, other_far = (np.array([row[key] for row in rows]) for key in ("absolute_mm", "scipy_absolute_mm"))
    voxels = np.array([row["voxel_mm"] for row in rows])
    clear = np.abs(other) > 0.1 * voxels
    return {
        "organs": len(rows),
        "correlation_of_means": round(float(np.corrcoef(ours, other)[0, 1]), 4),
        "correlation_without_sign": round(float(np.corrcoef(far, other_far)[0, 1]), 4),
        "largest_difference_of_means_in_voxels": round(float(np.max(np.abs(ours - other) / voxels)), 3),
        "clear_signs": int(clear.sum()),
        "equal_signs": int((np.sign(ours) == np.sign(other))[clear].sum()),
        "oncologist_narrower": int((ours < 0).sum()),
    }


def organs(folder: Path) -> Iterator[tuple[str, str, Mask, Mask, tuple[float, ...]]]:
    """(case, organ, the oncologist's mask, the radiographer's, spacing), cropped around both."""
    for file in sorted((folder / READERS[0]).glob("*/*.nrrd")):
        other = folder / READERS[1] / file.parent.name / file.name
        if other.is_file():
            image = SimpleITK.ReadImage(str(file))
            masks = [SimpleITK.GetArrayFromImage(each) > 0 for each in (image, SimpleITK.ReadImage(str(other)))]
            if all(mask.any() for mask in masks):
                (box,) = ndimage.find_objects((masks[0] | masks[1]).astype(np.uint8))
                wide = tuple(slice(max(0, axis.start - 2), axis.stop + 2) for axis in box)
                yield file.parent.name, file.stem, masks[0][wide], masks[1][wide], image.GetSpacing()[::-1]


def _row(case: str, organ: str, label: Mask, other: Mask, spacing: tuple[float, ...]) -> dict[str, Any]:
    found = displacement(label, other, spacing)
    assert found is not None, "both readers drew it, inside of the image"
    distances, areas = by_scipy(label, other, spacing)
    return {
        "case": case,
        "organ": organ,
        "voxel_mm": round(float(np.cbrt(np.prod(spacing))), 3),
        "mean_mm": round(found.mean_mm, 3),
        "scipy_mean_mm": round(float(np.average(distances, weights=areas)), 3),
        "absolute_mm": round(found.absolute_mm, 3),
        "scipy_absolute_mm": round(float(np.average(np.abs(distances), weights=areas)), 3),
    }


def by_scipy(label: Mask, other: Mask, spacing: tuple[float, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) distances of the border voxels to the other border, mm, positive where the label is wider; their areas."""
    areas = [_exposed(mask, spacing) for mask in (label, other)]
    borders = [each > 0 for each in areas]
    to_label, to_other = (ndimage.distance_transform_edt(~border, sampling=spacing) for border in borders)
    wider = np.where(other, -to_other, to_other)[borders[0]]
    wider_too = np.where(label, to_label, -to_label)[borders[1]]
    return np.concatenate([wider, wider_too]), np.concatenate([a[b] for a, b in zip(areas, borders, strict=True)])


def _exposed(mask: Mask, spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """How much of each voxel's faces lies on the mask's surface, mm²."""
    areas = np.zeros(mask.shape)
    for axis, step in enumerate(spacing):
        neighbours = ndimage.correlate1d(mask.astype(np.int8), [1, 0, 1], axis, mode="nearest")
        areas += (2 - neighbours) * mask * float(np.prod(spacing)) / step
    return areas
