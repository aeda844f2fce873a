"""Draws docs/overview.png: what DALE makes of a CT slice whose labels are drawn too wide.

    python docs/overview_picture.py FOLDER/imagesTr/ct_slab_0000.nii.gz FOLDER/labelsTr/ct_slab.nii.gz

A small U-Net is trained on the slices of one abdominal CT, with all of DALE. In 40 % of the slices liver, spleen and
stomach are drawn too wide. It takes a few minutes on a CPU.
"""

from __future__ import annotations

import argparse
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor, nn

from nnunetv2_dale.case_trust.case_trust import CaseTrust
from nnunetv2_dale.case_trust.config import CaseTrustConfig
from nnunetv2_dale.dale.alternating_step import AlternatingStep
from nnunetv2_dale.dale.config import ADAPTED
from nnunetv2_dale.dale.look import Look, look_at
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.dale.phased_step import PhasedStep
from nnunetv2_dale.pages.slice_display import CT_WINDOWS_HU, draw_slice

PICTURE = Path(__file__).resolve().parent / "overview.png"
ORGANS = {5: "liver", 7: "spleen", 8: "stomach"}  # of the label file
ROWS, COLUMNS = slice(70, 214), slice(32, 224)  # around the body, at half the resolution
BATCHES, EPOCH, BATCH, WIDER_BY = 360, 36, 3, 2  # the last in pixels


@dataclass(frozen=True)
class Slices:
    """Slices of a CT, each (Z, Y, X)."""

    hounsfield: NDArray[np.float32]
    truth: NDArray[np.int16]
    given: NDArray[np.int16]  # what the network is trained on
    wide: NDArray[np.bool_]  # (Z,): where `given` is drawn too wide
    spacing_mm: tuple[float, float]


def read_slices(image: Path, label: Path) -> Slices:
    """Every second pixel of the slices; labels of 40 % of them, drawn at random, grow by `WIDER_BY` pixels."""
    picture = SimpleITK.ReadImage(str(image))
    hounsfield = SimpleITK.GetArrayFromImage(picture).astype(np.float32)[:, ::2, ::2][:, ROWS, COLUMNS]
    values = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(label)))[:, ::2, ::2][:, ROWS, COLUMNS]
    truth = np.zeros(values.shape, np.int16)
    for number, value in enumerate(ORGANS, start=1):
        truth[values == value] = number
    wide = np.random.default_rng(0).permutation(len(truth)) < 0.4 * len(truth)
    given = np.stack([wider(each) if is_wide else each for each, is_wide in zip(truth, wide, strict=True)])
    columns_mm, rows_mm = (2 * spacing for spacing in picture.GetSpacing()[:2])
    return Slices(hounsfield, truth, given, wide, (rows_mm, columns_mm))


def wider(label: NDArray[np.int16]) -> NDArray[np.int16]:
    """The label with each organ grown into the background by `WIDER_BY` pixels."""
    distance, nearest = ndimage.distance_transform_edt(label == 0, return_indices=True)
    return np.where(distance <= WIDER_BY, label[tuple(nearest)], 0).astype(np.int16)


def train(slices: Slices) -> AlternatingStep:
    """A small U-Net, trained with all of DALE; each slice is a case."""
    torch.manual_seed(0)
    network = PlainConvUNet(
        1, 5, [8, 16, 32, 64, 64], nn.Conv2d, 3, [1, 2, 2, 2, 2], 1, len(ORGANS) + 1, 1, True, nn.InstanceNorm2d,
        {"affine": True, "eps": 1e-5}, nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True},
    )  # fmt: skip
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.99, nesterov=True)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, BATCHES + 1, 0.9)  # above 0 at the end
    loss = MaskedLoss(batch_dice=True)
    trust = CaseTrust(loss, CaseTrustConfig(after=0), BATCHES)
    algorithm = AlternatingStep(network, network, optimizer, loss, len(ORGANS) + 1, ADAPTED, label_trust=trust)
    step = PhasedStep(algorithm, BATCHES)
    random = np.random.default_rng(0)
    for number in range(BATCHES):
        if number % EPOCH == 0 and trust.may_doubt(number):
            print(*trust.look_for_groups(), sep="\n")
        chosen = random.choice(len(slices.wide), BATCH, replace=False)
        images, targets, cases = batch_of(slices, chosen)
        contrast = 1 + 0.1 * torch.randn(BATCH, 1, 1, 1)
        record = step(images * contrast + 0.1 * torch.randn_like(images), targets, cases)
        schedule.step()
        if number % EPOCH == EPOCH - 1:
            print(f"batch {number + 1} of {BATCHES}: loss {float(record.loss):.3f}", flush=True)
    return algorithm


