"""How far the labels of each case lie outside or inside of the network's own contour, over the course of training.

Not in the paper. A single unlikely label is as often a hard boundary as a wrong one. What tells them apart is the
case: a reader who draws too wide does so all around the lesion, and at every visit of that case. Its displacement is

    δ_k = Σ (y_k − p_k) / (edge voxels of class k),

in voxels of contour: positive where the label of class k is larger than what the network has learned from all cases,
negative where it is smaller; a moving average over the visits of the case. Where readers agree, δ is about the same for
all cases. Where cases fall into two clear groups, those of the smaller one are doubted, in the class and on the side
where they differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nnunetv2_dale.case_trust.case_groups import two_groups
from nnunetv2_dale.dale.fuzziness import label_edges


class CaseDisplacement:
    """The memory of all cases' displacements, per class (for label maps without background) or region.

    Args:
        memory: in [0, 1): what a visit leaves of the visits before it.
    """

    def __init__(self, memory: float) -> None:
        self.memory = memory
        self._rows: dict[str, int] = {}
        self._excess: Tensor | None = None  # (cases, K) moving sums of Σ (y − p)
        self._contour: Tensor | None = None  # (cases, K) moving sums of edge voxels
        self._doubted: Tensor | None = None  # (cases, K) distrust of the smaller of two groups

    @torch.no_grad()
    def observe(
        self, cases: Sequence[str], probabilities: Tensor, labels: Tensor, valid: Tensor | None, regions: bool = False
    ) -> None:
        """Remember what one batch shows. A case that is in the batch more than once counts as one visit.

        A sample shows nothing of a class whose probabilities are not finite (half precision): it would stay for good.

        Args:
            cases: the name of each sample's case, (B,).
            probabilities: (B, K, *S).
            labels: (B, 1, *S) label map with values below K, or (B, K, *S) regions.
            valid: (B, 1, *S) bool, False where the label is to be ignored; None: everywhere.
        """
        counts = torch.ones_like(probabilities[:, :1]) if valid is None else valid.to(probabilities.dtype)
        at_edge = counts * label_edges(labels, valid)
        predicted = (probabilities * counts).flatten(2).sum(2)
        if regions:
            given, contour = ((labels * each).flatten(2).sum(2) for each in (counts, at_edge))
        else:
            index = labels.flatten(1).long()
            given, contour = (
                torch.zeros_like(predicted).scatter_add(1, index, each.flatten(1)) for each in (counts, at_edge)
            )
        finite = predicted.isfinite()
        excess, contour = (torch.where(finite, each, 0.0) for each in (given - predicted, contour))
        rows = self._rows_of(cases, predicted)
        assert self._excess is not None
        assert self._contour is not None
        visited = self._index(list(dict.fromkeys(cases)), predicted.device)
        for moving, shown in ((self._excess, excess), (self._contour, contour)):
            moving[visited] *= self.memory
            moving.index_add_(0, rows, shown)

    @torch.no_grad()
    def look_for_groups(self, tolerance: float, explained: float, regions: bool = False, fewest: int = 1) -> list[str]:
        """Find the classes whose cases fall into two groups of δ, for `smaller_group`; reads from the device.

        How far the smaller one is doubted grows with the part of the variance of δ that lies between the groups
        (Otsu's η), from 0 at `explained` to 1 a quarter of the way from there to 1; and with their distance, from 0 at
        twice `tolerance` to 1 at four times.

        Args:
            tolerance: in voxels of contour.
            explained: in [0, 1]; at 1 there never are groups.
            fewest: cases that the smaller group must have; a few cases fall into two groups by chance.
        Returns:
            a sentence for each class that has groups.
        """
        self._doubted = None
        if self._excess is None:
            return []
        found = two_groups(self._displacement())
        apart = (found.distance / (2 * max(tolerance, 1e-6)) - 1).clamp(0, 1)
        clear = (4 * (found.explained - explained) / max(1 - explained, 1e-6)).clamp(0, 1)
        enough = (found.side != 0).sum(dim=0) >= fewest
        distrust = found.side * apart * clear * enough
        if not regions:
            distrust[:, 0] = 0
        classes = distrust.any(dim=0).nonzero().flatten().tolist()
        if classes:
            self._doubted = distrust
        sentences = []
        for index in classes:
            doubted = distrust[:, index]
            smaller = int((doubted != 0).sum())
            wider = "wider" if doubted.sum() > 0 else "narrower"
            sentences.append(
                f"{'region' if regions else 'label'} {index}: {smaller} of {len(self._rows)} cases are drawn "
                f"{float(found.distance[index]):.1f} voxels {wider} than the others, and are doubted "
                f"({float(doubted.abs().amax()):.0%})"
            )
        return sentences

    @torch.no_grad()
    def smaller_group(self, cases: Sequence[str]) -> Tensor | None:
        """(B, K) in [−1, 1]: how far cases of the smaller of two groups are doubted, 0 in the larger one.

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

    def _displacement(self) -> Tensor:
        """δ, (cases, K); NaN where a case has not shown the class."""
        assert self._excess is not None, "asked before observe"
        assert self._contour is not None
        return torch.where(self._contour > 0, self._excess / self._contour.clamp_min(1), math.nan)

    def state(self) -> dict[str, list[list[float]]]:
        """What a checkpoint keeps: for each case its moving sums."""
        if self._excess is None or self._contour is None:
            return {}
        sums = torch.stack([self._excess, self._contour], dim=1).cpu()
        return {case: sums[row].tolist() for case, row in self._rows.items()}

    def restore(self, state: Mapping[str, Sequence[Sequence[float]]], device: torch.device) -> None:
        """Continue from the `state` of a checkpoint."""
        if not state:
            return
        self._rows = {case: row for row, case in enumerate(state)}
        sums = torch.tensor(list(state.values()), device=device)
        self._excess, self._contour = sums[:, 0].clone(), sums[:, 1].clone()

    def _rows_of(self, cases: Sequence[str], like: Tensor) -> Tensor:
        """The row of each case, with new rows for new cases."""
        for case in cases:
            self._rows.setdefault(case, len(self._rows))
        if self._excess is None or self._contour is None:
            self._excess, self._contour = like.new_zeros(0, like.shape[1]), like.new_zeros(0, like.shape[1])
        new = len(self._rows) - len(self._excess)
        if new > 0:
            rows = like.new_zeros(new, like.shape[1])
            self._excess, self._contour = torch.cat([self._excess, rows]), torch.cat([self._contour, rows])
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
        distrust: (B, K) in [−1, 1], from `CaseDisplacement.smaller_group`.
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
