"""Which trainings each table needs. Arms are chosen on folds 0 and 1 and reported on folds 2 to 4.

With exceptions: BEFORE was the default until it failed on LIDC, GATED until its gain on dilated labels was not enough
(docs/evidence.md); CHOSEN came of that, and was chosen on fold 0.
"""

from __future__ import annotations

from arms import ARMS
from study_training import Run

ONE_UPDATE = tuple(name for name in ARMS if name.startswith(("whole batch", "default")))
CHOSEN = "default"
BEFORE = "whole batch, likelihood gated beyond 0.4"
STRICTER, GATED = f"{BEFORE}, learned to 0.5", f"{BEFORE}, learned to 0.3"
LATER = (f"{GATED}, from 60 %", f"{GATED}, from 60 %, below 0.1")
EVERY_LABELS = ("dilated", "clean", "biased", "unbiased")
ALL_LABELS = ("dilated", "clean", "biased")
TABLES: dict[str, list[Run]] = {
    "choose": [
        Run("hippocampus", labels, "2d", 0, arm, 4000)
        for arm, versions in {
            "plain": ALL_LABELS,
            CHOSEN: ALL_LABELS,
            "whole batch, displacement beyond 0.5": ALL_LABELS,
            "whole batch, displacement": ALL_LABELS,
            "whole batch, likelihood": ALL_LABELS,
            "whole batch, likelihood below 1": ALL_LABELS,
            "whole batch, gated likelihood": ALL_LABELS,
            GATED: ALL_LABELS,
            "whole batch, likelihood where m >= 0.3": ("dilated", "clean"),
            "gce": ALL_LABELS,
            "whole batch, gated likelihood from 10 %": ("dilated", "clean"),
        }.items()
        for labels in versions
    ],
    "screen": [
        *(Run("hippocampus", "biased", "2d", 0, arm, 2000) for arm in ARMS if arm not in ONE_UPDATE),
        *(Run("hippocampus", "biased", "2d", 0, arm, 2000) for arm in ONE_UPDATE),
        Run("hippocampus", "biased", "2d", 0, "plain", 460),  # as many batches as the printed method has
    ],
    "confirm": [
        Run("hippocampus", labels, "2d", fold, arm, 4000)
        for fold in (2, 3, 4)
        for arm, versions in {
            CHOSEN: EVERY_LABELS if fold < 4 else ALL_LABELS,
            "plain": EVERY_LABELS if fold < 4 else ALL_LABELS,
            GATED: {2: ALL_LABELS, 3: ("dilated", "clean"), 4: ("dilated",)}[fold],
            STRICTER: ("dilated",) if fold == 2 else (),
            BEFORE: EVERY_LABELS if fold < 4 else ALL_LABELS,
            "gce": ("dilated", "biased") if fold == 2 else ("dilated",) if fold == 3 else (),
            "whole batch, displacement": EVERY_LABELS if fold == 2 else (),
        }.items()
        for labels in versions
    ]
    # as many batches as the default has
    + [Run("hippocampus", "biased", "2d", fold, "plain", 3780) for fold in (2, 3, 4)],
    "seeds": [
        *(
            Run("hippocampus", labels, "2d", fold, arm, 4000, seed)
            for labels in ("biased", "clean", "dilated")
            for seed in (1, 2)
            for fold in (2, 3, 4)
            for arm in (CHOSEN, "plain")
        ),
        *(Run("lidc", "random_reader", "2d", fold, arm, 4000, 1) for fold in (2, 3, 4) for arm in (CHOSEN, "plain")),
    ],
    "converged": [
        *(Run("hippocampus", labels, "2d", 2, arm, 16000) for labels in ALL_LABELS for arm in (CHOSEN, "plain")),
        Run("hippocampus", "dilated", "2d", 2, "printed", 16000),
    ],
    "volumes": [
        Run("hippocampus", labels, "3d_fullres", 2, arm, 3000)
        for labels in ("dilated", "clean")
        for arm in (CHOSEN, "plain")
    ],
    "readers": [
        *(
            Run("lidc", "random_reader", "2d", fold, arm, 1200)
            for fold in (2, 3)
            for arm in (GATED, "plain", BEFORE, *((STRICTER,) if fold == 2 else LATER))
        ),
        *(Run("lidc", "random_reader", "2d", fold, arm, 4000) for fold in (2, 3, 4) for arm in (CHOSEN, "plain")),
        Run("lidc", "consensus", "2d", 2, "plain", 4000),
    ],
}
TABLES["confirm"].sort(key=lambda run: run.labels != "dilated")  # what the noise costs most, first
