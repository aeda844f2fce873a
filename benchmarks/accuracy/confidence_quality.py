"""How well a confidence finds the wrong labels of a batch: AUROC and average precision."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor
from torch.nn import functional

from benchmarks.accuracy.batches import Batches
from nnunetv2_dale.dale.label_edges import label_edges
from nnunetv2_dale.dale.look import look_at
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from nnunetv2_dale.trainer.safe_training import SafeTraining

PROBED = range(4)  # batches, of the training cases


def confidence_quality(
    trainer: nnUNetTrainer,
    batches: Batches,
    version: str,
    without: Collection[str] = (),
    probed: Sequence[int] = PROBED,
) -> dict[str, Any]:
    """AUROC and average precision for the changed voxels: of 1 − p[label], and of 1 − ω by meta steps, case and both.

    Over all voxels of the probed batches ("all"), but of cases `without`, and over those within 2 voxels of an edge of
    the given labels ("band"), where a wrong label is not betrayed by lying far from any object. Network and optimizer
    stay as they are.
    """
    probes: dict[str, list[NDArray[np.float32]]] = {"one_minus_p": []}
    changed, bands = [], []
    for number in probed:
        batch = batches.batch(number, version)
        images, targets = batch["data"], batch["target"]
        if isinstance(trainer, SafeTraining):
            images, targets = trainer._on_device(batch)
        shown = torch.tensor([case not in without for case in batch["keys"]])
        changed.append(batches.changed(number, version)[shown].numpy().ravel())
        bands.append(_band(targets[0])[shown].numpy().ravel())
        with torch.no_grad():
            outputs = trainer.network(images)
        probability = outputs[0].softmax(1).gather(1, targets[0].long())
        probes["one_minus_p"].append((1 - probability)[shown].numpy().ravel())
        if isinstance(trainer, nnUNetTrainerDALE) and trainer.dale_step is not None:
            seen = look_at(trainer.dale_step.algorithm, images, targets, batch["keys"])
            for name, weights in (("meta", seen.meta), ("case", seen.case), ("omega", seen.omega)):
                probes.setdefault(f"one_minus_{name}", []).append((1 - weights)[shown].numpy().ravel())
    wrong, band = np.concatenate(changed), np.concatenate(bands)
    quality: dict[str, Any] = {"wrong_of_all": round(float(wrong.mean()), 5)}
    for name, parts in probes.items():
        score = np.concatenate(parts)
        quality[name] = {
            f"{measure}_{where}": round(float(function(wrong[chosen], score[chosen])), 4)
            for where, chosen in (("all", np.ones_like(band)), ("band", band))
            for measure, function in (("auroc", roc_auc_score), ("ap", average_precision_score))
        }
    return quality


def _band(labels: Tensor) -> Tensor:
    edges = label_edges(labels).float()
    pool = functional.max_pool2d if edges.ndim == 4 else functional.max_pool3d
    return pool(edges, kernel_size=5, stride=1, padding=2) > 0
