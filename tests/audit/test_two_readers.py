"""Two real readers: one as the prediction of the other. Sizes and signs beside SciPy's distances of border voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.audit_study.two_readers import by_scipy, compare_readers, summary
from nnunetv2_dale.audit.displacement import displacement
from tests.audit.fixtures import ellipsoid

SPACING = (2.0, 1.0, 1.0)


def test_the_oracle_by_hand() -> None:
    """A cuboid that is 2 mm wider at its four sides along the last axes, and not at its ends."""
    other = np.zeros((16, 30, 30), bool)
    other[4:12, 10:20, 10:20] = True
    label = np.zeros_like(other)
    label[4:12, 8:22, 8:22] = True
    distances, areas = by_scipy(label, other, SPACING)
    assert np.quantile(distances, [0.5, 1]) == pytest.approx([2, 8**0.5])
    assert by_scipy(other, label, SPACING)[0].min() == pytest.approx(-(8**0.5))
    assert areas.sum() == pytest.approx(2 * (14**2 + 10**2) + 4 * 16 * (14 + 10))


@pytest.mark.parametrize(("radius", "other_radius"), [(14, 11), (11, 14), (12, 12)])
def test_balls_of_two_sizes(radius: float, other_radius: float) -> None:
    label, other = (ellipsoid((24, 40, 40), (12, 20, 20), (each / 2, each, each)) for each in (radius, other_radius))
    found, (distances, areas) = displacement(label, other, SPACING), by_scipy(label, other, SPACING)
    assert found is not None
    assert found.mean_mm == pytest.approx(np.average(distances, weights=areas), abs=0.3)
    assert found.mean_mm == pytest.approx(radius - other_radius, abs=0.4)


def test_real_readers(shared_data: Path) -> None:
    found = summary(compare_readers(shared_data, most_voxels=20_000))
    assert found["organs"] > 30
    assert found["correlation_of_means"] > 0.95
    assert found["correlation_without_sign"] > 0.95
    assert found["largest_difference_of_means_in_voxels"] < 0.5
    assert found["equal_signs"] >= found["clear_signs"] - 1 > 10
