"""What single labels are worth, given how far their cases are down-weighted and what the network finds."""

from __future__ import annotations

import torch
from torch import Tensor

from nnunetv2_dale.case_trust.doubted_cases import EXTRA, LARGE, MISSING, SMALL
from nnunetv2_dale.case_trust.far_objects import far_objects, given_classes


def class_probabilities(logits: Tensor, regions: bool = False) -> Tensor:
    """(B, K, *S) in float32 and without a graph: softmax over the classes, or a sigmoid per region."""
    scores = logits.detach()
    scores = scores if scores.dtype == torch.float64 else scores.float()
    return scores.sigmoid() if regions else scores.softmax(dim=1)


@torch.no_grad()
def label_weights(
    probabilities: Tensor,
    labels: Tensor,
    valid: Tensor | None,
    doubt: Tensor,
    regions: bool = False,
    objects: bool = True,
) -> Tensor:
    """Trust of each label, (B, 1, *S) in [0, 1]: below 1 where its case makes it suspect.

    Labels of a class that is too large are suspect in its own voxels, of one that is too small in all others; an object
    that is suspect in its voxels alone. There the weight is 1 − d · (1 − p²), d how far the case is down-weighted there
    and p the label's probability under the network; with several classes the smallest weight counts.

    Args:
        probabilities: (B, K, *S).
        labels: (B, 1, *S) label map with values below K, or (B, K, *S) regions.
        valid: (B, 1, *S) bool, False where the label is to be ignored; None: everywhere.
        doubt: (B, 4, K) in [0, 1], from `CaseDisplacement.doubt_of`.
        objects: whether any is above 0 for objects; without, these are not looked for.
    """
    gates = doubt.reshape(*doubt.shape, *[1] * (probabilities.ndim - 2)).to(probabilities.dtype)
    inside = given_classes(labels, probabilities.shape[1], regions)
    of_answer = torch.where(inside, probabilities, 1 - probabilities)
    suspicion = torch.where(inside, gates[:, LARGE], gates[:, SMALL])
    if objects:
        extra, missing = far_objects(probabilities, labels, valid, regions)
        for side, where in ((EXTRA, extra), (MISSING, missing)):
            suspicion = torch.maximum(suspicion, gates[:, side] * where)
    weights: Tensor = 1 - suspicion * (1 - of_answer.square())
    return weights.amin(dim=1, keepdim=True)
