"""The contrast of borders: by hand, against a loop over faces, and what must not change it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.testing import assert_close

from nnunetv2_dale.case_trust.border_contrast import border_contrast


def square(low: int, high: int) -> Tensor:
    label = torch.zeros(1, 1, 24, 24, dtype=torch.int16)
    label[..., low:high, low:high] = 1
    return label


def mean_contrast(image: Tensor, label: Tensor) -> float:
    summed, faces = border_contrast(image, label, None, 2)
    return float(summed[0, 1] / faces[0, 1])


def test_a_square_by_hand() -> None:
    """All change is on the 32 faces of a square of 8.

    Near it are the voxels within 3 of its border line (one of the edge, two around): a frame 14 wide on the outside
    with a hole 2 wide, 14² − 2² voxels. It has 2 · 14 · 13 faces without the hole, which takes away 2 · 2 · 1 inside of
    it and 8 on its rim.
    """
    summed, faces = border_contrast(3 * square(8, 16).float(), square(8, 16), None, 2)
    assert faces.tolist() == [[32, 32]]
    assert_close(summed / faces, torch.full((1, 2), 352 / 32))


@pytest.mark.parametrize("wider", [-2, -1, 1, 2])
def test_a_border_drawn_elsewhere_has_less_of_it(wider: int) -> None:
    noise = 0.2 * torch.randn(1, 1, 24, 24, generator=torch.Generator().manual_seed(1))
    image = square(8, 16).float() + noise
    assert mean_contrast(image, square(8 - wider, 16 + wider)) < 1 < mean_contrast(image, square(8, 16))


def test_brightness_and_contrast_of_the_image_do_not_matter() -> None:
    image = torch.randn(1, 1, 24, 24, generator=torch.Generator().manual_seed(2)) + square(8, 16)
    assert mean_contrast(7 * image - 100, square(8, 16)) == pytest.approx(mean_contrast(image, square(8, 16)), rel=1e-4)


@pytest.mark.parametrize("label", [square(8, 16), square(0, 0), square(0, 24)], ids=["square", "empty", "full"])
def test_a_constant_image_has_none(label: Tensor) -> None:
    summed, faces = border_contrast(torch.full((1, 1, 24, 24), 5.0), label, None, 2)
    assert summed.tolist() == [[0, 0]]
    assert (faces > 0).all() == (0 < label.sum() < 576)


@pytest.mark.parametrize("regions", [False, True], ids=["label map", "regions"])
@pytest.mark.parametrize("shape", [(9, 7), (5, 6, 7)], ids=["2D", "3D"])
def test_against_a_loop_over_faces(shape: tuple[int, ...], regions: bool) -> None:
    random = torch.Generator().manual_seed(len(shape))
    images = torch.randn(2, 3, *shape, generator=random, dtype=torch.float64)
    blocks = torch.rand(2, 3 if regions else 1, *shape, generator=random)
    smooth = torch.nn.functional.avg_pool2d(blocks, 3, 1, 1) if len(shape) == 2 else blocks
    labels = (smooth > 0.55).to(torch.int16) if regions else (3 * smooth).floor().to(torch.int16)
    valid = torch.rand(2, 1, *shape, generator=random) > 0.15
    summed, faces = border_contrast(images, labels, valid, 3, regions)
    for sample in range(2):
        expected = by_loop(images[sample].numpy(), labels[sample].numpy(), valid[sample, 0].numpy(), regions)
        np.testing.assert_allclose(summed[sample], expected[0], rtol=1e-9)
        np.testing.assert_allclose(faces[sample], expected[1])


def by_loop(image: NDArray, labels: NDArray, valid: NDArray, regions: bool) -> tuple[list[float], list[int]]:
    shape = valid.shape
    voxels = [voxel for voxel in itertools.product(*map(range, shape)) if valid[voxel]]

    def close(a: tuple[int, ...], b: tuple[int, ...], reach: int) -> bool:
        return max(abs(x - y) for x, y in zip(a, b, strict=True)) <= reach

    def differ(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
        return bool((labels[(slice(None), *a)] != labels[(slice(None), *b)]).any())

    edges = [a for a in voxels if any(close(a, b, 1) and differ(a, b) for b in voxels)]
    near = {a for a in voxels if any(close(a, b, 2) for b in edges)}
    around, of_class = [], ([[], [], []])
    for a in near:
        for axis in range(len(shape)):
            b = tuple(index + (place == axis) for place, index in enumerate(a))
            if b not in near:
                continue
            change = np.abs(image[(slice(None), *a)] - image[(slice(None), *b)]).mean()
            around.append(change)
            for k in range(3):
                inside = [labels[(k, *each)] == 1 if regions else labels[(0, *each)] == k for each in (a, b)]
                if inside[0] != inside[1]:
                    of_class[k].append(change)
    return [sum(each) / np.mean(around) for each in of_class], [len(each) for each in of_class]
