"""How close the cheap ways to ∂L_n/∂ω come to double backward, on networks after real training.

And how close the update's gradient at shifted weights (`fuzzy_graph="shifted"`) comes to that at θ_n.

    python -m benchmarks.confidence_fidelity --plans tiny --json FILE

Needs the Hippocampus task preprocessed (nnUNetv2_plan_and_preprocess -d 4 -gpu_memory_target 0.3
-overwrite_plans_name tiny). Small networks of nnU-Net's are trained with nnU-Net's own loss, optimizer and train_step
on crops of it; after 0, 100 and 1000 iterations the gradients of fresh batches are compared.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.cases import Case, deep_supervision_targets
from benchmarks.double_backward import exact_confidence_gradient
from benchmarks.machine import made_here
from benchmarks.results_file import add_json, write_results
from benchmarks.synthetic_training import synthetic_folders
from benchmarks.table import markdown
from benchmarks.variants import trainer
from nnunetv2_dale.commands.command_line import UserError, run_command
from nnunetv2_dale.dale.confidence_step import confidence_step
from nnunetv2_dale.dale.config import PRINTED
from nnunetv2_dale.dale.feature_tap import segmentation_head
from nnunetv2_dale.dale.hypergradient import (
    SHIFT_FLOAT32,
    SHIFT_HALF,
    FuzzyPass,
    NonFuzzyPass,
    derivative_along,
    head_tangents,
    look_ahead_gradient,
    loss_by_omega,
    shift_length,
)
from nnunetv2_dale.dale.shadow_network import ShadowNetwork
from nnunetv2_dale.dale.views import weighted_loss

CASES = (Case("2d", (56, 40), 8, features=8), Case("3d", (24, 32, 24), 2, features=8))
CHECKPOINTS = (0, 100, 1000)
SHIFTS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
CPU = torch.device("cpu")


def crops(folder: Path, case: Case, scales: list[list[float]], seed: int) -> Iterator[dict[str, Any]]:
    """Endless batches of random crops (2D: of random slices) of the preprocessed cases, padded with 0 at the end."""
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

    dataset = nnUNetDatasetBlosc2(str(folder))
    names = list(dataset.identifiers)
    random = np.random.default_rng(seed)
    while True:
        images = torch.zeros(case.batch, 1, *case.patch)
        labels = torch.zeros(case.batch, 1, *case.patch, dtype=torch.int16)
        for sample in range(case.batch):
            image, label, *_ = dataset.load_case(names[random.integers(len(names))])
            image, label = np.asarray(image[:]), np.asarray(label[:])
            if len(case.patch) == 2:
                index = random.integers(image.shape[1])
                image, label = image[:, index], label[:, index]
            start = [
                random.integers(max(1, size - part + 1)) for size, part in zip(image.shape[1:], case.patch, strict=True)
            ]
            box = (slice(None), *[slice(at, at + part) for at, part in zip(start, case.patch, strict=True)])
            image, label = image[box], label[box]
            inside: tuple[int | slice, ...] = (sample, slice(None), *[slice(size) for size in image.shape[1:]])
            images[inside] = torch.from_numpy(image)
            labels[inside] = torch.from_numpy(np.maximum(label, 0)).to(torch.int16)
        yield {"data": images, "target": deep_supervision_targets(labels, scales)}


class Comparison:
    """∂L_n/∂ω of one batch in every way, from a copy of the network and its optimizer in training."""

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer, step: Any, batch: dict[str, Any]) -> None:
        self.network, self.optimizer = copy.deepcopy((network, optimizer))
        self.weights = list(self.network.parameters())
        self.step, self.targets = step, batch["target"]
        self.before = [weight.detach().clone() for weight in self.weights]  # θ
        self.shadow = ShadowNetwork(self.network)
        views = step.partition(batch["data"], self.targets[0])
        self.is_fuzzy, self.fuzzy, self.non_fuzzy = views.is_fuzzy, views.fuzzy, views.non_fuzzy
        self.rate = self.optimizer.param_groups[0]["lr"]
        self.line5 = self._non_fuzzy_update()
        self.pass_f = FuzzyPass(self.fuzzy.images, self.network(self.fuzzy.images), self._fuzzy_loss)
        self.pass_n = NonFuzzyPass(self.non_fuzzy.images, self._non_fuzzy_loss)
        self.ones = torch.ones(self.is_fuzzy.shape)
        self.v, _ = look_ahead_gradient(self.shadow, self.weights, self.pass_f, self.pass_n, self.ones, self.rate)

    def gradients(self) -> dict[str, Tensor]:
        """∂L_n/∂ω, by how it was found; "exact" is double backward."""
        exact = exact_confidence_gradient(
            self.network,
            self.fuzzy.images,
            self._fuzzy_loss,
            self.non_fuzzy.images,
            self._non_fuzzy_loss,
            self.ones,
            self.rate,
        )
        found = {
            "exact": exact,
            "look-ahead, one-sided": self._one_sided(self.v, SHIFT_FLOAT32),
            "reuse, one-sided": self._one_sided(self.line5, SHIFT_FLOAT32),
            "reuse, one-sided, bfloat16": self._one_sided(self.line5, SHIFT_HALF, autocast=True),
            "head": self._of_head()[0],
        }
        for shift in SHIFTS:
            found[f"look-ahead, shift {shift:g}"] = self._one_sided(self.v, shift)
            found[f"look-ahead, bfloat16, shift {shift:g}"] = self._one_sided(self.v, shift, autocast=True)
        return found

    def agreement(self) -> dict[str, dict[str, float]]:
        """Cosine and share of equal signs with the exact gradient; signs in the fuzzy voxels alone as well.

        The last row is against the exact derivative along line 5's gradient of the head alone.
        """
        found = self.gradients()
        exact = found.pop("exact")
        rows = {name: self._compared(gradient, exact) for name, gradient in found.items()}
        return rows | {"head, to the exact one of the head": self._compared(*self._of_head())}

    def _compared(self, gradient: Tensor, exact: Tensor) -> dict[str, float]:
        same_sign = (gradient.sign() == exact.sign()).double()
        return {
            "cosine": torch.cosine_similarity(gradient.flatten().double(), exact.flatten().double(), dim=0).item(),
            "sign": same_sign.mean().item(),
            "sign_fuzzy": same_sign[self.is_fuzzy].mean().item(),
        }

    def update_agreement(self) -> dict[str, dict[str, float]]:
        """∂L_f(ω*)/∂θ with the weights elsewhere, beside that at θ_n: cosine, and how long the difference is.

        At weights shifted along v, as `fuzzy_graph="shifted"` takes it; and, to compare with, at θ, one update earlier.
        """
        omega = confidence_step(self.ones, self._one_sided(self.v, SHIFT_FLOAT32), self.step.config.confidence_lr)
        zero = [torch.zeros_like(weight) for weight in self.v]
        exact = self._update_gradient(self.weights, zero, 0.0, omega)
        found = {"at theta, one update earlier": self._update_gradient(self.before, zero, 0.0, omega)}
        for shift in (SHIFT_FLOAT32, SHIFT_HALF):
            distance = shift_length(self.weights, self.v, shift)
            found[f"shift {shift:g}"] = self._update_gradient(self.weights, self.v, distance, omega)
        return {
            name: {
                "cosine": torch.cosine_similarity(gradient, exact, dim=0).item(),
                "relative_difference": ((gradient - exact).norm() / exact.norm()).item(),
            }
            for name, gradient in found.items()
        }

    def _update_gradient(
        self, origin: Sequence[Tensor], direction: Sequence[Tensor], distance: float | Tensor, omega: Tensor
    ) -> Tensor:
        """∂L_f(ω)/∂θ at origin + distance · direction, in one vector."""
        self.shadow.place(origin, direction, distance)
        loss = self._fuzzy_loss(self.shadow.forward(self.fuzzy.images), omega)
        gradient = torch.autograd.grad(loss, self.shadow.weights, allow_unused=True, materialize_grads=True)
        return torch.cat([part.flatten() for part in gradient]).double()

    def _of_head(self) -> tuple[Tensor, Tensor]:
        """From the gradient of line 5 restricted to the segmentation head: as the library does, by double backward."""
        head = segmentation_head(self.network)
        of_head = {id(weight) for weight in head.parameters()}
        direction = [v for v, weight in zip(self.line5, self.weights, strict=True) if id(weight) in of_head]
        kept: list[Tensor] = []
        handle = head.register_forward_pre_hook(lambda _, given: kept.append(given[0]))
        outputs = self.network(self.fuzzy.images)
        handle.remove()
        fuzzy = FuzzyPass(self.fuzzy.images, outputs, self._fuzzy_loss, features=kept[0])
        found = derivative_along(fuzzy, self.ones, head_tangents(head, fuzzy, direction))

        leaf = self.ones.clone().requires_grad_()
        loss = self._fuzzy_loss(self.network(self.fuzzy.images), leaf)
        gradients = torch.autograd.grad(loss, list(head.parameters()), create_graph=True)
        along = torch.stack([(g * v).sum() for g, v in zip(gradients, direction, strict=True)]).sum()
        (exact,) = torch.autograd.grad(along, leaf)
        return -self.rate * found, -self.rate * exact

    def _one_sided(self, direction: Sequence[Tensor], relative: float, autocast: bool = False) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast), torch.no_grad():
            here = self.network(self.fuzzy.images)
            distance = shift_length(self.weights, direction, relative)
            self.shadow.place(self.weights, direction, distance)
            there = self.shadow.forward(self.fuzzy.images)
        ends = [loss_by_omega(self.pass_f, outputs, self.ones) for outputs in (here, there)]
        return -self.rate * (ends[1] - ends[0]) / distance

    def _non_fuzzy_update(self) -> list[Tensor]:
        """Line 5; returns its gradient before clipping."""
        self.optimizer.zero_grad(set_to_none=True)
        self._non_fuzzy_loss(self.network(self.non_fuzzy.images)).backward()
        gradient = [torch.zeros_like(w) if w.grad is None else w.grad.clone() for w in self.weights]
        torch.nn.utils.clip_grad_norm_(self.weights, 12)
        self.optimizer.step()
        return gradient

    def _fuzzy_loss(self, outputs: Any, omega: Tensor) -> Tensor:
        return weighted_loss(self.step.loss, outputs, self.targets, self.fuzzy, omega)

    def _non_fuzzy_loss(self, outputs: Any) -> Tensor:
        return weighted_loss(self.step.loss, outputs, self.targets, self.non_fuzzy)


def measure(case: Case, folder: Path, checkpoints: Sequence[int], batches: int) -> dict[str, list[dict[str, Any]]]:
    """Medians over fresh batches after each number of training iterations: of ∂L_n/∂ω, and of the update's gradient."""
    plain = trainer(case, CPU)
    step = trainer(case, CPU, replace(PRINTED, alignment_weight=0.0)).dale_step.algorithm
    scales = plain._get_deep_supervision_scales()
    training, fresh = crops(folder, case, scales, seed=0), crops(folder, case, scales, seed=1)
    rows: dict[str, list[dict[str, Any]]] = {"agreement": [], "update_gradient": []}
    done = 0
    for checkpoint in sorted(checkpoints):
        losses = [float(plain.train_step(next(training))["loss"]) for _ in range(checkpoint - done)]
        done = checkpoint
        compared = [Comparison(plain.network, plain.optimizer, step, next(fresh)) for _ in range(batches)]
        of = {"case": case.name, "iterations": checkpoint}
        rows["agreement"] += [of | row for row in medians([each.agreement() for each in compared])]
        rows["update_gradient"] += [of | row for row in medians([each.update_agreement() for each in compared])]
        loss = f", training loss {statistics.mean(losses[-20:]):.3f}" if losses else ""
        print(f"{case.name}: {checkpoint} iterations{loss}", file=sys.stderr, flush=True)
    return rows


