"""The maps of a whole case agree with the method's own function, and slices are images of their own where asked."""

from __future__ import annotations

import numpy as np
import torch

from nnunetv2_dale.dale.fuzziness import fuzziness_map
from nnunetv2_dale.dale.label_intensities import LabelIntensities
from nnunetv2_dale.pages.case_fuzziness import case_fuzziness


def _case() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    label = np.zeros((4, 12, 10), np.int16)
    label[1:3, 3:9, 2:7] = 1
    return rng.normal(size=(2, 4, 12, 10)).astype(np.float32), label


def test_a_volume_is_one_image_with_a_patch_of_equal_depth_in_mm() -> None:
    image, label = _case()
    maps = case_fuzziness(image, label, (4.0, 1.0, 1.0), 4)
    assert maps.patch == (1, 4, 4)
    images, labels = torch.from_numpy(image)[None], torch.from_numpy(label)[None, None]
    bounds = LabelIntensities(32).bounds(images, labels)
    expected = fuzziness_map(images, labels, (1, 4, 4), bin_bounds=bounds)
    assert np.array_equal(maps.combined(), expected.combined[0, 0].numpy())
    assert maps.intensity_bins == "near_labels"
    printed = case_fuzziness(image, label, (4.0, 1.0, 1.0), 4, intensity_bins="equal")
    assert np.array_equal(printed.combined(), fuzziness_map(images, labels, (1, 4, 4)).combined[0, 0].numpy())
    assert printed.intensity_bins == "equal"


def test_the_patch_of_a_small_image_is_that_of_the_trainer() -> None:
    image, label = _case()
    assert case_fuzziness(image, label, (4.0, 1.0, 1.0), 16, slicewise=True, fewest_patches=5).patch == (2, 2)


def test_slicewise_equals_slice_after_slice() -> None:
    image, label = _case()
    maps = case_fuzziness(image, label, (4.0, 1.0, 1.0), 4, slicewise=True, intensity_bins="equal")
    for z in range(4):
        one = image[:, z : z + 1], label[z : z + 1]
        single = case_fuzziness(*one, (999.0, 1.0, 1.0), 4, intensity_bins="equal")
        assert maps.patch == single.patch == (4, 4)
        assert np.allclose(maps.edges()[z], single.edges()[0])
        assert np.allclose(maps.combined()[z], single.combined()[0])


def test_without_a_label_and_with_one_that_is_ignored() -> None:
    image, label = _case()
    bare = case_fuzziness(image, None, (1.0, 1.0, 1.0), 4)
    assert np.array_equal(bare.combined(), bare.entropy())
    assert (
        bare.intensity_bins == case_fuzziness(image, np.zeros_like(label), (1.0, 1.0, 1.0), 4).intensity_bins == "equal"
    )
    ignored = case_fuzziness(image, label, (1.0, 1.0, 1.0), 4, ignore_label=1)
    assert not ignored.edges().any()
