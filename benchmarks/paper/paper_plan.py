"""Which trainings each table needs, the most telling first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.paper.paper_run import PaperRun

UNET = "U-Net (BasicUNet)"
EPOCHS = 40  # of an arm of Algorithm 1, if nothing else is asked for
TRAINER = ("settings of nnUNetTrainerDALE", "settings of nnUNetTrainerDALE, masked loss")
# times as many epochs: about as much time as an arm of Algorithm 1
LONGER = {"ordinary": 4, **dict.fromkeys(TRAINER, 2)}
MAIN = ("ordinary", "DALE as printed", "masked loss", "ordinary, two updates per batch")
# of both views, the paper's Table 4
PARTS = tuple(
    f"{view}, {part}" for part in ("alternation only", "no omega", "no L_W") for view in ("printed", "masked loss")
)


@dataclass(frozen=True)
class Block:
    """Some arms on the same data with the same network."""

    arms: Sequence[str]
    data: str = "polyps"
    labels: str = "clean"
    network: str = UNET
    seed: int = 1


MASKED_LOSS = [
    f"masked loss, {without}"
    for without in ("no omega", "no L_W", "noisy voxels aligned too", "clean where omega fell")
]
SOURCES = ["printed, entropy only", "printed, edges only"]
READINGS = [
    *("released file", "label whole", "fuzzy loss weighted by M^f", "omega by one Adam step", "clean where omega fell"),
    *("L_W without gradient", "features normalised", "label masked by the other mask"),
]
SETTINGS = ["tau 0.7", "tau 0.5", "patches twice as large", "alpha 0.005", "alpha 0.5"]
TABLES: dict[str, list[Block]] = {
    # Tables 1 and 4 of the paper
    "polyps": [Block([*MAIN, "printed, alternation only", "printed, no omega", "printed, no L_W"])],
    # the noise the paper is about
    "noise": [Block(MAIN, labels=labels) for labels in ("boundary", "dilated")],
    "parts": [Block(["masked loss, alternation only", *TRAINER, *MASKED_LOSS, *SOURCES])],
    "seeds": [Block([*MAIN, *PARTS, *TRAINER], seed=seed) for seed in (2, 3)],
    "masked_value": [
        Block(["printed, alternation only, darkest", "printed, darkest"], seed=seed) for seed in (1, 2, 3)
    ],
    "readings": [Block([*READINGS, *SETTINGS])],
    "nodules": [Block(MAIN, data="nodules")],
    # Table 2 of the paper
    "networks": [
        Block(MAIN, network=network)
        for network in ("Attention U-Net", "SegResNet", "UNet++ (BasicUNetPlusPlus)", "SwinUNETR")
    ],
}


def planned(table: str, epochs: int = EPOCHS) -> list[PaperRun]:
    """The trainings of a table.

    Raises:
        SystemExit: a name of no table.
    """
    if table not in TABLES:
        raise SystemExit(f"expected a table of {', '.join(TABLES)}, got {table}")
    return [
        PaperRun(block.data, block.labels, block.network, arm, epochs * LONGER.get(arm, 1), block.seed)
        for block in TABLES[table]
        for arm in block.arms
    ]
