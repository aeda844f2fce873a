"""Displacement of cases: by hand, against a loop over cases, its memory, and the weights that follow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from nnunetv2_dale.case_trust.border_contrast import border_contrast
from nnunetv2_dale.case_trust.case_displacement import CaseDisplacement, in_plane_axes
from nnunetv2_dale.case_trust.doubted_cases import LARGE, SMALL


def _square(low: int, high: int, size: int = 12) -> torch.Tensor:
    labels = torch.zeros(1, size, size, dtype=torch.int16)
    labels[:, low:high, low:high] = 1
    return labels


def _certain(labels: torch.Tensor) -> torch.Tensor:
    return torch.stack([labels[0] == 0, labels[0] == 1]).float()


def _observed(given: list[torch.Tensor], drawn_by_network: list[torch.Tensor], memory: float = 0.5) -> CaseDisplacement:
    found = CaseDisplacement(memory)
    names = [f"case {number}" for number in range(len(given))]
    nothing_to_see = torch.zeros(len(given), 1, *given[0].shape[1:])
    found.observe(
        names, nothing_to_see, torch.stack([_certain(each) for each in drawn_by_network]), torch.stack(given), None
    )
    return found


def test_a_label_drawn_one_voxel_wider_by_hand():
    """A square of 6 against one of 4: 36 − 16 = 20 voxels too many, on a contour of 20: displaced by 1."""
    sums = _observed([_square(3, 9)], [_square(4, 8)]).state()["case 0"]
    assert sums[0][1] / sums[1][1] == 1.0


def test_traces_of_a_class_far_from_any_border_are_no_displacement():
    """Nor is a sample that does not show the class; both leave what is near its border."""
    right, memory = _square(20, 24, 48), CaseDisplacement(0.5)
    traces = torch.full((2, 48, 48), 0.02)
    traces[1, 14:30, 14:30] = right[0, 14:30, 14:30]  # near the border, voxels 15 to 28, the network is right
    traces[0] = 1 - traces[1]
    for labels in (right, torch.zeros_like(right)):
        memory.observe(["a"], torch.zeros(1, 1, 48, 48), traces[None], labels[None], None)
    assert memory.state()["a"][0][1] == 0.0
    assert memory.state()["a"][1][1] == 0.5 * 12  # the square's own edge voxels, one visit ago


def test_against_a_loop_over_visits():
    """Sums of each case, decayed once per batch in which it occurs; regions and an ignored voxel included."""
    random = torch.Generator().manual_seed(0)
    memory, expected = CaseDisplacement(0.8), {name: np.zeros((12, 3)) for name in "abc"}
    for cases in ("ab", "cc", "ba", "aa"):
        probabilities = torch.rand(2, 3, 6, 5, generator=random)
        regions = (torch.rand(2, 3, 6, 5, generator=random) > 0.5).float()
        valid = torch.rand(2, 1, 6, 5, generator=random) > 0.1
        images = torch.rand(2, 1, 6, 5, generator=random)
        memory.observe(list(cases), images, probabilities, regions, valid, regions=True)
        contrast, faces = border_contrast(images, regions, valid, 3, regions=True)
        for name in set(cases):
            expected[name] *= 0.8
        for sample, name in enumerate(cases):
            before, shown = expected[name][0].copy(), np.zeros(3)
            expected[name][2] += contrast[sample].numpy()
            expected[name][3] += faces[sample].numpy()
            for y in range(6):
                for x in range(5):
                    if not valid[sample, 0, y, x]:
                        continue
                    window = [
                        regions[sample, :, j, i]
                        for j in range(max(y - 1, 0), min(y + 2, 6))
                        for i in range(max(x - 1, 0), min(x + 2, 5))
                        if valid[sample, 0, j, i]
                    ]
                    edge = any(not torch.equal(each, window[0]) for each in window)
                    given = regions[sample, :, y, x].numpy()
                    expected[name][0] += given - probabilities[sample, :, y, x].numpy()
                    expected[name][1] += given * edge
                    expected[name][4] += given * probabilities[sample, :, y, x].numpy()
                    expected[name][5] += given
                    shown += given * edge
            expected[name][0] = np.where(shown > 0, expected[name][0], before)
    state = memory.state()
    for name in "abc":
        np.testing.assert_allclose(state[name], expected[name], rtol=1e-4, atol=1e-4)


def test_a_batch_that_overflowed_shows_nothing():
    """Of its case alone: the other sample of the batch counts."""
    memory = _observed([_square(3, 9)] * 2, [_square(4, 8)] * 2)
    before = memory.state()
    overflowed, fine = torch.full((2, 12, 12), float("nan")), _certain(_square(4, 8))
    images = torch.zeros(2, 1, 12, 12)
    memory.observe(
        ["case 0", "case 1"], images, torch.stack([overflowed, fine]), torch.stack([_square(3, 9)] * 2), None
    )
    for name, factor in (("case 0", 0.5), ("case 1", 1.5)):
        np.testing.assert_allclose(memory.state()[name], factor * np.array(before[name]))


def test_it_continues_from_its_state():
    first = _observed([_square(3, 9), _square(4, 8)], [_square(4, 8)] * 2)
    second = CaseDisplacement(0.5)
    second.restore(first.state(), torch.device("cpu"))
    for memory in (first, second):
        labels = torch.stack([_square(4, 8)] * 2)
        images = torch.zeros(labels.shape)
        memory.observe(["case 1", "new"], images, torch.stack([_certain(_square(4, 8))] * 2), labels, None)
    assert first.state() == second.state()
    empty = CaseDisplacement(0.5)
    empty.restore({}, torch.device("cpu"))
    assert empty.state() == {}


def _displaced(*wider: int) -> CaseDisplacement:
    """Cases whose squares are so many voxels wider than the network's square of 8."""
    drawn = [_square(8 - each, 16 + each, 24) for each in wider]
    return _observed(drawn, [_square(8, 16, 24)] * len(wider))


