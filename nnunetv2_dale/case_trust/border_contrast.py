"""Does a label's border lie where the image has one? How much the image changes across it, against what is around.

Not in the paper. A contour that is drawn wider or narrower than the object lies where the image changes no more than
anywhere near. Of the faces between a voxel of class k and one of another class,

    contrast_k = mean |I_a − I_b| over these faces / mean |I_a − I_b| over all faces within 2 voxels of any border,

about 1 for a border that lies anywhere. What is around it divides out how bright, contrasted and noisy the image is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nnunetv2_dale.dale.label_edges import label_edges, within


@torch.no_grad()
def border_contrast(
    images: Tensor, labels: Tensor, valid: Tensor | None, classes: int, regions: bool = False
) -> tuple[Tensor, Tensor]:
    """Return what the borders of one batch show.

    Args:
        images: (B, C, *S); of several channels, which nnU-Net has normalised, the mean change counts.
        labels: (B, 1, *S) label map with values below K, or (B, K, *S) regions.
        valid: (B, 1, *S) bool, False where the label is to be ignored; None: everywhere.
        classes: K.
    Returns:
        (B, K) each: the contrasts of a class's faces, summed, and the number of its faces. In a constant image every
        contrast is 0.
    """
    near = within(2, label_edges(labels, valid)).to(images.dtype)
    if valid is not None:
        near = near * valid
    around, count = images.new_zeros(len(images)), images.new_zeros(len(images))
    changes, faces = (images.new_zeros(labels.shape) for _ in range(2))
    for axis in range(2, images.ndim):
        (image_a, image_b), (label_a, label_b), (near_a, near_b), (changes_a, changes_b), (faces_a, faces_b) = (
            (each.narrow(axis, 0, each.shape[axis] - 1), each.narrow(axis, 1, each.shape[axis] - 1))
            for each in (images, labels, near, changes, faces)
        )
        change, counted = (image_a - image_b).abs().mean(dim=1, keepdim=True), near_a * near_b
        around += (change * counted).flatten(1).sum(1)
        count += counted.flatten(1).sum(1)
        face = counted * (label_a != label_b)
        for here in (changes_a, changes_b):
            here += change * face
        for here in (faces_a, faces_b):
            here += face
    mean = (around / count.clamp_min(1))[:, None].clamp_min(torch.finfo(images.dtype).tiny)
    if regions:  # either side of a face has counted
        return (changes.flatten(2).sum(2) / 2) / mean, faces.flatten(2).sum(2) / 2
    index, none = labels.flatten(1).long(), images.new_zeros(len(images), classes)
    summed, number = (none.scatter_add(1, index, each.flatten(1)) for each in (changes, faces))
    return summed / mean, number
