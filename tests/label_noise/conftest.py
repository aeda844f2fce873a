"""The dataset whose labels get noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.datasets import NnunetFolders, write_raw_dataset, write_volume
from tests.label_noise.fixtures import TURNED


@pytest.fixture
def raw(nnunet_folders: NnunetFolders) -> Path:
    """`nnUNet_raw` with Dataset004_Tiny: seven cases with two classes and an ignore label, one without foreground."""
    rng = np.random.default_rng(0)
    folder = nnunet_folders.raw / "Dataset004_Tiny"
    images, labels = {}, {}
    for number in range(8):
        images[f"case {number}"] = [rng.normal(100, 20, (8, 20, 22)).astype(np.float32)]
        labels[f"case {number}"] = label = np.zeros((8, 20, 22), np.uint8)
        if number:
            label[2:6, 4:13, 4:16], label[2:6, 4:13, 8 + number % 3 : 16] = 1, 2
        label[0, :3, :3] = 3
    names = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
    write_raw_dataset(folder, labels, images, TURNED, labels=names, regions_class_order=[1, 2])
    write_volume(images["case 7"][0], folder / "imagesTs" / "new_0000.nii.gz", **TURNED)
    return nnunet_folders.raw
