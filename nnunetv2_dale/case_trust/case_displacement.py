"""How far the labels of each case lie outside or inside of the network's own contour, over the course of training.

Not in the paper. A single unlikely label is as often a hard boundary as a wrong one. What tells them apart is the
case: a reader who draws too wide does so all around the lesion, and at every visit of that case. Its displacement is

    δ_k = Σ (y_k − p_k) / (edge voxels of class k),

in voxels of contour: positive where the label of class k is larger than what the network has learned from all cases,
negative where it is smaller; a moving average over the visits of the case. The sum is over voxels near a border: far
from any, the traces of a class that a network leaves everywhere would add up to a displacement.

Where readers agree, δ is about the same for all cases. Cases that lie off are down-weighted in the class, and on the
side, where they do (`doubted_cases`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, distributed

from nnunetv2_dale.case_trust.border_contrast import border_contrast
from nnunetv2_dale.case_trust.doubted_cases import EXTRA, OWN_SUMS, doubted_cases, of_all_ranks
from nnunetv2_dale.case_trust.far_objects import SETS, object_sums
from nnunetv2_dale.dale.label_edges import label_edges, within

NEAR = 4  # voxels from a label edge that count in δ
SUMS = OWN_SUMS + SETS
THICK = 3.0  # times as large as the others: a spacing from which slices are thick; nnU-Net's own limit


class CaseDisplacement:
    """The memory of all cases' displacements and border contrasts, per class (label maps: with background) or region.

    Args:
        memory: in [0, 1): what a visit leaves of the visits before it.
        spacing_mm: of the axes of a batch. Across thick slices (`THICK`) neighbours make no contour: the whole of a
            label's last slice would be one. None is isotropic.
        ranks: whether the processes of the default group train together; then what all have seen decides.
    """

    def __init__(self, memory: float, spacing_mm: Sequence[float] | None = None, ranks: bool = False) -> None:
        self.memory = memory
        self._axes, self._ranks = in_plane_axes(spacing_mm), ranks
        self._rows: dict[str, int] = {}
        self._sums: Tensor | None = None  # (cases, SUMS, K), moving
        self._doubted: Tensor | None = None  # (cases, 4, K) as of the last look
        self._doubted_rows: dict[str, int] = {}
        self._sees_objects = False  # from the first look on
        self.has_objects = False  # whether any are down-weighted

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

        A sample shows nothing of a class whose contour it does not hold: traces of it near other labels would add up
        over many visits. Nor of one whose probabilities are not finite (half precision): it would stay for good.

        Args:
            cases: the name of each sample's case, (B,).
            images: (B, C, *S), what the network was shown.
            probabilities: (B, K, *S).
            labels: (B, 1, *S) label map with values below K, or (B, K, *S) regions.
            valid: (B, 1, *S) bool, False where the label is to be ignored; None: everywhere.
        """
        edges = label_edges(labels, valid, self._axes)
        near = within(NEAR, edges)
        counts, at_edge = ((each if valid is None else each & valid).to(probabilities.dtype) for each in (near, edges))
        everywhere = torch.ones_like(counts) if valid is None else valid.to(counts.dtype)
        predicted = (probabilities * counts).flatten(2).sum(2)
        own = probabilities if regions else probabilities.gather(1, labels.long())
        given, contour, found, size = (
            _of_classes(each, labels, predicted, regions) for each in (counts, at_edge, own * everywhere, everywhere)
        )
        contrast, faces = border_contrast(images, labels, valid, probabilities.shape[1], regions)
        shown = torch.stack([(given - predicted) * (contour > 0), contour, contrast, faces, found, size], dim=1)
        if self._sees_objects:
            shown = torch.cat([shown, object_sums(images, probabilities, labels, valid, regions)], dim=1)
        shown = torch.where(predicted.isfinite()[:, None], shown, 0.0)
        rows = self._rows_of(cases, predicted)
        assert self._sums is not None
        self._sums[self._index(list(dict.fromkeys(cases)), predicted.device)] *= self.memory
        self._sums[:, : shown.shape[1]].index_add_(0, rows, shown.to(self._sums.dtype))

    @torch.no_grad()
    def look_for_groups(self, tolerance: float, explained: float, regions: bool = False, fewest: int = 1) -> list[str]:
        """Find the cases that are down-weighted, for `doubt_of`; reads from the device, and from all ranks.

        Args:
            tolerance: in voxels of contour: nothing is down-weighted for less than twice that.
            explained: in [0, 1]: part of the variance of δ that two groups must explain; at 1 there never are any.
            fewest: cases that a group must have; a few cases fall into groups by chance.
        Returns:
            a sentence for each class, and side, on which cases are down-weighted.
        """
        self._doubted, self.has_objects = None, False
        self._sees_objects = explained < 1
        sums = self._seen_by_all() if explained < 1 else {}
        if not sums:
            return []
        doubt, sentences = doubted_cases(torch.stack(list(sums.values())), tolerance, explained, regions, fewest)
        if doubt.any():
            assert self._sums is not None
            self._doubted, self.has_objects = doubt.to(self._sums.device), bool(doubt[:, EXTRA:].any())
            self._doubted_rows = {case: row for row, case in enumerate(sums)}
        return sentences

    @torch.no_grad()
    def doubt_of(self, cases: Sequence[str]) -> Tensor | None:
        """(B, 4, K) in [0, 1]: how far cases are down-weighted where a class is too large, too small, and for objects.

        Background of label maps has 0; so has a class that a case has not shown yet.

        As of the last `look_for_groups`; None where it found none. A case first seen since then, or never, has 0.
        """
        if self._doubted is None:
            return None
        last = len(self._doubted)
        with_others = torch.cat([self._doubted, self._doubted.new_zeros(1, *self._doubted.shape[1:])])
        rows = [self._doubted_rows.get(case, last) for case in cases]
        return with_others[torch.tensor(rows).to(with_others.device, non_blocking=True)]

    @property
    def has_groups(self) -> bool:
        """Whether the last `look_for_groups` found any."""
        return self._doubted is not None

    def _seen_by_all(self) -> dict[str, Tensor]:
        """Case → its sums (SUMS, K), on the host; of all ranks, where there are several."""
        sums = {} if self._sums is None else dict(zip(self._rows, self._sums.cpu(), strict=True))
        if not self._ranks:
            return sums
        parts: list[Mapping[str, Tensor]] = [{} for _ in range(distributed.get_world_size())]
        distributed.all_gather_object(parts, sums)
        return of_all_ranks(parts)

    def state(self) -> dict[str, list[list[float]]]:
        """Return what a checkpoint keeps: for each case each of its moving sums (see `SUMS`), of each class.

        Of all ranks, which have to ask together.
        """
        return {case: sums.tolist() for case, sums in self._seen_by_all().items()}

    def restore(self, state: Mapping[str, Sequence[Sequence[float]]], device: torch.device) -> None:
        """Continue from the `state` of a checkpoint; of several ranks the first has it for all."""
        if not state or (self._ranks and distributed.get_rank() > 0):
            return
        self._rows = {case: row for row, case in enumerate(state)}
        sums = torch.tensor(list(state.values()), device=device)
        self._sums = sums.new_zeros(len(sums), SUMS, sums.shape[2])
        self._sums[:, : sums.shape[1]] = sums  # older ones remember no objects

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


def _of_classes(values: Tensor, labels: Tensor, like: Tensor, regions: bool) -> Tensor:
    """Sums over the voxels of each class or region, (B, K) as `like`, of (B, 1 or K, *S) values."""
    if regions:
        return (labels * values).flatten(2).sum(2).to(like.dtype)
    return torch.zeros_like(like).scatter_add(1, labels.flatten(1).long(), values.flatten(1))


def in_plane_axes(spacing_mm: Sequence[float] | None) -> tuple[int, ...] | None:
    """The axes of (B, C, *S) without the one across thick slices; None: all of them."""
    if spacing_mm is None or len(spacing_mm) < 3:
        return None
    across = max(range(len(spacing_mm)), key=lambda axis: spacing_mm[axis])
    others = [axis for axis in range(len(spacing_mm)) if axis != across]
    thick = spacing_mm[across] >= THICK * max(spacing_mm[axis] for axis in others)
    return tuple(axis + 2 for axis in others) if thick else None