def medians(compared: Sequence[dict[str, dict[str, float]]]) -> list[dict[str, Any]]:
    """Per way the median of every number over the batches, and the lowest cosine."""
    return [
        {"way": way}
        | {key: statistics.median(each[way][key] for each in compared) for key in compared[0][way]}
        | {"worst_cosine": min(each[way]["cosine"] for each in compared)}
        for way in compared[0]
    ]


def run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    base = Path(os.environ.get("nnUNet_preprocessed", "")) / arguments.dataset  # noqa: SIM112 -- nnU-Net's name
    folders = {"2d": base / f"{arguments.plans}_2d", "3d": base / f"{arguments.plans}_3d_fullres"}
    for folder in folders.values():
        if not folder.is_dir():
            raise UserError(f"expected preprocessed cases in {folder}, found none; see --help for the command")
    made = made_here(CPU, arguments.threads)
    found: dict[str, list[dict[str, Any]]] = {"agreement": [], "update_gradient": []}
    with synthetic_folders():
        for case in CASES:
            for part, rows in measure(case, folders[case.name], arguments.iterations, arguments.batches).items():
                found[part] += rows
    for rows in found.values():
        print(markdown(list(rows[0]), [[_shown(value) for value in row.values()] for row in rows]), end="\n\n")
    if arguments.json is not None:
        cases = {"cases": [case.describe() for case in CASES]}
        write_results(arguments.json, made | cases | found, arguments.overwrite)


def _shown(value: Any) -> Any:
    return f"{value:.4f}" if isinstance(value, float) else value


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="Dataset004_Hippocampus", metavar="NAME", help="in nnUNet_preprocessed")
    parser.add_argument("--plans", default="tiny", metavar="NAME", help="default: tiny")
    parser.add_argument("--iterations", type=int, nargs="+", default=list(CHECKPOINTS), metavar="N")
    parser.add_argument("--batches", type=int, default=5, metavar="N", help="compared at each (default: 5)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default: 1)")
    add_json(parser)
    return run_command(parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
