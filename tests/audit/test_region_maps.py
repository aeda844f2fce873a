"""Regions that cross: each comes from its own channel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunetv2_dale.audit.crossing_regions import decoded, reads_back
from nnunetv2_dale.commands.command_line import UserError
from tests.audit.fixtures import ellipsoid, judge, save_probabilities, write_study
from tests.datasets import ELLIPSOIDS, change_description, write_volume

CROSSING = [(1, 3, 5), (2, 3), (4, 5)]


@pytest.mark.parametrize(
    ("regions", "order", "right"),
    [
        ([(1, 2, 3), (2, 3), (3,)], [1, 2, 3], True),
        ([(1, 2, 3), (2, 3), (3,)], [3, 2, 1], False),
        ([(1, 3), (2,)], [1, 2], True),  # 3 is painted 1, which belongs to the same region
        (CROSSING, [1, 2, 3], False),
    ],
)
def test_which_label_maps_read_back(regions: list[Any], order: list[int], right: bool) -> None:
    assert reads_back(regions, order) == right


def test_every_label_is_decoded() -> None:
    labels = np.arange(6).reshape(1, 2, 3)
    channels = [np.isin(labels, region).astype(np.float32) for region in CROSSING]
    assert decoded(channels, CROSSING).tolist() == labels.tolist()


def test_crossing_regions_are_judged_by_their_own_channels(tmp_path: Path) -> None:
    """Skeleton-Recall #3. The networks are right; only the one wrong label stands out, in its own region."""
    shape = (12, 40, 44)
    labels, meant, painted = {}, {}, {}
    rng = np.random.default_rng(0)
    for number in range(16):
        label = np.zeros(shape, np.uint8)
        for value, middle in zip((1, 2, 3, 4, 5), ((12, 8), (12, 28), (12, 18), (30, 12), (30, 28)), strict=True):
            label[ellipsoid(shape, (6, middle[0] + number % 3, middle[1]), (4, 5, 5))] = value
        case = f"c{number:02d}"
        labels[case], meant[case] = label, np.roll(label, tuple(rng.integers(-1, 2, 2)), (1, 2))
        painted[case] = np.zeros(shape, np.uint8)
        for value, region in enumerate(CROSSING, start=1):
            painted[case][np.isin(meant[case], region)] = value
    labels["c04"] = np.where(labels["c04"] == 4, 0, labels["c04"])
    names = {"background": 0, "A": [1, 3, 5], "B": [2, 3], "C": [4, 5]}
    folder = write_study(tmp_path, labels, meant, names, regions=CROSSING)
    save_probabilities(folder, CROSSING)
    change_description(folder, tmp_path / "raw" / ELLIPSOIDS, regions_class_order=[1, 2, 3])
    for case, drawn in painted.items():
        write_volume(drawn, next(folder.glob(f"fold_*/validation/{case}.nii.gz")))
    judged = judge(folder)
    first = judged[0].audited
    assert (first.case, [(each.label, each.kind) for each in first.findings]) == ("c04", [("(4, 5)", "missed_object")])
    assert all(each.audited.score < 0.5 for each in judged[1:])
    next(folder.glob("fold_*/validation/c03.npz")).unlink()
    with pytest.raises(UserError, match=r"c03\.nii\.gz cannot say which regions were found"):
        judge(folder)
