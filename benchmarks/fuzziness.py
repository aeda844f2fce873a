"""Where the fuzziness m lies: near label edges or elsewhere, with printed bins of the histogram and with others.

    python -m benchmarks.fuzziness FOLDER ...                       slices of preprocessed cases (…/DatasetXXX/plans_2d)
    python -m benchmarks.fuzziness --pictures IMAGES LABELS SIZE    PNG of the same names, grey, SIZE pixels square
    python -m benchmarks.fuzziness FOLDER ... --json FILE

Every slice with a label is an image of its own, as in a 2D training. Near is within 3 voxels of a label edge. Bins:
"printed" are equal ones between an image's extremes; "near edges" and "near foreground" lie at quantiles of the
intensities there, as a moving average over batches, as in training.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.machine import made_here
from benchmarks.results_file import add_json, write_results
from benchmarks.table import markdown
from nnunetv2_dale.commands.command_line import UserError, run_command
from nnunetv2_dale.dale.config import ADAPTED
from nnunetv2_dale.dale.fuzziness import fuzziness_map, patch_shape
from nnunetv2_dale.dale.label_edges import label_edges, within
from nnunetv2_dale.dale.label_intensities import NEAR, LabelIntensities

BATCH = 12  # slices whose intensities are looked at together
RESOLUTION = 10_000  # of m, for its AUROC


class NearForeground(LabelIntensities):
    """Another choice of voxels: within 3 voxels of any foreground, its inside too."""

    def near(self, labels: Tensor, valid: Tensor | None = None) -> Tensor:
        return within(NEAR, (labels > 0).any(dim=1, keepdim=True))


BINS = {"printed": None, "near edges": LabelIntensities, "near foreground": NearForeground}


@dataclass(frozen=True)
class Placement:
    """Where m lies; every number in [0, 1]."""

    fuzzy_near_edges: float  # of the fuzzy region, what is near a label edge
    edges_fuzzy: float  # of the edge voxels, what is fuzzy
    auroc: float  # of m, for being near an edge


class PlacementSums:
    """Sums over images that a `Placement` is made of."""

    def __init__(self) -> None:
        self.fuzzy = self.fuzzy_and_near = self.edge = self.edge_and_fuzzy = 0
        self.histograms = np.zeros((2, RESOLUTION + 1))  # of m: far from edges, near them

    def add(self, m: Tensor, labels: Tensor, tau: float) -> None:
        """Add images: m and labels are (B, 1, *S)."""
        edge, fuzzy = label_edges(labels), m >= tau
        near = LabelIntensities(2).near(labels)
        self.fuzzy += int(fuzzy.sum())
        self.fuzzy_and_near += int((fuzzy & near).sum())
        self.edge += int(edge.sum())
        self.edge_and_fuzzy += int((fuzzy & edge).sum())
        bins = (m * RESOLUTION).round().long()
        for row, chosen in enumerate((~near, near)):
            self.histograms[row] += np.bincount(bins[chosen].numpy(), minlength=RESOLUTION + 1)

    def placement(self) -> Placement:
        if not self.histograms.any(axis=1).all():
            raise UserError("expected labels with edges, and voxels away from them; found none")
        far, near = self.histograms / self.histograms.sum(axis=1, keepdims=True)
        below = np.cumsum(far) - far
        return Placement(
            self.fuzzy_and_near / max(self.fuzzy, 1),
            self.edge_and_fuzzy / max(self.edge, 1),
            float((near * (below + far / 2)).sum()),
        )


def placements(batches: Iterable[tuple[Tensor, Tensor]]) -> dict[str, Placement]:
    """Of each kind of bins, from images (B, C, H, W) with label maps (B, 1, H, W)."""
    sums = {name: PlacementSums() for name in BINS}
    intensities = {name: kind(ADAPTED.entropy_bins) for name, kind in BINS.items() if kind is not None}
    for images, labels in batches:
        patch = patch_shape(images.shape[2:], ADAPTED.patch_size, None, ADAPTED.fewest_patches)
        for name, found in sums.items():
            bounds = intensities[name].bounds(images, labels) if name in intensities else None
            m = fuzziness_map(images, labels, patch, ADAPTED.entropy_bins, bin_bounds=bounds).combined
            found.add(m, labels, ADAPTED.fuzzy_threshold)
    return {name: found.placement() for name, found in sums.items()}


def preprocessed_slices(folder: Path, most: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of a case's slices with a label; at most `most` of a dataset, evenly from all cases and slices."""
    from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class

    dataset = infer_dataset_class(str(folder))(str(folder))
    cases = sorted(dataset.identifiers)
    step = max(1, len(cases) // most)
    per_case = max(1, most // len(cases[::step]))
    for case in cases[::step]:
        image, label, *_ = dataset.load_case(case)
        label = np.maximum(np.asarray(label[0]), 0)
        with_label = np.flatnonzero(label.any(axis=(1, 2)))
        chosen = with_label[:: max(1, len(with_label) // per_case)][:per_case]
        for first in range(0, len(chosen), BATCH):
            indices = chosen[first : first + BATCH]
            images = torch.from_numpy(np.asarray(image[:])[:, indices].swapaxes(0, 1).astype(np.float32))
            yield images, torch.from_numpy(label[indices][:, None].astype(np.int16))


def pictures(images: Path, labels: Path, size: int, most: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of PNG of the same names, grey and `size` pixels square; a mask is above half its largest value."""
    from PIL import Image

    files = sorted(images.glob("*.png"))
    files = [file for file in files[:: max(1, len(files) // most)] if (labels / file.name).exists()][:most]
    if not files:
        raise UserError(f"expected PNG of the same names in {images} and {labels}, found none")

    def read(file: Path, how: Any) -> Tensor:
        with Image.open(file) as picture:
            return torch.from_numpy(np.asarray(picture.convert("L").resize((size, size), how), np.float32))

    for first in range(0, len(files), BATCH):
        some = files[first : first + BATCH]
        grey = torch.stack([read(file, Image.Resampling.BILINEAR) for file in some])
        masks = [read(labels / file.name, Image.Resampling.NEAREST) for file in some]
        yield grey[:, None], torch.stack([mask > mask.max() / 2 for mask in masks])[:, None].to(torch.int16)


def run(arguments: argparse.Namespace) -> None:
    datasets = {}
    for folder in arguments.folders:
        if not folder.is_dir():
            raise UserError(f"expected a folder of preprocessed cases, found none at {folder}; see --help")
        datasets[folder.parent.name] = preprocessed_slices(folder, arguments.slices)
    for images, labels, size in arguments.pictures or []:
        datasets[f"{Path(images).parent.name}, {size} px"] = pictures(
            Path(images), Path(labels), int(size), arguments.slices
        )
    if not datasets:
        raise UserError("expected a folder of preprocessed cases or --pictures, got neither; see --help")
    torch.set_num_threads(1)
    found = {name: placements(islice(batches, arguments.slices)) for name, batches in datasets.items()}
    rows = [
        [
            name,
            *(" → ".join(f"{part:.2f}" for part in parts) for parts in zip(*map(astuple, kinds.values()), strict=True)),
        ]
        for name, kinds in found.items()
    ]
    print("Bins: " + " → ".join(BINS) + "\n")
    print(markdown(["data", "of the fuzzy region near an edge", "edge voxels that are fuzzy", "AUROC of m"], rows))
    if arguments.json is not None:
        data = {name: {kind: asdict(each) for kind, each in kinds.items()} for name, kinds in found.items()}
        write_results(arguments.json, made_here() | {"data": data}, arguments.overwrite)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="of a configuration's cases")
    parser.add_argument("--pictures", nargs=3, action="append", metavar=("IMAGES", "LABELS", "SIZE"))
    parser.add_argument("--slices", type=int, default=400, metavar="N", help="of each dataset (default: 400)")
    add_json(parser)
    return run_command(parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
