"""What labels are worth: by hand, for labels that are too large or too small, and for objects."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from nnunetv2_dale.case_trust.case_trust import label_weights
from nnunetv2_dale.case_trust.doubted_cases import EXTRA, MISSING


def _weights(probabilities, labels, distrust, regions=False):
    """Of classes that are too large (above 0) or too small, (B, K)."""
    doubt = torch.stack([distrust.clamp_min(0), (-distrust).clamp_min(0), *[0 * distrust] * 2], dim=1)
    return label_weights(probabilities, labels, None, doubt, regions)


@pytest.mark.parametrize("gate", [0.0, 0.5, 1.0])
def test_weights_of_a_label_too_large(gate):
    """1 − gate · (1 − p²) in its own voxels, p the label's probability; all others keep 1."""
    labels = torch.tensor([[[1, 1, 0, 2]]])
    probabilities = torch.tensor([[[0.1, 0.7, 0.2, 0.1], [0.4, 0.2, 0.3, 0.1], [0.5, 0.1, 0.5, 0.8]]])
    found = _weights(probabilities, labels, torch.tensor([[0.0, gate, 0.0]]))
    assert_close(found, torch.tensor([[[1 - gate * 0.84, 1 - gate * 0.96, 1.0, 1.0]]]))


def test_weights_of_a_label_too_small():
    """In the voxels without it, by the probability that it is not there: 1 − 0.3 and 1 − 0.9, squared."""
    labels = torch.tensor([[[1, 0, 2]]])
    probabilities = torch.tensor([[[0.1, 0.2, 0.2], [0.4, 0.7, 0.1], [0.5, 0.1, 0.7]]])
    found = _weights(probabilities, labels, torch.tensor([[0.0, -1.0, 0.0]]))
    assert_close(found, torch.tensor([[[1.0, 0.3**2, 0.9**2]]]))


def test_weights_of_regions_take_the_least_trusted():
    regions = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    probabilities = torch.tensor([[[0.6, 0.6], [0.2, 0.9]]])
    found = _weights(probabilities, regions, torch.tensor([[1.0, 1.0]]), regions=True)
    assert_close(found, torch.tensor([[[0.04, 1.0]]]))


@pytest.mark.parametrize("regions", [False, True], ids=["label map", "regions"])
def test_weights_of_objects_are_below_1_in_their_voxels_alone(regions):
    """The label has an object at 20 that the network calls background by .7, and lacks one that it finds by .8 at 2."""
    labels = torch.zeros(1, 1, 1, 30, dtype=torch.int16)
    labels[..., 20:23], labels[..., 10:12] = 1, 1
    foreground = torch.full((1, 1, 1, 30), 0.1)
    foreground[..., 2:4], foreground[..., 10:12], foreground[..., 20:23] = 0.8, 0.9, 0.3
    doubt, expected = torch.zeros(1, 4, 1 if regions else 2), torch.ones(1, 1, 1, 30)
    doubt[:, EXTRA, -1], doubt[:, MISSING, -1] = 0.5, 1.0
    probabilities = foreground if regions else torch.cat([1 - foreground, foreground], dim=1)
    expected[..., 20:23], expected[..., 2:4] = 1 - 0.5 * (1 - 0.3**2), 0.2**2
    assert_close(label_weights(probabilities, labels, None, doubt, regions), expected)
    assert_close(label_weights(probabilities, labels, None, doubt, regions, objects=False), torch.ones(1, 1, 1, 30))
