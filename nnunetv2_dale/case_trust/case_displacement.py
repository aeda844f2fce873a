"""How far the labels of each case lie outside or inside of the network's own contour, over the course of training.

Not in the paper. A single unlikely label is as often a hard boundary as a wrong one. What tells them apart is the
case: a reader who draws too wide does so all around the lesion, and at every visit of that case. Its displacement is

    δ_k = Σ (y_k − p_k) / (edge voxels of class k),

in voxels of contour: positive where the label of class k is larger than what the network has learned from all cases,
negative where it is smaller; a moving average over the visits of the case. The sum is over voxels near a border: far
from any, the traces of a class that a network leaves everywhere would add up to a displacement.

Where readers agree, δ is about the same for all cases. Where cases fall into two clear groups, one of them is doubted,
in the class and on the side where it differs: the one whose borders the image shows less; where that is not certain,
the smaller one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nnunetv2_dale.case_trust.border_contrast import border_contrast
from nnunetv2_dale.case_trust.case_groups import doubted_group, otsu_split
from nnunetv2_dale.dale.fuzziness import label_edges, within

OF_ONE_GROUP = 2 / math.pi  # Otsu's η of a normal distribution
NEAR = 4  # voxels from a label edge that count in δ
SUMS = 4  # of each case: Σ (y − p), edge voxels, Σ of the contrasts of faces, faces


class CaseDisplacement:
    """The memory of all cases' displacements and border contrasts, per class (label maps: with background) or region.

    Args:
        memory: in [0, 1): what a visit leaves of the visits before it.
    """

    def __init__(self, memory: float) -> None:
        self.memory = memory
        self._rows: dict[str, int] = {}
        self._sums: Tensor | None = None  # (cases, SUMS, K), moving
        self._doubted: Tensor | None = None  # (cases, K) distrust of one of two groups

    @torch.no_grad()
    def observe(
        self,
        cases: Sequence[str],
        images: Tensor,
        probabilities: Tensor,
        labels: Tensor,
        valid: Tensor | None,
        regions: bool = False,
    ) -> None:
        """Remember what one batch shows. A case that is in the batch more than once counts as one visit.

        A sample shows nothing of a class whose probabilities are not finite (half precision): it would stay for good.

        Args:
            cases: the name of each sample's case, (B,).
            images: (B, C, *S), what the network was shown.
            probabilities: (B, K, *S).
            labels: (B, 1, *S) label map with values below K, or (B, K, *S) regions.
            valid: (B, 1, *S) bool, False where the label is to be ignored; None: everywhere.
        """
        edges = label_edges(labels, valid)
        near = within(NEAR, edges)
        counts, at_edge = ((each if valid is None else each & valid).to(probabilities.dtype) for each in (near, edges))
        predicted = (probabilities * counts).flatten(2).sum(2)
        if regions:
            given, contour = ((labels * each).flatten(2).sum(2) for each in (counts, at_edge))
        else:
            index = labels.flatten(1).long()
            given, contour = (
                torch.zeros_like(predicted).scatter_add(1, index, each.flatten(1)) for each in (counts, at_edge)
            )
        contrast, faces = border_contrast(images, labels, valid, probabilities.shape[1], regions)
        shown = torch.stack([given - predicted, contour, contrast, faces], dim=1)
        shown = torch.where(predicted.isfinite()[:, None], shown, 0.0)
        rows = self._rows_of(cases, predicted)
        assert self._sums is not None
        self._sums[self._index(list(dict.fromkeys(cases)), predicted.device)] *= self.memory
        self._sums.index_add_(0, rows, shown.to(self._sums.dtype))

    @torch.no_grad()
    def look_for_groups(self, tolerance: float, explained: float, regions: bool = False, fewest: int = 1) -> list[str]:
        """Find the classes whose cases fall into two groups of δ, for `doubt_of`; reads from the device.

        How far one of them is doubted grows with the part of the variance of δ that lies between the groups, Otsu's η:
        from 0 at `explained` to 1 a quarter of the way from there to 1; where the image has told which group is right,
        from 0 at that of a single normal distribution to 1 at `explained`. And with their distance, from 0 at twice
        `tolerance` to 1 at four times.

        Args:
            tolerance: in voxels of contour.
            explained: in [0, 1]; at 1 there never are groups.
            fewest: cases that the smaller group must have; a few cases fall into two groups by chance.
        Returns:
            a sentence for each class that has groups.
        """
        self._doubted = None
        if self._sums is None or explained >= 1:
            return []
        found = otsu_split(self._ratio(0, 1))
        doubted_side, by_contrast = doubted_group(found.side, contrast := self._ratio(2, 3))
        side = doubted_side * (found.side == doubted_side)
        apart = (found.distance / (2 * max(tolerance, 1e-6)) - 1).clamp(0, 1)
        clear = (4 * (found.explained - explained) / (1 - explained)).clamp(0, 1)
        clear_in_image = ((found.explained - OF_ONE_GROUP) / max(explained - OF_ONE_GROUP, 1e-6)).clamp(0, 1)
        clear = torch.where(by_contrast, clear_in_image, clear)
        enough = torch.minimum((found.side > 0).sum(dim=0), (found.side < 0).sum(dim=0)) >= fewest
        distrust = side * apart * clear * enough
        if not regions:
            distrust[:, 0] = 0
        classes = distrust.any(dim=0).nonzero().flatten().tolist()
        if classes:
            self._doubted = distrust
        sentences = []
        for index in classes:
            doubted = distrust[:, index]
            wider = "wider" if doubted.sum() > 0 else "narrower"
            why = ""
            if by_contrast[index]:
                theirs, others = (float(contrast[:, index][each].nanmean()) for each in (doubted != 0, doubted == 0))
                why = f": their borders have a contrast of {theirs:.2f} in the image, the others' {others:.2f}"
            sentences.append(
                f"{'region' if regions else 'label'} {index}: {int((doubted != 0).sum())} of {len(self._rows)} cases "
                f"are drawn {float(found.distance[index]):.1f} voxels {wider} than the others, and are "
                f"down-weighted ({float(doubted.abs().amax()):.0%}){why}"
            )
        return sentences

    @torch.no_grad()
    def doubt_of(self, cases: Sequence[str]) -> Tensor | None:
        """(B, K) in [−1, 1]: how far cases of one of two groups are doubted, 0 in the other.

        Positive: the labels of the class are too large. Background of label maps has 0; so has a class that a case has
        not shown yet.

        As of the last `look_for_groups`; None where it found none. A case first seen since then, or never, has 0.
        """
        if self._doubted is None:
            return None
        last = len(self._doubted)
        with_others = torch.cat([self._doubted, self._doubted.new_zeros(1, self._doubted.shape[1])])
        rows = [min(self._rows.get(case, last), last) for case in cases]
        return with_others[torch.tensor(rows).to(with_others.device, non_blocking=True)]

    @property
    def has_groups(self) -> bool:
        """Whether the last `look_for_groups` found any."""
        return self._doubted is not None

    def _ratio(self, above: int, below: int) -> Tensor:
        """Of two of the sums, (cases, K); NaN where a case has not shown the class."""
        assert self._sums is not None, "asked before observe"
        numerator, denominator = self._sums[:, above], self._sums[:, below]
        return torch.where(denominator > 0, numerator / denominator.clamp_min(1), math.nan)

    def state(self) -> dict[str, list[list[float]]]:
        """Return what a checkpoint keeps: for each case each of its moving sums (see `SUMS`), of each class."""
        if self._sums is None:
            return {}
        sums = self._sums.cpu()
        return {case: sums[row].tolist() for case, row in self._rows.items()}

    def restore(self, state: Mapping[str, Sequence[Sequence[float]]], device: torch.device) -> None:
        """Continue from the `state` of a checkpoint."""
        if not state:
            return
        self._rows = {case: row for row, case in enumerate(state)}
        self._sums = torch.tensor(list(state.values()), device=device)

    def _rows_of(self, cases: Sequence[str], like: Tensor) -> Tensor:
        """Return the row of each case, with new rows for new cases."""
        for case in cases:
            self._rows.setdefault(case, len(self._rows))
        if self._sums is None:
            self._sums = like.new_zeros(0, SUMS, like.shape[1])
        new = len(self._rows) - len(self._sums)
        if new > 0:
            self._sums = torch.cat([self._sums, like.new_zeros(new, *self._sums.shape[1:])])
        return self._index(cases, like.device)

    def _index(self, cases: Sequence[str], device: torch.device) -> Tensor:
        return torch.tensor([self._rows[case] for case in cases]).to(device, non_blocking=True)


def class_probabilities(logits: Tensor, regions: bool = False) -> Tensor:
    """(B, K, *S) in float32 and without a graph: softmax over the classes, or a sigmoid per region."""
    scores = logits.detach()
    scores = scores if scores.dtype == torch.float64 else scores.float()
    return scores.sigmoid() if regions else scores.softmax(dim=1)


@torch.no_grad()
def displacement_weights(probabilities: Tensor, labels: Tensor, distrust: Tensor, regions: bool = False) -> Tensor:
    """Trust of each label, (B, 1, *S) in [0, 1]: below 1 where the displacement of a case makes its label suspect.

    Labels of a class that is too large (distrust > 0) are suspect in its own voxels, one that is too small in all
    others. There the weight is 1 − |distrust| · (1 − p²), p the label's probability under the network; with several
    classes the smallest weight counts.

    Args:
        probabilities: (B, K, *S).
        labels: (B, 1, *S) label map with values below K, or (B, K, *S) regions.
        distrust: (B, K) in [−1, 1], from `CaseDisplacement.doubt_of`.
    """
    gates = distrust.reshape(*distrust.shape, *[1] * (probabilities.ndim - 2)).to(probabilities.dtype)
    if regions:
        inside = labels > 0.5
    else:
        classes = torch.arange(probabilities.shape[1], device=labels.device)
        inside = labels == classes.reshape(1, -1, *[1] * (labels.ndim - 2))
    of_answer = torch.where(inside, probabilities, 1 - probabilities)
    suspicion = torch.where(inside, gates, -gates).clamp_min(0)
    weights: Tensor = 1 - suspicion * (1 - of_answer.square())
    return weights.amin(dim=1, keepdim=True)