def _doubted(memory: CaseDisplacement, tolerance: float, explained: float, regions: bool = False) -> torch.Tensor:
    """Of all cases, (N, K): above 0 where a class is too large; 0 where there are no groups."""
    cases = list(memory.state())
    memory.look_for_groups(tolerance, explained, regions)
    found = memory.doubt_of(cases)
    return torch.zeros(len(cases), 2) if found is None else found[:, LARGE] - found[:, SMALL]


def test_where_the_image_shows_nothing_the_smaller_of_two_clear_groups_is_distrusted():
    found = _doubted(_displaced(0, 2, 0, 0, 2), tolerance=0.4, explained=0.8)
    assert_close(found, torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]]))
    found = _doubted(_displaced(2, 2, 0), 0.4, 0.8)
    assert_close(found, torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, -1.0]]))


@pytest.mark.parametrize("border_of_the_image", [0, 2])
def test_the_group_whose_borders_the_image_does_not_show_is_distrusted(border_of_the_image):
    """Also where it is the larger one, and where both are of one size."""
    image = torch.randn(1, 24, 24, generator=torch.Generator().manual_seed(0)) * 0.1
    image += _square(8 - border_of_the_image, 16 + border_of_the_image, 24)
    for wider in ((0, 2, 0, 0, 2), (2, 0, 2, 2, 0), (0, 0, 2, 2)):
        memory, labels = CaseDisplacement(0.5), torch.stack([_square(8 - each, 16 + each, 24) for each in wider])
        probabilities = torch.stack([_certain(_square(8, 16, 24))] * len(wider))
        memory.observe([str(each) for each in range(len(wider))], image.expand(len(wider), 1, 24, 24), probabilities,
                       labels, None)  # fmt: skip
        wrong = torch.tensor([each != border_of_the_image for each in wider])
        sign = 1.0 if border_of_the_image == 0 else -1.0
        assert_close(_doubted(memory, 0.4, 0.8)[:, 1], sign * wrong)
        assert "borders have a contrast of" in memory.look_for_groups(0.4, 0.8)[0]


