"""Does the image fit the label: its intensities, here and some steps away, and the anatomy around?

A label that was moved against its image fits better elsewhere. Around the middle of a class lies much the same anatomy
in every case; around a label that is flipped, or of another case, it does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import median_abs_deviation

from nnunetv2_dale.audit.audit_task import AuditedClass
from nnunetv2_dale.audit.sentences import length_unit
from nnunetv2_dale.audit.without_network.intensities import steps
from nnunetv2_dale.audit.without_network.places import in_directions
from nnunetv2_dale.audit.without_network.records import LEAST_CASES, CaseRecord, Hint, high_values
from nnunetv2_dale.statistics.usual_values import Floats

LEAST_DIFFERENCE = 0.02  # of correlations and log odds, within which cases are alike
LEAST_SPREAD = 0.3
MOST_OF_ONE = 6.0  # spreads that one class counts: it does not speak for the whole label
Patches = NDArray[np.float32]


def similarity(patches: Patches) -> Floats:
    """(N,) correlation of each image around a class with the median of all: images (N, P, P, P or 1)."""
    rows = _standard(patches.reshape(len(patches), -1))
    template = _standard(np.median(rows, axis=0, keepdims=True))[0]
    return np.asarray(rows @ template / template.size, np.float64)


def _standard(rows: Patches) -> Patches:
    centred = rows - rows.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(centred.std(axis=1, keepdims=True), 1e-6))


def appearance_hints(records: Sequence[CaseRecord], classes: Sequence[AuditedClass], step_mm: float) -> Iterator[Hint]:
    """Labels that were moved against their image, or that do not belong to it."""
    gains, weights, misfits = [], [], []
    for item in classes:
        having = [number for number, record in enumerate(records) if item.key in record.classes]
        rows = [records[number].classes[item.key] for number in having]
        if len(having) >= LEAST_CASES:
            fits = np.stack([row.fits for row in rows]).astype(np.float64)
            here = fits[:, [fits.shape[1] // 2]]
            alike = similarity(np.stack([row.around for row in rows]))[:, None]
            gains.append(_of_all(_deviations(fits - here), having, len(records)))
            weights.append(expected_gains(fits - here))
            misfits += [_of_all(_deviations(-each), having, len(records)) for each in (here, alike)]
    if not gains:
        return
    gain, misfit = _together(gains, weights), _together(misfits, [np.ones(1)] * len(misfits))[:, 0]
    vectors = steps(records[0].planar)[np.argmax(gain, axis=1)] * step_mm
    moved, unlike = high_values(gain.max(axis=1), LEAST_SPREAD), high_values(misfit, LEAST_SPREAD)
    for number, record in enumerate(records):
        if record.classes:
            yield from _hints(number, record, vectors[number], float(moved[number]), float(unlike[number]))


def _hints(number: int, record: CaseRecord, vector: Floats, moved: float, unlike: float) -> Iterator[Hint]:
    voxel = max(record.classes.values(), key=lambda each: each.voxels).parts[0].voxel
    size, unit = float(np.linalg.norm(vector)), length_unit(record)
    words = f"the label fits its image better {size:.0f} {unit} away ({in_directions(vector)})"
    yield Hint(number, "", "shifted", moved, voxel, size, unit, words)
    words = (
        "the image around the label looks unlike that of the other cases: the label may be flipped, or belong to "
        "another case"
    )
    yield Hint(number, "", "other_case", unlike, voxel, float(len(record.classes)), "classes", words)


def expected_gains(gains: Floats) -> Floats:
    """(V,) by how many spreads each move would gain more than usual if the label had been moved by its opposite.

    A right label loses by a move. One that was moved gains what it had lost, by the way back. A long class
    says little of moves along it.

    Args:
        gains: (N, V) of all cases; the moves are those of `intensities.steps`, whose opposites stand in reverse.
    """
    lost, spread = -np.median(gains, axis=0), _spread(gains)
    return np.asarray(np.maximum(lost + lost[::-1], 0) / spread)


def _deviations(values: Floats) -> Floats:
    """(N, V) in spreads from the median of all cases."""
    apart = values - np.median(values, axis=0)
    return np.asarray(np.clip(apart / _spread(values), -MOST_OF_ONE, MOST_OF_ONE))


def _spread(values: Floats) -> Floats:
    """(V,) the median absolute deviation, as a normal distribution's standard deviation."""
    return np.asarray(np.maximum(median_abs_deviation(values, scale="normal"), LEAST_DIFFERENCE))


def _of_all(values: Floats, having: Sequence[int], count: int) -> Floats:
    result = np.full((count, values.shape[1]), np.nan)
    result[having] = values
    return result


def _together(deviations: Sequence[Floats], weights: Sequence[Floats]) -> Floats:
    """(N, V) the weighted sum over classes, as if of one: of a case without any class 0."""
    stacked, each = np.stack(deviations), np.stack(weights)[:, None]
    squares = np.sum(np.where(np.isfinite(stacked), each**2, 0), axis=0)
    return np.asarray(np.nansum(stacked * each, axis=0) / np.sqrt(np.where(squares > 0, squares, 1)))
