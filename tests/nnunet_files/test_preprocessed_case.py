"""Preprocessed cases that are damaged, in both of nnU-Net's formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2, nnUNetDatasetNumpy

from nnunetv2_dale.nnunet_files.preprocessed_case import read_preprocessed_case

RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.normal(size=(2, 6, 16, 20)).astype(np.float32)
LABELS = RANDOM.integers(-1, 3, (1, 6, 16, 20)).astype(np.int8)
BLOCKS = {"chunks": (1, 6, 16, 16), "blocks": (1, 3, 8, 8)}


def places(labels: Any = LABELS) -> dict[str, Any]:
    """As nnU-Net lists them, for a class, a group and a class that is not there."""
    return {
        "class_locations": {1: np.argwhere(labels == 1)[:9], (1, 2): np.argwhere(labels > 0)[:50], 3: []},
        "spacing": [1, 1, 1],
    }


def save(folder: Path, kind: str, properties: dict[str, Any] | None = None, image: Any = IMAGE) -> None:
    properties = places() if properties is None else properties
    if kind == "b2nd":
        nnUNetDatasetBlosc2.save_case(image, LABELS, properties, str(folder / "a"), **BLOCKS)
    else:
        nnUNetDatasetNumpy.save_case(image, LABELS, properties, str(folder / "a"))
    if kind == "npy":
        np.save(folder / "a.npy", image)
        np.save(folder / "a_seg.npy", LABELS)


@pytest.mark.parametrize("kind", ["b2nd", "npz", "npy"])
def test_whole_cases(tmp_path: Path, kind: str) -> None:
    save(tmp_path, kind)
    image, labels = read_preprocessed_case(tmp_path, "a", {0, 1, 2})
    assert np.array_equal(image, IMAGE)
    assert np.array_equal(labels, LABELS[0])


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("b2nd", name) for name in ("a.b2nd", "a_seg.b2nd", "a.pkl")),
        *(("npz", name) for name in ("a.npz", "a.pkl")),
        *(("npy", name) for name in ("a.npy", "a_seg.npy")),
    ],
)
@pytest.mark.parametrize("left", [0.0, 0.6, 0.99])
def test_cut_files_are_named(tmp_path: Path, kind: str, name: str, left: float) -> None:
    save(tmp_path, kind)
    file = tmp_path / name
    file.write_bytes(file.read_bytes()[: int(left * file.stat().st_size)])
    with pytest.raises(ValueError, match=rf"{name} is damaged"):
        read_preprocessed_case(tmp_path, "a", {0, 1, 2})
    file.unlink()
    if name not in ("a.b2nd", "a.npy", "a_seg.npy"):  # without these, nnU-Net takes other files or knows no such case
        with pytest.raises(ValueError, match=rf"{name} there is no such file"):
            read_preprocessed_case(tmp_path, "a", {0, 1, 2})


def test_a_flipped_bit_is_seen_by_a_checksum(tmp_path: Path) -> None:
    save(tmp_path, "npz")
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz is damaged"):
        read_preprocessed_case(tmp_path, "a", {0, 1, 2})


def test_without_a_checksum_labels_are_held_against_what_is_known(tmp_path: Path) -> None:
    save(tmp_path, "b2nd")
    with pytest.raises(ValueError, match=r"a_seg\.b2nd is damaged: it holds the label 2, which dataset\.json"):
        read_preprocessed_case(tmp_path, "a", {0, 1})
    for file in tmp_path.iterdir():
        file.unlink()
    save(tmp_path, "b2nd", places(np.roll(LABELS, 1, axis=3)))
    with pytest.raises(ValueError, match=r"a_seg\.b2nd is damaged: its labels are not where a\.pkl lists them"):
        read_preprocessed_case(tmp_path, "a", {0, 1, 2})


@pytest.mark.parametrize("kind", ["b2nd", "npz"])
def test_an_image_of_other_shape_or_not_finite(tmp_path: Path, kind: str) -> None:
    save(tmp_path, kind, image=np.where(IMAGE > 3, np.inf, IMAGE))
    with pytest.raises(ValueError, match="values that are not finite"):
        read_preprocessed_case(tmp_path, "a", {0, 1, 2})
    for file in tmp_path.iterdir():
        file.unlink()
    save(tmp_path, kind, image=IMAGE[:, :, :15])
    with pytest.raises(ValueError, match=r"has shape \(1, 6, 16, 20\), but its image has \(2, 6, 15, 20\)"):
        read_preprocessed_case(tmp_path, "a", {0, 1, 2})
