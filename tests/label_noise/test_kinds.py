"""Properties of every kind of noise, on small random labels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from nnunetv2_dale.label_noise.agreement import Change, changed_fractions, changes, hd95_mm
from nnunetv2_dale.label_noise.drawing import calibrate
from nnunetv2_dale.label_noise.markov_boundary import walk_boundary
from nnunetv2_dale.label_noise.moved_contours import shift
from nnunetv2_dale.label_noise.noise_model import KINDS, UNLABELLED, NoiseModel, drop_components, swap_components
from nnunetv2_dale.label_noise.random_streams import case_generator, smooth_uniform
from nnunetv2_dale.masks.overlap import dice

IGNORE = 9
WITH_AN_AMOUNT = sorted(set(KINDS) - {UNLABELLED})
MM = (2.0, 1.0, 1.0)
few = settings(max_examples=12, deadline=None)


def _model(kind: str, amount: float, seed: int = 3, bias: float = 0.8) -> NoiseModel:
    return NoiseModel((kind,), (amount,), (1.0,), seed, classes=(1, 2), ignore_label=IGNORE, bias=bias)


@st.composite
def labels(draw: st.DrawFn) -> np.ndarray:
    """Blobs of two classes and some ignored voxels; one slice or several, sometimes no foreground."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    shape = draw(st.sampled_from([(1, 14, 15), (6, 12, 13)]))
    field = ndimage.gaussian_filter(rng.standard_normal(shape), 2)
    label = np.zeros(shape, np.int16)
    if draw(st.integers(0, 5)) > 0:
        label[field > np.quantile(field, 0.8)] = 1
        label[field < np.quantile(field, 0.1)] = 2
    label[:, :2, :3] = IGNORE
    return label


@few
@given(label=labels(), kind=st.sampled_from(WITH_AN_AMOUNT))
def test_amount_0_is_the_identity(label: np.ndarray, kind: str) -> None:
    assert np.array_equal(_model(kind, 0.0).corrupt(label, MM, "a"), label)
    assert np.array_equal(_model(kind, 1.0).corrupt(label, MM, "a", scale=0.0), label)


@settings(max_examples=40, deadline=None)
@given(label=labels(), kind=st.sampled_from(WITH_AN_AMOUNT), part=st.floats(0.0, 1.0))
@example(label=np.pad(np.ones((1, 5, 5), np.int16), ((0, 0), (3, 3), (3, 3))), kind="smooth", part=2.2e-309)
def test_labels_stay_in_the_label_set_and_ignored_voxels_stay(label: np.ndarray, kind: str, part: float) -> None:
    amount = part * min(KINDS[kind].highest, 30.0)
    noisy = _model(kind, amount).corrupt(label, MM, "a")
    assert noisy.shape == label.shape
    assert noisy.dtype == label.dtype
    assert set(np.unique(noisy)) <= {0, 1, 2, IGNORE}
    assert np.array_equal(noisy == IGNORE, label == IGNORE)
    if not ((label == 1) | (label == 2)).any():
        assert np.array_equal(noisy, label)


@few
@given(label=labels(), amounts=st.tuples(st.floats(0, 5), st.floats(0, 5)))
@pytest.mark.parametrize(("kind", "bias", "grows"), [("dilate", 0.5, True), ("boundary", 1.0, True), ("erode", 0.5, False), ("boundary", 0.0, False)])  # fmt: skip  # noqa: E501
def test_growth_and_shrinkage_are_monotone(kind: str, bias: float, grows: bool, label: np.ndarray, amounts) -> None:
    factor = 8 if kind == "boundary" else 1
    less, more = (_model(kind, factor * a, bias=bias).corrupt(label, MM, "a") for a in sorted(amounts))
    stages = [np.isin(stage, (1, 2)) for stage in (label, less, more)]
    for before, after in itertools.pairwise(stages):
        smaller, larger = (before, after) if grows else (after, before)
        assert not (smaller & ~larger).any()


