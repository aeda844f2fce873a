"""Wider, narrower, shifted: what a known change measures."""

from __future__ import annotations

import numpy as np
import pytest

from nnunetv2_dale.audit.displacement import displacement
from tests.audit.fixtures import ellipsoid

SHAPE = (40, 40, 40)


@pytest.mark.parametrize(("radius", "expected"), [(12, 2.0), (8, -2.0), (10, 0.0)])
def test_a_ball_of_another_radius(radius: float, expected: float) -> None:
    referees = ellipsoid(SHAPE, (20, 20, 20), (10, 10, 10))
    found = displacement(ellipsoid(SHAPE, (20, 20, 20), (radius,) * 3), referees, (1, 1, 1))
    assert found is not None
    assert found.mean_mm == pytest.approx(expected, abs=0.25)
    assert found.shift_mm == pytest.approx((0, 0, 0), abs=1e-9)
    assert (found.widest is None) == (expected <= 0)
    assert (found.narrowest is None) == (expected >= 0)


def test_spacing_counts_in_mm() -> None:
    referees = ellipsoid((14, 40, 40), (7, 20, 20), (10 / 3, 10, 10))
    found = displacement(np.roll(referees, 1, axis=0), referees, (3.0, 1.0, 1.0))
    assert found is not None
    assert found.shift_mm == pytest.approx((3.0, 0, 0))
    assert found.mean_mm == pytest.approx(0, abs=1e-9)
    assert found.dice_moved == 1.0 > found.dice


def test_quantiles_of_a_half_that_is_wider() -> None:
    referees = np.zeros((20, 20, 20), bool)
    referees[:, :, :10] = True
    label = referees.copy()
    label[:, :5, 10:14] = True  # a quarter of the plane lies 4 mm outside
    found = displacement(label, referees, (1, 1, 1))
    assert found is not None
    assert found.quantiles_mm[0] == 0
    assert max(found.quantiles_mm) == pytest.approx(4.0)
    assert found.widest is not None
    assert label[found.widest]
    assert not referees[found.widest]


def test_no_surface_gives_nothing() -> None:
    mask = ellipsoid(SHAPE, (20, 20, 20), (5, 5, 5))
    assert displacement(mask, np.zeros_like(mask), (1, 1, 1)) is None
    assert displacement(np.ones_like(mask), mask, (1, 1, 1)) is None
