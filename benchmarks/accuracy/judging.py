"""Judges a network on the clean labels of held-out cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from numpy.typing import NDArray
from torch import nn

from benchmarks.accuracy.study_data import StudyData, folder_of, small_plans
from nnunetv2_dale.masks.overlap import overlap
from nnunetv2_dale.masks.voxel_surface import measures_of, surface_distances
from nnunetv2_dale.report.fuzzy_region import fuzzy_region

STRIDE = 16  # what a patch of the small networks is a multiple of


class Judge:
    """Held-out cases of one fold, whole: images are padded and seen at once, without tiles or mirroring."""

    def __init__(self, workspace: Path, data: StudyData, configuration: str, held_out: Sequence[str]) -> None:
        folder = folder_of(workspace, data, data.truth)
        plans = small_plans(folder, data, configuration)
        self._planar = configuration == "2d"
        self._patch = plans["configurations"][configuration]["patch_size"]
        stored = nnUNetDatasetBlosc2(str(folder / f"tiny_{configuration}"), list(held_out))
        self._cases: dict[str, tuple[NDArray[np.float32], NDArray[np.int16]]] = {}
        for case in held_out:
            image, label, _, _ = stored.load_case(case)
            self._cases[case] = np.asarray(image[:], np.float32), np.maximum(np.asarray(label[:])[0], 0)
        self._fuzzy: dict[str, NDArray[np.bool_]] = {}

    def cases(self, network: nn.Module, surfaces: bool) -> dict[str, Any]:
        """Per case and class: Dice, voxels; with `surfaces` also HD95 (voxels of 1 mm) and both in the fuzzy region."""
        network.eval()
        judged = {name: self._judge(network, name, surfaces) for name in self._cases}
        network.train()
        return judged

    @staticmethod
    def mean_dice(judged: dict[str, Any]) -> float:
        """Mean over cases of the mean over classes."""
        per_case = [
            np.mean([each["dice"] for each in classes.values() if each["dice"] is not None])
            for classes in judged.values()
            if any(each["dice"] is not None for each in classes.values())
        ]
        return round(float(np.mean(per_case)), 5)

    def _judge(self, network: nn.Module, name: str, surfaces: bool) -> dict[str, Any]:
        image, label = self._cases[name]
        prediction = self._predict(network, image)
        classes = {}
        for value in range(1, int(self._labels) + 1):
            given, found = label == value, prediction == value
            measured: dict[str, Any] = {"voxels": int(given.sum()), "dice": _dice(found, given)}
            if surfaces:
                squeezed = (found[0], given[0]) if found.shape[0] == 1 else (found, given)
                distances = surface_distances(*squeezed, [1.0] * squeezed[0].ndim)
                measured["hd95"] = _rounded(measures_of(*squeezed, distances, 1.0)["HD95"])
                if name not in self._fuzzy:
                    self._fuzzy[name], _ = fuzzy_region(image, label, [1.0] * 3)
                region = self._fuzzy[name]
                measured["dice_fuzzy"] = _dice(found & region, given & region)
                within = None if distances is None else distances.within(region[0] if found.shape[0] == 1 else region)
                measured["hd95_fuzzy"] = _rounded(None if within is None else within.hausdorff_95())
            classes[str(value)] = measured
        return classes

    @property
    def _labels(self) -> int:
        return max(int(label.max()) for _, label in self._cases.values())

    @torch.no_grad()
    def _predict(self, network: nn.Module, image: NDArray[np.float32]) -> NDArray[np.int64]:
        shape = image.shape[1:]
        axes = range(1, 3) if self._planar else range(3)
        padded_shape = list(shape)
        for axis, patch in zip(axes, self._patch, strict=True):
            padded_shape[axis] = max(-(-shape[axis] // STRIDE) * STRIDE, patch)
        inside = tuple(slice((p - s) // 2, (p - s) // 2 + s) for p, s in zip(padded_shape, shape, strict=True))
        padded = torch.zeros(image.shape[0], *padded_shape)
        padded[(slice(None), *inside)] = torch.from_numpy(image)
        outputs = network(padded.transpose(0, 1) if self._planar else padded[None])
        logits = outputs[0] if isinstance(outputs, (list, tuple)) else outputs
        classes = logits.argmax(1)
        return np.asarray((classes if self._planar else classes[0])[inside].numpy())


def _dice(prediction: NDArray[np.bool_], reference: NDArray[np.bool_]) -> float | None:
    shared = overlap(prediction, reference)
    return None if shared is None else round(shared[0], 5)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