@few
@given(label=labels(), probabilities=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_more_missing_contains_less_missing(label: np.ndarray, probabilities: tuple[float, float]) -> None:
    low, high = sorted(probabilities)
    less, more = (drop_components(label, p, np.random.default_rng(0)) for p in (low, high))
    assert not ((more > 0) & (less == 0)).any()
    assert not drop_components(label, 1.0, np.random.default_rng(0)).any()


def test_dilation_and_erosion_of_a_ball_move_the_radius() -> None:
    grid = np.stack(np.meshgrid(*[np.arange(-16, 17)] * 3, indexing="ij"))
    label = (np.sqrt((grid**2).sum(0)) <= 8).astype(np.int16)
    for kind, radius in (("dilate", 10.5), ("erode", 5.5)):
        noisy = _model(kind, 2.5).corrupt(label, (1.0, 1.0, 1.0), "a") > 0
        equivalent = (noisy.sum() * 3 / 4 / np.pi) ** (1 / 3)
        assert equivalent == pytest.approx(radius, abs=0.45)


def test_dilation_is_measured_in_mm() -> None:
    label = np.zeros((9, 21, 21), np.int16)
    label[4, 10, 10] = 1
    noisy = _model("dilate", 6.99).corrupt(label, (7.0, 1.0, 1.0), "a") > 0
    reach = [int(np.flatnonzero(noisy.any(axis=axes)).max()) for axes in ((1, 2), (0, 2))]
    assert reach[0] - 4 <= 1
    assert reach[1] - 10 in (6, 7)


def test_boundary_step_matches_a_loop_over_voxels() -> None:
    """One certain growth step, then one certain shrinkage: face neighbours, by hand."""
    label = np.zeros((1, 5, 5), np.int16)
    label[0, 2, 2] = 1
    grown = walk_boundary(label, (1.0, 1.0, 1.0), 1, np.random.default_rng(0), bias=1.0, variance=1.0, smoothing=0.0)
    cross = np.array([[0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]])
    assert np.array_equal(grown[0], cross)
    shrunk = walk_boundary(grown, (1.0, 1.0, 1.0), 1, np.random.default_rng(0), bias=0.0, variance=1.0, smoothing=0.0)
    assert np.array_equal(shrunk, label)


@pytest.mark.parametrize("grow", [True, False])
def test_a_flat_contour_moves_equally_fast_in_mm_along_all_axes(grow: bool) -> None:
    spacing_mm = (4.0, 2.0, 1.0)
    for axis in range(3):
        label = np.zeros((60, 60, 60), np.int16)
        label[(slice(None),) * axis + (slice(0, 30),)] = 1
        rng = np.random.default_rng(axis)
        walked = walk_boundary(label, spacing_mm, 1, rng, bias=float(grow), variance=0.4, smoothing=0.0)
        moved_mm = spacing_mm[axis] * abs(int(walked.sum()) - int(label.sum())) / 60**2
        assert moved_mm == pytest.approx(0.4, rel=0.15)


def test_unbiased_walk_keeps_the_mean_volume_and_biased_ones_do_not() -> None:
    label = np.zeros((1, 40, 40), np.int16)
    label[:, 10:30, 10:30] = 1
    volumes = {
        bias: np.mean(
            [(walk_boundary(label, (1.0,) * 3, 40, np.random.default_rng(s), bias) > 0).mean() for s in range(30)]
        )
        for bias in (0.1, 0.5, 0.9)
    }
    assert volumes[0.5] == pytest.approx(0.25, abs=0.02)
    assert volumes[0.1] < 0.2
    assert volumes[0.9] > 0.3


def test_shift_moves_by_the_distance_in_the_mean_and_loses_what_leaves() -> None:
    label = np.zeros((41, 41, 41), np.int16)
    label[20, 20, 20] = 1
    distances = []
    for seed in range(60):
        moved = np.argwhere(shift(label, (2.0, 1.0, 1.0), 9.0, np.random.default_rng(seed)))[0]
        distances.append(np.linalg.norm((moved - 20) * [2, 1, 1]))
    assert np.mean(distances) == pytest.approx(9.0, abs=0.3)
    assert not shift(label, (1.0,) * 3, 400.0, np.random.default_rng(0)).any()


def test_polygons_keep_a_square_roughly_and_holes() -> None:
    label = np.zeros((2, 30, 30), np.int16)
    label[:, 3:27, 3:27] = 1
    label[:, 10:20, 10:20] = 0
    noisy = _model("smooth", 6.0).corrupt(label, (1.0,) * 3, "a")
    assert 0.8 < dice(label > 0, noisy > 0) < 1
    assert not noisy[:, 13:17, 13:17].any()
    assert not np.array_equal(noisy[0], noisy[1])  # slices are drawn one by one


def test_swap_keeps_the_foreground_and_changes_every_component_when_certain() -> None:
    label = np.zeros((1, 8, 8), np.int16)
    label[:, :3, :3], label[:, 5:, 5:] = 1, 2
    noisy = swap_components(label, 1.0, np.random.default_rng(0), (1, 2))
    assert np.array_equal(noisy, np.where(label > 0, 3 - label, 0))


def test_same_seed_same_noise_whatever_was_drawn_before() -> None:
    label = np.zeros((5, 16, 16), np.int16)
    label[1:4, 4:12, 4:12] = 1
    for kind in KINDS:
        model = _model(kind, 0.5 if KINDS[kind].highest == 1 else 3.0)
        first = model.corrupt(label, MM, "a")
        model.corrupt(label, MM, "b")
        assert np.array_equal(first, model.corrupt(label, MM, "a"))
    one, other = (_model("dilate", 1.5, seed).corrupt(label, MM, "a") for seed in (1, 2))
    assert not np.array_equal(one, other)


def test_mixture_draws_kinds_by_weight() -> None:
    model = NoiseModel(("dilate", "erode"), (1.0, 2.0), (3.0, 1.0), 0, (1,))
    drawn = [model.draw(f"case{number}") for number in range(400)]
    assert np.mean([kind == "dilate" for kind, _ in drawn]) == pytest.approx(0.75, abs=0.07)
    assert dict(drawn) == {"dilate": 1.0, "erode": 2.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kinds": ("melt",)}, "boundary, dilate"),
        ({"amounts": (1.0, 2.0)}, "1 kinds, 2 amounts"),
        ({"amounts": (-1.0,)}, "amount of dilate"),
        ({"weights": (0.0,)}, "weights"),
        ({"seed": -1}, "seed"),
        ({"bias": 1.5}, "bias"),
        ({"kinds": ("swap",), "classes": (1,)}, "two foreground classes"),
    ],
)
def test_bad_settings_are_named(change: dict[str, object], message: str) -> None:
    good = {"kinds": ("dilate",), "amounts": (1.0,), "weights": (1.0,), "seed": 0, "classes": (1, 2)}
    with pytest.raises(ValueError, match=message):
        NoiseModel(**{**good, **change})  # type: ignore[arg-type]


