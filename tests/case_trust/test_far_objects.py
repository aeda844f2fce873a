"""Objects that only one of label and network has: by hand, against a loop, and how far they are down-weighted."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from nnunetv2_dale.case_trust.border_contrast import border_contrast
from nnunetv2_dale.case_trust.far_objects import far_objects, far_out, object_doubt, object_sums


def one_hot(labels: Tensor, classes: int) -> Tensor:
    return torch.stack([labels[:, 0] == k for k in range(classes)], dim=1).float()


def scene() -> tuple[Tensor, Tensor, Tensor]:
    """Image, label and what the network draws: an object that both have, one of the label's, one of the network's."""
    label, drawn = (torch.zeros(1, 1, 48, 48, dtype=torch.int16) for _ in range(2))
    label[..., 4:12, 4:12], drawn[..., 3:13, 3:13] = 1, 1
    label[..., 4:12, 30:36] = 2
    drawn[..., 30:36, 30:36] = 1
    image = 3 * (drawn > 0) + 0.2 * torch.randn(1, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    return image, label, one_hot(drawn, 3)


def test_what_only_one_of_them_has_by_hand() -> None:
    _, label, drawn = scene()
    extra, missing = far_objects(drawn, label, None)
    assert extra.flatten(2).sum(2).tolist() == [[0, 0, 48]]
    assert missing.flatten(2).sum(2).tolist() == [[0, 36, 0]]
    assert extra[0, 2, 4:12, 30:36].all()
    assert missing[0, 1, 30:36, 30:36].all()


def test_a_border_that_is_moved_by_less_than_four_voxels_leaves_nothing() -> None:
    label, drawn = (torch.zeros(1, 1, 30, 30, dtype=torch.int16) for _ in range(2))
    label[..., 10:20, 10:20], drawn[..., 6:24, 6:24] = 1, 1
    assert not any(each.any() for each in far_objects(one_hot(drawn, 2), label, None))
    drawn[..., 5:24, 6:24] = 1  # by one more, on one side
    assert far_objects(one_hot(drawn, 2), label, None)[1].sum() == 18


@pytest.mark.parametrize("regions", [False, True], ids=["label map", "regions"])
@pytest.mark.parametrize("shape", [(14, 11), (6, 8, 12)], ids=["2D", "3D"])
def test_against_a_loop_over_voxels(shape: tuple[int, ...], regions: bool) -> None:
    random = torch.Generator().manual_seed(len(shape))
    probabilities = (6 * torch.rand(2, 3, *shape, generator=random)).softmax(1)
    sparse = torch.rand(2, 3, *shape, generator=random) > 0.97
    labels = sparse.to(torch.int16) if regions else (sparse[:, :1] + 2 * (sparse[:, 1:2] & ~sparse[:, :1])).short()
    valid = torch.rand(2, 1, *shape, generator=random) > 0.02
    found = [each.numpy() for each in far_objects(probabilities, labels, valid, regions)]
    voxels = list(itertools.product(*map(range, shape)))
    for sample, k in itertools.product(range(2), range(3)):
        given = {v for v in voxels if (labels[(sample, k, *v)] == 1 if regions else labels[(sample, 0, *v)] == k)}
        predicted = {v for v in voxels if probabilities[(sample, k, *v)] > 0.5}
        ignored = {v for v in voxels if not valid[(sample, 0, *v)]}
        if not regions and k == 0:
            given, predicted = set(), set()

        def far(v: tuple[int, ...], others: set[tuple[int, ...]]) -> bool:
            return all(max(abs(a - b) for a, b in zip(v, each, strict=True)) > 4 for each in others)

        extra = {v for v in given - ignored if far(v, predicted)}
        missing = {v for v in predicted - ignored if far(v, given | ignored)}
        assert {tuple(v) for v in np.argwhere(found[0][sample, k]).tolist()} == extra
        assert {tuple(v) for v in np.argwhere(found[1][sample, k]).tolist()} == missing


def test_sums_of_a_batch() -> None:
    image, label, drawn = scene()
    sums = object_sums(image, 0.9 * drawn, label, None, regions=False)[0]
    extra, missing = far_objects(0.9 * drawn, label, None)
    for rows, objects in ((sums[:3], extra), (sums[3:], missing)):
        contrast, faces = border_contrast(image, objects, None, 3, regions=True)
        assert_close(rows, torch.stack([objects.flatten(2).sum(2).float(), contrast, faces], dim=1)[0])
    assert sums[4, 1] / sums[5, 1] > 3 > 1.3 > sums[1, 2] / sums[2, 2]  # the image shows the network's alone


def sums_of(extra: tuple[float, float] = (0, 1), missing: tuple[float, float] = (0, 1)) -> Tensor:
    """Of one class: voxels and contrast of each set in the first of nine cases; the others have none."""
    sums = torch.zeros(9, 6, 1)
    sums[0, :, 0] = torch.tensor([row for voxels, contrast in (extra, missing) for row in (voxels, 40 * contrast, 40)])
    return sums


@pytest.mark.parametrize(
    ("extra", "missing", "expected"),
    [
        ((30, 1.25), (0, 1), (1, 0)),  # r = .25 / 2 = 1/8
        ((30, 1.375), (0, 1), (0.5, 0)),
        ((30, 1.5), (0, 1), (0, 0)),
        ((15, 1.0), (0, 1), (0, 0)),
        ((22.5, 1.0), (30, 2.5), (0.5, 1)),  # r = 3/4
        ((0, 1), (30, 2.0), (0, 0)),
        ((0, 1), (18, 3.0), (0, 0.2)),
    ],
)
def test_how_far_objects_are_down_weighted_by_hand(extra: tuple[float, float], missing, expected) -> None:
    """Where the borders of the class have a contrast of 3."""
    found = object_doubt(sums_of(extra, missing), torch.full((9, 1), 3.0))
    assert [float(each[0]) for each in found] == pytest.approx(expected)
    assert not any(each[1:].any() for each in found)


@pytest.mark.parametrize("contrast", [1.05, float("nan")])
def test_never_where_the_image_shows_no_borders(contrast: float) -> None:
    found = object_doubt(sums_of((90, 1.0), (90, 3.0)), torch.full((9, 1), contrast))
    assert not any(each.any() for each in found)


def test_what_many_cases_have_is_an_error_of_the_network() -> None:
    """Ends of an organ of which readers draw a slice more or less: 43 of 128 right cases were down-weighted once."""
    sums = sums_of(missing=(10_000, 3.0)).repeat(5, 1, 1)
    ends = torch.linspace(0, 20, 45).square()  # up to 400 voxels
    sums[:, 3, 0] = torch.maximum(ends, sums[:, 3, 0])
    sums[:, 4:, 0] = torch.tensor([120.0, 40.0])
    doubt = object_doubt(sums, torch.full((45, 1), 3.0))[1]
    assert (doubt > 0).flatten().nonzero().flatten().tolist() == [0, 9, 18, 27, 36]


def test_the_bulk_of_the_cases_by_hand() -> None:
    """Roots 2, 4, 6, 8, 10: quartiles 4 and 8, so 8 + 3 * 4 = 20."""
    roots = torch.tensor([10.0, 2.0, 4.0, 8.0, 6.0], dtype=torch.float64)
    assert far_out(torch.stack([roots.square(), 0 * roots], dim=1)).tolist() == [400, 15]


def test_a_class_that_no_case_shows_has_no_objects() -> None:
    found = object_doubt(torch.zeros(3, 6, 2), torch.full((3, 2), float("nan")))
    assert [each.tolist() for each in found] == [[[0.0, 0.0]] * 3] * 2