def batch_of(slices: Slices, chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor, list[str]]:
    """Normalised images and given labels, (B, 1, Y, X), and the slices' names."""
    low, high = CT_WINDOWS_HU["soft tissue"]
    images = (np.clip(slices.hounsfield[chosen], low, high) - low) / (high - low) * 4 - 2
    labels = torch.from_numpy(slices.given[chosen])[:, None]
    return torch.from_numpy(images)[:, None].float(), labels, [f"slice {number}" for number in chosen]


def draw(slices: Slices, chosen: int, seen: Look, file: Path) -> None:
    """The first slice of `seen`, which is slice `chosen`, in six panels; a PNG of 256 colours."""
    figure = Figure(figsize=(12.0, 1.75), dpi=100, layout="constrained")
    panels = figure.subplots(1, 6)
    ct, spacing_mm = slices.hounsfield[chosen], slices.spacing_mm
    given, truth = slices.given[chosen], slices.truth[chosen]
    outlines = {"true labels": _outline(truth), "given labels": _outline(given)}
    m, meta, case = (each[0, 0].numpy() for each in (seen.batch.fuzziness, seen.meta, seen.case))
    clear, fuzzy = (view.images[0, 0].numpy() for view in (seen.batch.non_fuzzy, seen.batch.fuzzy))
    draw_slice(panels[0], ct, spacing_mm, outlines, CT_WINDOWS_HU["soft tissue"])
    titles = ["given and true labels", "fuzziness", "clear view", "fuzzy view", "confidence ω", "trust of the case"]
    for panel, title in zip(panels, titles, strict=True):
        panel.set_title(title, fontsize=10)
    aspect = spacing_mm[0] / spacing_mm[1]
    for panel, values, colours, limits in (
        (panels[1], m, "magma", (0, 1)),
        (panels[2], clear, "gray", (-2, 2)),
        (panels[3], fuzzy, "gray", (-2, 2)),
        (panels[4], meta, "PuOr_r", (0.9, 1.1)),
        (panels[5], case, "gray", (0, 1)),
    ):
        panel.imshow(values, cmap=colours, vmin=limits[0], vmax=limits[1], aspect=aspect, interpolation="nearest")
        panel.set_xticks([])
        panel.set_yticks([])
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    Image.open(drawn).convert("RGB").quantize(256).save(file, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path, help="the CT, in HU")
    parser.add_argument("label", type=Path, help="its labels, with the values of Synapse's eight organs")
    parser.add_argument("-o", type=Path, default=PICTURE, help="where to; default: docs/overview.png")
    arguments = parser.parse_args()
    slices = read_slices(arguments.image, arguments.label)
    algorithm = train(slices)
    wide = np.flatnonzero(slices.wide)
    chosen = np.array([wide[len(wide) // 2], *np.flatnonzero(~slices.wide)[: BATCH - 1]])
    seen = look_at(algorithm, *batch_of(slices, chosen))
    draw(slices, int(chosen[0]), seen, arguments.o)


def _outline(label: NDArray[np.int16]) -> NDArray[np.int16]:
    return (label > 0).astype(np.int16)


if __name__ == "__main__":
    main()
