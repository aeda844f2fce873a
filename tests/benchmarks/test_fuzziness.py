"""Where m lies, on cases small enough to count, and the stored figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import maximum_filter
from scipy.stats import rankdata

from benchmarks.fuzziness import BINS, NearForeground, PlacementSums, main, pictures, placements
from nnunetv2_dale.dale.config import ADAPTED
from nnunetv2_dale.dale.fuzziness import fuzziness_map, patch_shape
from nnunetv2_dale.dale.label_edges import label_edges
from tests.conftest import REPOSITORY
from tests.dale.networks import blob_batch


def test_the_numbers_are_those_of_a_count_of_all_voxels() -> None:
    """Share and coverage by masks of NumPy, the AUROC by ranks."""
    torch.manual_seed(0)
    _, labels = blob_batch(2, 40, batch=3, seed=5)
    m = torch.rand(3, 1, 40, 40)
    sums = PlacementSums()
    for sample in range(3):
        sums.add(m[sample : sample + 1], labels[sample : sample + 1], tau=0.9)
    found = sums.placement()

    edge = label_edges(labels).numpy()
    near = np.stack([maximum_filter(each, (1, 7, 7), mode="constant") for each in edge])
    fuzzy = m.numpy() >= 0.9
    assert found.fuzzy_near_edges == pytest.approx((fuzzy & near).sum() / fuzzy.sum())
    assert found.edges_fuzzy == pytest.approx((fuzzy & edge).sum() / edge.sum())
    ranks, positives = rankdata(m.numpy()), near.sum()
    auroc = (ranks[near.ravel()].sum() - positives * (positives + 1) / 2) / (positives * (near.size - positives))
    assert found.auroc == pytest.approx(auroc, abs=1e-3)


def test_bins_by_hand_of_the_trainer() -> None:
    """The default's bins are those of training: the moving average of batch after batch."""
    batches = [blob_batch(2, 80, seed=seed) for seed in range(3)]
    found = placements(batches)
    assert set(found) == set(BINS)
    expected, bounds = PlacementSums(), BINS["near edges"](ADAPTED.entropy_bins)
    for images, labels in batches:
        inside = bounds.bounds(images, labels)
        m = fuzziness_map(images, labels, patch_shape((80, 80), 16), ADAPTED.entropy_bins, bin_bounds=inside)
        expected.add(m.combined, labels, ADAPTED.fuzzy_threshold)
    assert found["near edges"] == expected.placement()
    assert found["printed"] != found["near edges"] != found["near foreground"]


def test_near_foreground_has_its_inside_too() -> None:
    labels = torch.zeros(1, 1, 40, 40, dtype=torch.int16)
    labels[..., 10:30, 10:30] = 1
    assert NearForeground(2).near(labels).sum() == 26 * 26


def test_pictures_are_read_grey_and_in_size(tmp_path: Path) -> None:
    for number, largest in enumerate((1, 255)):
        for folder, values in (("images", np.full((20, 20, 3), 90)), ("masks", np.eye(20) * largest)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(values.astype(np.uint8)).save(tmp_path / folder / f"{number}.png")
    ((images, labels),) = pictures(tmp_path / "images", tmp_path / "masks", 20, most=10)
    assert images.shape == labels.shape == (2, 1, 20, 20)
    assert images.unique().tolist() == [90]
    assert torch.equal(labels[:, 0], torch.eye(20, dtype=torch.int16).expand(2, 20, 20))


def test_what_cannot_be_measured_is_said_and_nothing_is_written(tmp_path: Path, capsys) -> None:
    assert main([]) == 2
    assert main([str(tmp_path / "nothing"), "--json", str(tmp_path / "out.json")]) == 2
    assert main(["--pictures", str(tmp_path), str(tmp_path), "96"]) == 2
    assert "found none" in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()


def test_the_stored_figures_are_of_all_four_data() -> None:
    stored = json.loads((REPOSITORY / "benchmarks" / "results" / "fuzziness.json").read_text())["data"]
    assert len(stored) == 4
    for kinds in stored.values():
        assert set(kinds) == set(BINS)
        # what the default is chosen for: more of the edges are fuzzy than with printed bins
        assert kinds["near edges"]["edges_fuzzy"] > kinds["printed"]["edges_fuzzy"]
