"""Displacement of cases: by hand, against a loop over cases, its memory, and the weights that follow."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from nnunetv2_dale.case_trust.border_contrast import border_contrast
from nnunetv2_dale.case_trust.case_displacement import CaseDisplacement, displacement_weights


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
    memory, expected = CaseDisplacement(0.8), {name: np.zeros((4, 3)) for name in "abc"}
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


def test_a_class_that_a_case_never_shows_is_not_judged():
    """Its δ is not known: it is in neither group, and counts in none."""
    nothing, same, wide = torch.zeros(1, 24, 24, dtype=torch.int16), _square(8, 16, 24), _square(6, 18, 24)
    memory = _observed([nothing, same, same, wide], [same] * 4)
    assert_close(_doubted(memory, 0.4, 0.8)[:, 1], torch.tensor([0.0, 0.0, 0.0, 1.0]))


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


@pytest.mark.parametrize("gate", [0.0, 0.5, 1.0])
def test_weights_of_a_label_too_large(gate):
    """1 − gate · (1 − p²) in its own voxels, p the label's probability; all others keep 1."""
    labels = torch.tensor([[[1, 1, 0, 2]]])
    probabilities = torch.tensor([[[0.1, 0.7, 0.2, 0.1], [0.4, 0.2, 0.3, 0.1], [0.5, 0.1, 0.5, 0.8]]])
    found = displacement_weights(probabilities, labels, torch.tensor([[0.0, gate, 0.0]]))
    assert_close(found, torch.tensor([[[1 - gate * 0.84, 1 - gate * 0.96, 1.0, 1.0]]]))


def test_weights_of_a_label_too_small():
    """In the voxels without it, by the probability that it is not there: 1 − 0.3 and 1 − 0.9, squared."""
    labels = torch.tensor([[[1, 0, 2]]])
    probabilities = torch.tensor([[[0.1, 0.2, 0.2], [0.4, 0.7, 0.1], [0.5, 0.1, 0.7]]])
    found = displacement_weights(probabilities, labels, torch.tensor([[0.0, -1.0, 0.0]]))
    assert_close(found, torch.tensor([[[1.0, 0.3**2, 0.9**2]]]))


def test_weights_of_regions_take_the_least_trusted():
    regions = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    probabilities = torch.tensor([[[0.6, 0.6], [0.2, 0.9]]])
    found = displacement_weights(probabilities, regions, torch.tensor([[1.0, 1.0]]), regions=True)
    assert_close(found, torch.tensor([[[0.04, 1.0]]]))


def _displaced(*wider: int) -> CaseDisplacement:
    """Cases whose squares are so many voxels wider than the network's square of 8."""
    drawn = [_square(8 - each, 16 + each, 24) for each in wider]
    return _observed(drawn, [_square(8, 16, 24)] * len(wider))


def _doubted(memory: CaseDisplacement, tolerance: float, explained: float, regions: bool = False) -> torch.Tensor:
    """Of all cases, (N, K); 0 where there are no groups."""
    cases = list(memory.state())
    memory.look_for_groups(tolerance, explained, regions)
    found = memory.doubt_of(cases)
    return torch.zeros(len(cases), 2) if found is None else found


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


@pytest.mark.parametrize("told", [False, True])
def test_groups_that_the_image_tells_apart_may_be_less_clear(told):
    """η of cases spread evenly is 0.75: too little by itself; with the image's word all is clear at `explained`."""
    displacements = np.linspace(-3, 3, 20)
    contrasts = np.where(displacements > 0, 0.8, 1.2) if told else np.ones(20)
    each = zip(displacements.tolist(), contrasts.tolist(), strict=True)
    state = {str(d): [[0, d], [1, 1], [0, c], [1, 1]] for d, c in each}
    memory = CaseDisplacement(0.5)
    memory.restore(state, torch.device("cpu"))
    eta = 1 - (displacements[:10].var() + displacements[10:].var()) / 2 / displacements.var()
    expected = (eta - 2 / math.pi) / (0.9 - 2 / math.pi) if told else 0
    assert_close(_doubted(memory, 0.1, 0.9)[:, 1], torch.tensor(expected * (displacements > 0)).float())
    assert memory.look_for_groups(0.1, 1.0) == []


def test_groups_closer_than_twice_the_tolerance_are_one():
    memory = _displaced(0, 2, 0, 0, 2)  # 2 voxels wider: (12² − 8²) / 44 = 1.82 of contour
    assert memory.look_for_groups(tolerance=0.92, explained=0.8) == []
    assert memory.doubt_of(["case 1"]) is None
    assert_close(_doubted(memory, tolerance=0.8, explained=0.8)[1], torch.tensor([0.0, 80 / 44 / 1.6 - 1]))


def test_cases_spread_evenly_are_no_groups():
    memory = _displaced(-3, -2, -1, 0, 1, 2, 3)
    assert memory.look_for_groups(tolerance=0.1, explained=0.9) == []
    assert memory.look_for_groups(tolerance=0.1, explained=0.5) != []


def test_a_background_has_no_groups_but_a_region_has():
    memory = _displaced(0, 2, 0)
    assert _doubted(memory, 0.4, 0.8)[1, 0] == 0
    assert _doubted(memory, 0.4, 0.8, regions=True)[1, 0] != 0


def test_a_class_that_no_case_shows_has_no_groups():
    labels = [_square(8 - wider, 16 + wider, 24) for wider in (0, 2, 0)]
    inside = _certain(_square(8, 16, 24))
    predicted = torch.cat([inside, torch.zeros_like(inside[:1])])
    memory = CaseDisplacement(0.5)
    given = torch.stack(labels)
    memory.observe(["a", "b", "c"], torch.zeros(given.shape), torch.stack([predicted] * 3), given, None)
    assert_close(_doubted(memory, 0.4, 0.8), torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]))


def test_groups_hold_until_they_are_looked_for_again_and_new_cases_are_trusted():
    memory = _displaced(0, 2, 0)
    memory.look_for_groups(0.4, 0.8)
    same = _square(8, 16, 24)
    for _ in range(20):
        given = torch.stack([same] * 2)
        memory.observe(["case 1", "new"], torch.zeros(given.shape), torch.stack([_certain(same)] * 2), given, None)
    found = memory.doubt_of(["new", "case 1", "never seen"])
    assert found is not None
    assert_close(found, torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    memory.look_for_groups(0.4, 0.8)
    assert memory.doubt_of(["new", "case 1"]) is None


def test_groups_are_told_in_a_sentence():
    assert _displaced(0, 2, 0, 0, 2).look_for_groups(0.4, 0.8) == [
        "label 1: 2 of 5 cases are drawn 1.8 voxels wider than the others, and are down-weighted (100%)"
    ]
    assert _displaced(2, 0, 2).look_for_groups(0.8, 0.8, regions=True)[-1] == (
        "region 1: 1 of 3 cases are drawn 1.8 voxels narrower than the others, and are down-weighted (14%)"
    )
    assert _displaced(0, 0, 0).look_for_groups(0.4, 0.8) == []
    assert CaseDisplacement(0.5).look_for_groups(0.4, 0.8) == []
