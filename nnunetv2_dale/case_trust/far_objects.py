"""Whole objects that a label has or lacks: what lies far from everything that the network finds, or far from the label.

Not in the paper. A contour that is drawn elsewhere moves a label by a few voxels. An object that nobody drew, one too
many, or one of another class lies further off:

    F⁺_k = {y = k, no p_k > ½ within 4 voxels},   F⁻_k = {p_k > ½, no y = k within 4 voxels}.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nnunetv2_dale.case_trust.border_contrast import border_contrast
from nnunetv2_dale.case_trust.case_groups import VISIBLE
from nnunetv2_dale.dale.label_edges import within

FAR = 4  # voxels
FEWEST_VOXELS = 15.0  # of a set, over the visits that are remembered
FENCE = 3.0  # times the distance of the quartiles that lies between the bulk of the cases and one far out of it
SETS = 6  # sums on F⁺ and F⁻


@torch.no_grad()
def far_objects(
    probabilities: Tensor, labels: Tensor, valid: Tensor | None, regions: bool = False
) -> tuple[Tensor, Tensor]:
    """F⁺ and F⁻, (B, K, *S) bool each; never of the background of label maps.

    Ignored voxels are in neither set. They may hold any class, so what is near them is not missing.

    Args:
        probabilities: (B, K, *S).
        labels: (B, 1, *S) label map with values below K, or (B, K, *S) regions.
        valid: (B, 1, *S) bool, False where the label is to be ignored; None: everywhere.
    """
    found = probabilities > 0.5
    given = given_classes(labels, probabilities.shape[1], regions)
    if not regions:
        found[:, 0] = given[:, 0] = False
    extra = given & ~within(FAR, found)
    if valid is None:
        return extra, found & ~within(FAR, given)
    return extra & valid, found & valid & ~within(FAR, given | ~valid)


@torch.no_grad()
def object_sums(images: Tensor, probabilities: Tensor, labels: Tensor, valid: Tensor | None, regions: bool) -> Tensor:
    """What one batch shows of such objects, (B, `SETS`, K).

    Of F⁺ and of F⁻ the voxels, the contrasts of their faces, summed, and the number of faces (`border_contrast` with
    the set as a region).
    """
    rows = []
    for objects in far_objects(probabilities, labels, valid, regions):
        contrast, faces = border_contrast(images, objects, valid, objects.shape[1], regions=True)
        rows += [objects.flatten(2).sum(2).to(contrast.dtype), contrast, faces]
    return torch.stack([row.to(probabilities.dtype) for row in rows], dim=1)


def object_doubt(sums: Tensor, contrast: Tensor) -> tuple[Tensor, Tensor]:
    """(N, K) in [0, 1] each: how far a case's F⁺, and its F⁻, are down-weighted.

    With c the median contrast of the class's borders, c_F that of the set's and r = (c_F − 1) / (c − 1), and f the size
    that no set in the bulk of the cases has (`far_out`):

        F⁺: clip(|F⁺| / f − 1, 0, 1) · clip(2 − 8 r, 0, 1),     the image shows no object there,
        F⁻: clip(|F⁻| / f − 1, 0, 1) · clip(4 r − 2, 0, 1),     it shows one as clearly as those that are labelled;

    0 where the image shows no borders of the class. Where many cases have such sets it is the network that errs: at the
    ends of an organ, in slices of which readers may draw one more or less, or early in its training.

    Args:
        sums: (N, `SETS`, K) moving sums of each case.
        contrast: (N, K) of its borders; NaN where not known.
    """
    of_class = contrast.double().nanmedian(dim=0).values
    may = of_class > VISIBLE
    found = []
    for of_set, (factor, start) in zip(sums.double().chunk(2, dim=1), ((-8, 2), (4, -2)), strict=True):
        voxels, changes, faces = of_set.unbind(1)
        relative = (changes / faces.clamp_min(1e-9) - 1) / (of_class - 1)
        doubt = (voxels / far_out(voxels) - 1).clamp(0, 1) * (factor * relative + start).clamp(0, 1)
        found.append(torch.where(may & (faces > 0), doubt, 0.0))
    return found[0], found[1]


def far_out(voxels: Tensor) -> Tensor:
    """(K,): from what size on a set of a case lies far out of the bulk of all cases; at least `FEWEST_VOXELS`.

    Tukey's outer fence, 3 times the distance of the quartiles above the upper one, of roots: those of counts are about
    normal.

    Args:
        voxels: (N, K) of each case, float64.
    """
    lower, upper = voxels.sqrt().quantile(torch.tensor([0.25, 0.75], dtype=voxels.dtype), dim=0)
    fence: Tensor = (upper + FENCE * (upper - lower)).square()
    return fence.clamp_min(FEWEST_VOXELS)


def given_classes(labels: Tensor, classes: int, regions: bool) -> Tensor:
    """(B, K, *S) bool: which voxels have which class."""
    if regions:
        return labels > 0.5
    each = torch.arange(classes, device=labels.device)
    return labels == each.reshape(1, -1, *[1] * (labels.ndim - 2))
