"""The paper's figures in its own setting: features before and after alignment, convergence, and examples.

Drawn from the checkpoints and the stored curves of trainings on polyps with clean labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from benchmarks.paper.paper_arms import ARMS
from benchmarks.paper.paper_data import PaperData, read_data
from benchmarks.paper.paper_networks import NETWORKS
from benchmarks.paper.paper_plan import UNET
from benchmarks.paper.paper_run import PaperRun
from benchmarks.paper.paper_training import CLASSES, config_of, predicted
from nnunetv2_dale import MaskedLoss
from nnunetv2_dale.pages.slice_display import CONTOUR_COLOURS
from nnunetv2_dale.preview.model_picture import ShownSlice, confidence_picture, features_picture
from nnunetv2_dale.preview.network_look import NetworkLook, look
from nnunetv2_dale.preview.region_features import PERPLEXITY, RegionFeatures, region_features

PRINTED, BEFORE = "DALE as printed", "printed, no L_W"
IMAGES = 24  # of the test part, for the features
EXAMPLES = 4  # images of the test part, those of middle polyp size
_NAMES = {1: "polyp"}


def draw_figures(source: Path, checkpoints: Path, curves: Sequence[Mapping[str, Any]], target: Path) -> dict[str, Any]:
    """Write `features.png`, `convergence.png` and `examples.png`; returns the numbers that the features give.

    The checkpoints are named by `PaperRun.file_name`; a FileNotFoundError tells of a training that has not been made.
    Of stored trainings the convergence is drawn.
    """
    target.mkdir(parents=True, exist_ok=True)
    parts, _ = read_data(source, "polyps", "clean")
    test = parts["test"]
    networks = {arm: _network(arm, checkpoints, test) for arm in ("ordinary", BEFORE, PRINTED)}
    epochs = {arm: found[2] for arm, found in networks.items()}
    looks = {
        f"{arm}, {epochs[arm]} epochs": _look(network, head, test, IMAGES)
        for arm, (network, head, _) in networks.items()
    }
    tau = config_of(ARMS[PRINTED], test.images.shape[2]).fuzzy_threshold
    samples = {
        name: region_features(seen.features, test.labels[:IMAGES], seen.m, tau, per_group=400)
        for name, seen in looks.items()
    }
    _save(features_picture(samples, _NAMES, "Features before the head", _heading(tau)), target / "features.png")
    _save(convergence(curves), target / "convergence.png")
    _save(_examples(networks, test, epochs), target / "examples.png")
    return {name: _numbers(sample) for name, sample in samples.items()}


def convergence(results: Sequence[Mapping[str, Any]]) -> Figure:
    """Test Dice after every epoch, over epochs and over processor time (the paper's Fig. 7)."""
    figure = Figure(figsize=(12, 4.6), facecolor="white")
    panels = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.05, "left": 0.06, "right": 0.99, "top": 0.98})
    for number, result in enumerate(results):
        curve = result["curve"]
        dice = [100 * point["test"] for point in curve]
        colour = "black" if number == 0 else CONTOUR_COLOURS[(number - 1) % len(CONTOUR_COLOURS)]
        for axes, name in zip(panels, ("epoch", "seconds"), strict=True):
            axes.plot([point[name] for point in curve], dice, color=colour, label=result["run"]["arm"], linewidth=1.6)
    for axes, name in zip(panels, ("epochs", "processor seconds"), strict=True):
        axes.set_xlabel(name)
        axes.grid(color="#e4e8ec")
    panels[0].set_ylabel("Dice of the test part, %")
    panels[1].legend(fontsize=9)
    return figure


def _network(arm: str, checkpoints: Path, data: PaperData) -> tuple[nn.Module, nn.Module, int]:
    """A trained U-Net, its head and how many epochs it was trained."""
    file = checkpoints / f"{PaperRun('polyps', 'clean', UNET, arm, 0).file_name}.pt"
    if not file.exists():
        raise FileNotFoundError(f"{file} is not there; run the table polyps first")
    state = torch.load(file)
    network, head = NETWORKS[UNET].make(data.images.shape[1], CLASSES, data.images.shape[2], seed=1)
    network.load_state_dict(state["network"])
    return network, head, len(state["curve"])


def _look(network: nn.Module, head: nn.Module, data: PaperData, images: int) -> NetworkLook:
    config = config_of(ARMS[PRINTED], data.images.shape[2])
    return look(network, data.images[:images], data.labels[:images], MaskedLoss(), CLASSES, config, head)


def _examples(
    networks: Mapping[str, tuple[nn.Module, nn.Module, int]], data: PaperData, epochs: Mapping[str, int]
) -> Figure:
    """Fuzziness, ω of the printed method and both predictions (the paper's Fig. 4), not of the best images."""
    network, head, _ = networks[PRINTED]
    seen = _look(network, head, data, len(data.images))
    found = {arm: predicted(networks[arm][0], data.images)[:, 0].numpy() for arm in ("ordinary", PRINTED)}
    size = data.labels.flatten(1).sum(dim=1).numpy()
    middle = np.argsort(size)[len(size) // 2 - EXAMPLES // 2 :][:EXAMPLES]
    rows = []
    for place in middle:
        image = np.moveaxis(data.images[place].numpy(), 0, -1)
        low, high = image.min(), image.max()
        rows.append(
            ShownSlice(
                f"test image {place}",
                ((image - low) / (high - low)).astype(np.float32),
                data.labels[place, 0].numpy().astype(np.int16),
                {f"{arm}, {epochs[arm]} ep.": masks[place].astype(np.int16) for arm, masks in found.items()},
                seen.m[place, 0].numpy(),
                seen.omega[place, 0].numpy(),
            )
        )
    heading = "the four test images of middle polyp size; omega after one meta step of the printed method"
    return confidence_picture(rows, (1.0, 1.0), _NAMES, 0.1, "Examples", heading)


def _heading(tau: float) -> str:
    return f"{IMAGES} test images, whole, not masked · τ = {tau:g} · t-SNE, perplexity {PERPLEXITY:g}"


def _numbers(sample: RegionFeatures) -> dict[str, Any]:
    return {
        "voxels": len(sample.features),
        "silhouette_of_classes_non_fuzzy": round(sample.silhouette_of_classes(False), 4),
        "silhouette_of_classes_fuzzy": round(sample.silhouette_of_classes(True), 4),
        "silhouette_of_regions": {value: round(s, 4) for value, s in sample.silhouette_of_regions().items()},
        "wasserstein": {value: round(distance, 4) for value, distance in sample.wasserstein.items()},
    }


def _save(figure: Figure, file: Path) -> None:
    figure.savefig(file, dpi=80, metadata={"Software": None})
