"""Which trainings each table needs, the most telling first."""

from __future__ import annotations

from paper_training import PaperRun

UNET = "U-Net (BasicUNet)"
EPOCHS = 20  # of an arm of Algorithm 1; ordinary training has four times as many, about the same time
LONGER = {"ordinary": 4, "ordinary, two updates per batch": 2}  # times as many epochs
FIRST = (
    "ordinary",
    "ordinary, two updates per batch",
    "DALE as printed",
    "masked loss",
    "printed, alternation only",
    "printed, no omega",
    "printed, no L_W",
)
READINGS = (
    "released file",
    "label whole",
    "fuzzy loss weighted by M^f",
    "omega by one Adam step",
    "clean where omega fell",
    "L_W without gradient",
    "features normalised",
    "label masked by the other mask",
    "tau 0.7",
    "tau 0.5",
    "patches twice as large",
    "alpha 0.005",
    "alpha 0.5",
)
OTHERS = ("Attention U-Net", "UNet++ (BasicUNetPlusPlus)", "SwinUNETR", "SegResNet")


def runs(data: str, labels: str, network: str, arm: str, seeds: tuple[int, ...] = (1,)) -> list[PaperRun]:
    """The trainings of an arm, one per seed."""
    return [PaperRun(data, labels, network, arm, EPOCHS * LONGER.get(arm, 1), seed) for seed in seeds]


TABLES: dict[str, list[PaperRun]] = {
    # Tables 1 and 4 of the paper: polyps, clean labels
    "polyps": [run for arm in FIRST for run in runs("polyps", "clean", UNET, arm)],
    # the noise the paper is about
    "noise": [
        run
        for labels in ("boundary", "dilated")
        for arm in ("ordinary", "DALE as printed", "masked loss", "ordinary, two updates per batch")
        for run in runs("polyps", labels, UNET, arm)
    ],
    "parts": [
        run
        for arm in (
            "masked loss, alternation only",
            "masked loss, no omega",
            "masked loss, no L_W",
            "settings of nnUNetTrainerDALE",
            "printed, entropy only",
            "printed, edges only",
        )
        for run in runs("polyps", "clean", UNET, arm)
    ],
    "seeds": [
        run
        for seed in (2, 3)
        for arm in ("ordinary", "ordinary, two updates per batch", "DALE as printed", "masked loss")
        for run in runs("polyps", "clean", UNET, arm, (seed,))
    ],
    "readings": [run for arm in READINGS for run in runs("polyps", "clean", UNET, arm)],
    "nodules": [
        run
        for arm in ("ordinary", "DALE as printed", "masked loss", "ordinary, two updates per batch")
        for run in runs("nodules", "clean", UNET, arm)
    ],
    # Table 2 of the paper: other networks
    "networks": [
        run
        for network in OTHERS
        for arm in ("ordinary", "DALE as printed", "masked loss")
        for run in runs("polyps", "clean", network, arm)
    ],
}
