"""How well a confidence finds the wrong labels of a batch: AUROC and average precision."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from batches import Batches
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor
from torch.nn import functional

from nnunetv2_dale.dale.alternating_step import AlternatingStep
from nnunetv2_dale.dale.fuzziness import label_edges
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE

PROBED = range(4)  # batches, of the training cases


def confidence_quality(trainer: nnUNetTrainer, batches: Batches, version: str) -> dict[str, Any]:
    """AUROC and average precision for the changed voxels, of 1 − p[label] and of 1 − ω.

    Over all voxels of the probed batches ("all"), and over those within 2 voxels of an edge of the given labels
    ("band"), where a wrong label is not betrayed by lying far from any object. The per-voxel cross-entropy, −log
    p[label], orders voxels as 1 − p[label] does, so its figures are the same. Network and optimizer are left as they
    were.
    """
    probes: dict[str, list[NDArray[np.float32]]] = {"one_minus_p": [], "one_minus_omega": []}
    changed, bands = [], []
    for number in PROBED:
        batch = batches.batch(number, version)
        changed.append(batches.changed(number, version).numpy().ravel())
        bands.append(_band(batch["target"][0]).numpy().ravel())
        with torch.no_grad():
            outputs = trainer.network(batch["data"])
        probability = outputs[0].softmax(1).gather(1, batch["target"][0].long())
        probes["one_minus_p"].append((1 - probability).numpy().ravel())
        if isinstance(trainer, nnUNetTrainerDALE) and trainer.alternating_step is not None:
            weights = _weights(trainer, trainer.alternating_step, batch)
            probes["one_minus_omega"].append((1 - weights).numpy().ravel())
    wrong, band = np.concatenate(changed), np.concatenate(bands)
    found: dict[str, Any] = {"wrong_of_all": round(float(wrong.mean()), 5)}
    for name, parts in probes.items():
        if parts:
            score = np.concatenate(parts)
            found[name] = {
                f"{measure}_{where}": round(float(function(wrong[chosen], score[chosen])), 4)
                for where, chosen in (("all", np.ones_like(band)), ("band", band))
                for measure, function in (("auroc", roc_auc_score), ("ap", average_precision_score))
            }
    return found


def _band(labels: Tensor) -> Tensor:
    edges = label_edges(labels).float()
    pool = functional.max_pool2d if edges.ndim == 4 else functional.max_pool3d
    return pool(edges, kernel_size=5, stride=1, padding=2) > 0


def _weights(trainer: nnUNetTrainerDALE, step: AlternatingStep, batch: dict[str, Any]) -> Tensor:
    """ω of a batch, from an iteration that is then undone."""
    network = copy.deepcopy(trainer.network.state_dict())
    optimizer = copy.deepcopy(trainer.optimizer.state_dict())
    memory = None if step.likelihood is None else step.likelihood.displacement.state()
    held_back, in_turn = step.trust_all, getattr(step, "_fuzzy_is_next", None)
    caught: list[Tensor] = []
    original = step._confidence

    def catching(*arguments: Any) -> Any:
        confidence = original(*arguments)
        caught.append(confidence.weights.detach())
        return confidence

    step.trust_all = False
    step._confidence = catching  # type: ignore[method-assign]
    if in_turn is not None:
        step._fuzzy_is_next = True  # type: ignore[attr-defined]
    step(batch["data"], batch["target"], batch["keys"])
    step._confidence = original  # type: ignore[method-assign]
    step.trust_all = held_back
    if in_turn is not None:
        step._fuzzy_is_next = in_turn  # type: ignore[attr-defined]
    if step.likelihood is not None and memory is not None:
        step.likelihood.displacement.restore(memory, caught[0].device)
    trainer.network.load_state_dict(network)
    trainer.optimizer.load_state_dict(optimizer)
    return caught[0]