def test_smooth_field_is_uniform_and_does_not_depend_on_the_window() -> None:
    shape, window = (20, 40, 40), (slice(3, 9), slice(10, 31), slice(0, 40))
    whole = tuple(slice(0, size) for size in shape)
    field = np.concatenate([smooth_uniform(shape, whole, MM, np.random.default_rng(s)).ravel() for s in range(8)])
    assert np.allclose(np.quantile(field, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.03)
    full = smooth_uniform(shape, whole, MM, np.random.default_rng(0))
    assert np.allclose(smooth_uniform(shape, window, MM, np.random.default_rng(0)), full[window])


def test_case_generators_are_independent() -> None:
    draws = {case_generator(s, c, p).random() for s in (0, 1) for c in ("a", "b") for p in ("x", "y")}
    assert len(draws) == 8


def test_calibration_finds_the_scale_and_reports_what_it_cannot_reach() -> None:
    found = calibrate(lambda scale: 1 / (1 + scale), 0.8, 100.0)
    assert found.scale == pytest.approx(0.25, abs=0.01)
    assert found.reached
    stuck = calibrate(lambda scale: 0.9, 0.5, 100.0)
    assert stuck.dice == 0.9
    assert not stuck.reached
    jump = calibrate(lambda scale: 1.0 if scale < 0.3 else 0.6, 0.75, 100.0)
    assert jump.dice == 0.6


def test_agreement_by_hand() -> None:
    clean, noisy = np.zeros((1, 3, 20), np.int16), np.zeros((1, 3, 20), np.int16)
    clean[0, 1, 2:6], noisy[0, 1, 4:10] = 1, 1
    noisy[0, 1, 4] = 2
    assert dice(clean > 0, noisy > 0) == pytest.approx(2 * 2 / 10)
    counted = np.bincount(changes(clean, noisy).ravel(), minlength=4)
    assert counted[Change.ADDED] == 4
    assert counted[Change.REMOVED] == 2
    assert counted[Change.RECLASSIFIED] == 1
    # from noisy to clean: 0, 0, 1, 2, 3, 4 voxels of 2 mm; the 95th percentile lies at 3.75 voxels
    assert hd95_mm(clean > 0, noisy > 0, (1.0, 1.0, 2.0)) == pytest.approx(7.5)
    assert hd95_mm(clean < 0, noisy < 0, MM) == 0.0
    assert np.isnan(hd95_mm(clean > 0, noisy < 0, MM))
    inside, outside = changed_fractions(np.array([True, False, True]), np.array([True, True, False]))
    assert (inside, outside) == (0.5, 1.0)


@few
@given(label=labels())
def test_unlabelled_is_the_ignore_label_everywhere(label: np.ndarray) -> None:
    assert (_model(UNLABELLED, 1.0).corrupt(label, MM, "a") == IGNORE).all()


def test_the_surface_of_a_single_slice_is_its_contour_along_any_axis() -> None:
    """A disc moved by two pixels: HD95 2, however the slice lies in its volume."""
    rows, columns = np.indices((30, 30))
    disc = (rows - 14) ** 2 + (columns - 12) ** 2 <= 64
    for axis in range(3):
        spacing = tuple(np.insert([1.0, 1.0], axis, 5.0))
        clean, noisy = np.expand_dims(disc, axis), np.expand_dims(np.roll(disc, 2, 1), axis)
        assert hd95_mm(clean, noisy, spacing) == 2.0