def test_groups_hold_until_they_are_looked_for_again_and_new_cases_are_trusted():
    memory = _displaced(0, 2, 0)
    memory.look_for_groups(0.4, 0.8)
    same = _square(8, 16, 24)
    for _ in range(20):
        given = torch.stack([same] * 2)
        memory.observe(["case 1", "new"], torch.zeros(given.shape), torch.stack([_certain(same)] * 2), given, None)
    found = memory.doubt_of(["new", "case 1", "never seen"])
    assert found is not None
    assert_close(found[:, LARGE], torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    memory.look_for_groups(0.4, 0.8)
    assert memory.doubt_of(["new", "case 1"]) is None


def test_groups_are_told_in_a_sentence():
    assert _displaced(0, 2, 0, 0, 2).look_for_groups(0.4, 0.8) == [
        "label 1: 2 of 5 cases are drawn 1.8 voxels wider than the others, and are down-weighted (100%)"
    ]
    assert _displaced(2, 0, 2).look_for_groups(0.8, 0.8, regions=True)[-1] == (
        "region 1: 1 of 3 cases are drawn 1.8 voxels narrower than the others, and are down-weighted (14%)"
    )
    assert _displaced(0, 2, 0, 0, 2).look_for_groups(0.4, explained=1.0) == []
    assert _displaced(0, 0, 0).look_for_groups(0.4, 0.8) == []
    assert CaseDisplacement(0.5).look_for_groups(0.4, 0.8) == []


def test_a_class_that_crops_seldom_show_does_not_drift():
    """40 visits without it, three voxels of traces of it near another label in each."""
    shown, memory = _square(8, 16, 24), CaseDisplacement(0.9)
    three = torch.stack([shown[0] == 0, shown[0] == 1, torch.zeros(24, 24)]).float()
    traces = three.clone()
    traces[2, 8:16, 8:16], traces[1, 8:16, 8:16] = 3 / 64, 61 / 64
    images = torch.zeros(1, 1, 24, 24)
    memory.observe(["a"], images, three[[0, 2, 1]][None], 2 * shown[None], None)
    for _ in range(40):
        memory.observe(["a"], images, traces[None], shown[None], None)
    excess, contour = memory.state()["a"][:2]
    assert excess[2] == 0
    assert 0 < contour[2] < 1


@pytest.mark.parametrize(
    ("spacing", "axes"),
    [(None, None), ((10.0, 3.0), None), ((10.0, 3.0, 3.5), None), ((9.0, 3.0, 3.0), (3, 4)), ((1.0, 1.0, 4.0), (2, 3))],
)
def test_slices_are_thick_from_three_times_the_other_spacings_on(spacing, axes):
    assert in_plane_axes(spacing) == axes


@pytest.mark.parametrize(("spacing", "delta"), [((1.0, 1.0, 1.0), 112 / 184), ((3.0, 1.0, 1.0), 1.0)])
def test_the_last_of_thick_slices_is_no_contour(spacing, delta):
    """A box of four slices drawn one voxel wider in each: 4 · (64 − 36) voxels too many, on 4 · 28 of contour.

    Through neighbours across slices, the inner 36 of the first and of the last are contour as well.
    """
    label, drawn = (torch.zeros(1, 1, 12, 20, 20, dtype=torch.int16) for _ in range(2))
    label[..., 4:8, 6:14, 6:14], drawn[..., 4:8, 7:13, 7:13] = 1, 1
    memory = CaseDisplacement(0.5, spacing)
    memory.observe(["a"], torch.zeros(label.shape), torch.cat([1 - drawn, drawn], dim=1).float(), label, None)
    excess, contour = memory.state()["a"][:2]
    assert excess[1] / contour[1] == pytest.approx(delta)


def test_all_ranks_down_weight_what_all_have_seen(monkeypatch):
    """Each has seen a part of the cases, in another order; alone they would find opposite groups."""
    alone, *ranks = (CaseDisplacement(0.5, ranks=several) for several in (False, True, True))
    first, second = ("abcd", (0, 2, 2, 2)), ("efag", (0, 0, 0, 0))
    for memory, (names, wider) in zip((alone, *ranks), (first, first, second), strict=True):
        given = torch.stack([_square(8 - each, 16 + each, 24) for each in wider])
        memory.observe(
            list(names), torch.zeros(given.shape), torch.stack([_certain(_square(8, 16, 24))] * 4), given, None
        )
    assert _doubted(alone, 0.4, 0.8)[:, 1].tolist() == [-1, 0, 0, 0]
    seen = [dict(zip(each._rows, each._sums, strict=True)) for each in ranks]

    def gather(parts, own):
        parts[:] = seen
        assert set(own) in map(set, seen)

    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    monkeypatch.setattr("torch.distributed.all_gather_object", gather)
    for memory in ranks:
        memory.look_for_groups(0.4, 0.8)
        found = memory.doubt_of(list("abcdefg"))
        assert found[:, LARGE, 1].tolist() == [0, 1, 1, 1, 0, 0, 0]
        assert not found[:, SMALL].any()
    whole = ranks[0].state()
    assert whole == ranks[1].state()
    assert set(whole) == set("abcdefg")
    resumed = [CaseDisplacement(0.5, ranks=True) for _ in range(2)]
    for rank, memory in enumerate(resumed):
        monkeypatch.setattr("torch.distributed.get_rank", lambda rank=rank: rank)
        memory.restore(whole, torch.device("cpu"))
    seen = [dict(zip(each._rows, () if each._sums is None else each._sums, strict=True)) for each in resumed]
    assert resumed[0].state() == whole  # each case once


def test_objects_are_remembered_from_the_first_look_on():
    """The network finds a second square, which one of the cases lacks."""
    cases = list("abcdefg")
    image, both = torch.zeros(7, 1, 48, 48), torch.zeros(7, 1, 48, 48, dtype=torch.int16)
    both[..., 4:12, 4:12], both[..., 30:36, 30:36] = 1, 1
    image += 3 * both + 0.1 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    drawn, given = torch.stack([_certain(each) for each in both]), both.clone()
    given[1, :, 30:36, 30:36] = 0
    memory = CaseDisplacement(0.9)
    memory.observe(cases, image, drawn, given, None)
    assert memory.look_for_groups(0.4, 0.8) == []
    memory.observe(cases, image, drawn, given, None)
    (sentence,) = memory.look_for_groups(0.4, 0.8)
    assert sentence.startswith("label 1: 1 of 7 cases lack objects")
    assert memory.has_objects
    assert memory.doubt_of(["b", "a"])[:, :, 1].tolist() == [[0, 0, 0, 1], [0, 0, 0, 0]]


def test_a_memory_from_before_there_were_objects_goes_on():
    memory = CaseDisplacement(0.5)
    memory.restore({"a": [[1.0, 2.0]] * 4}, torch.device("cpu"))
    assert memory.state() == {"a": [[1.0, 2.0]] * 4 + [[0.0, 0.0]] * 8}
