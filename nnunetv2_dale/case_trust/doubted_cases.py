"""Which cases are down-weighted, in which class and where: what the ways to look at them find, and a sentence on it.

Groups (`case_groups`), groups that overlap (`joint_groups`), single cases and moved labels (`single_cases`), objects
(`far_objects`); of the ways that look at the same labels, the one that finds most counts.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nnunetv2_dale.case_trust.case_groups import LOWER, group_doubt, welch
from nnunetv2_dale.case_trust.far_objects import object_doubt
from nnunetv2_dale.case_trust.joint_groups import joint_doubt
from nnunetv2_dale.case_trust.single_cases import shift_doubt, single_case_doubt

OWN_SUMS = 6  # Σ (y − p), edge voxels, Σ of the contrasts of faces, faces; Σ p in the class's own voxels, their number
LEARNED = 0.4  # mean probability of a class in its own voxels, as in `learned` of DALE's settings
FEWEST_FACES = 10.0  # below that many (and one edge voxel), a case has shown too little of a class
LARGE, SMALL, EXTRA, MISSING = range(4)  # of a class: its own voxels, all others, objects of the label, of the network
WHY = {
    EXTRA: "have objects that neither the network nor the image shows",
    MISSING: "lack objects that the network finds and the image shows",
}


def doubted_cases(
    sums: Tensor, tolerance: float, explained: float, regions: bool, fewest: int
) -> tuple[Tensor, list[str]]:
    """Return how far each case is down-weighted, (N, 4, K) in [0, 1], see `LARGE` and so on; and sentences on it.

    Never in a class that the network has not learned: before the mean probability in its own voxels, of all cases, is
    `LEARNED`. Until then the displacement is the size of the object, and every label of the class is unlikely.

    Args:
        sums: (N, S, K) of `CaseDisplacement`, on the host.
        tolerance, explained, regions, fewest: see `CaseDisplacement.look_for_groups`.
    """
    first = 0 if regions else 1  # of label maps the background is what the others are not
    found, size = sums[:, OWN_SUMS - 2 : OWN_SUMS].sum(0)
    known = torch.where((found >= LEARNED * size) & (size > 0), 0.0, torch.nan)
    of_classes = contrasts(sums) + known
    displacement, contrast = (displacements(sums) + known)[:, first:], of_classes[:, first:]
    signed = joint_doubt(displacement, contrast, tolerance, explained, fewest)
    moved = torch.zeros_like(signed)
    for k, (values, shown) in enumerate(zip(displacement.unbind(1), contrast.unbind(1), strict=True)):
        for found in (
            group_doubt(values, shown, tolerance, explained, fewest),
            single_case_doubt(values, shown, tolerance, fewest),
        ):
            signed[:, k] = torch.where(found.abs() > signed[:, k].abs(), found, signed[:, k])
        moved[:, k] = shift_doubt(shown, explained, fewest)
    signed = torch.where(displacement.isnan(), 0.0, signed)
    moved = moved * (1 - signed.abs())  # of a label that is too large the image shows as little
    doubt = torch.zeros(len(sums), 4, sums.shape[2])
    doubt[:, LARGE, first:], doubt[:, SMALL, first:] = torch.maximum(signed, moved), torch.maximum(-signed, moved)
    doubt[:, EXTRA], doubt[:, MISSING] = object_doubt(sums[:, OWN_SUMS:], of_classes)
    name = "region" if regions else "label"
    sentences = []
    for k in range(len(signed[0])):
        of_class = f"{name} {k + first}"
        sentences += _on_borders(of_class, displacement[:, k], contrast[:, k], signed[:, k], moved[:, k])
        for side, why in WHY.items():
            of_side = doubt[:, side, k + first]
            if (number := int((of_side > 0).sum())) > 0:
                sentences.append(
                    f"{of_class}: {number} of {len(sums)} cases {why}; these are down-weighted ({of_side.max():.0%})"
                )
    return doubt, sentences


def displacements(sums: Tensor) -> Tensor:
    """(N, K) δ in voxels of contour; NaN where a case has shown less than one edge voxel."""
    return torch.where(sums[:, 1] >= 1, sums[:, 0] / sums[:, 1], torch.nan)


def contrasts(sums: Tensor) -> Tensor:
    """(N, K) of the borders; NaN where a case has shown fewer than `FEWEST_FACES` faces."""
    return torch.where(sums[:, 3] >= FEWEST_FACES, sums[:, 2] / sums[:, 3], torch.nan)


def of_all_ranks(parts: list[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The sums of each case over what several processes have seen of it, in the order of their names."""
    return {
        case: torch.stack([part[case] for part in parts if case in part]).sum(0) for case in sorted(set().union(*parts))
    }


def _on_borders(of_class: str, values: Tensor, contrast: Tensor, signed: Tensor, moved: Tensor) -> list[str]:
    """A sentence for each side on which cases are drawn off, and one on those that are moved."""
    sentences, others = [], (signed == 0) & (moved == 0)
    for which, side, how in (
        (signed > 0, signed, "drawn {off:.1f} voxels wider than the others"),
        (signed < 0, -signed, "drawn {off:.1f} voxels narrower than the others"),
        (moved > 0, moved, "drawn where the image shows no border"),
    ):
        if which.any():
            off = float((values[which].nanmean() - values[others].nanmean()).abs())
            why = ""
            if welch(contrast[others], contrast[which]) >= LOWER:
                theirs, of_others = float(contrast[which].nanmean()), float(contrast[others].nanmean())
                why = f": their borders have a contrast of {theirs:.2f} in the image, the others' {of_others:.2f}"
            sentences.append(
                f"{of_class}: {int(which.sum())} of {len(values)} cases are {how.format(off=off)}, and are "
                f"down-weighted ({float(side[which].max()):.0%}){why}"
            )
    return sentences
