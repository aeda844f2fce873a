"""Which trainings each table needs, in the order that they are made. Settings are chosen on folds 0 and 1.

Results of settings that are gone stay in `benchmarks/results/accuracy` and are not made again.
"""

from __future__ import annotations

from benchmarks.accuracy.arms import ARMS
from benchmarks.accuracy.study_training import Run

LABELS = ("dilated", "clean", "eroded")
COMPARED = ("plain", "DALE", "CaseTrust")
PARTS = tuple(arm for arm in ARMS if arm.startswith("DALE_") and arm != "DALE_asPrinted")
BATCHES = 3000
REPORTED = (2, 3, 4)  # folds

TABLES: dict[str, list[Run]] = {
    # what the default was chosen on
    "dale_choose": [
        *(
            Run("displaced", labels, "2d", 0, arm, BATCHES)
            for labels in ("clean", "dilated")
            for arm in ("phases 0.3 to 0.7", "phases 0.35 to 0.75")
        ),
        *(
            Run("displaced", labels, "2d", 0, arm, BATCHES)
            for labels in ("dilated", "clean")
            for arm in ("no phase-out", "phase-in 0.5", "plain", "CaseTrust")
        ),
        *(
            Run("displaced", "dilated", "2d", 0, arm, BATCHES)
            for arm in ("DALE_maskedLoss", "no average of v", "L_W not bounded", "equal bins", "begins at the clock")
        ),
    ],
    # the comparison, one seed after the other: equal batches, then equal time
    "dale": [
        Run("displaced", labels, "2d", fold, arm, BATCHES, seed, equal)
        for seed in (0, 1)
        for versions, arms, equal in ((LABELS, COMPARED, "batches"), (LABELS[:2], ("DALE",), "time"))
        for fold in REPORTED
        for labels in versions
        for arm in arms
    ],
    # one part off, and the printed method
    "dale_parts": [
        *(Run("displaced", "dilated", "2d", 2, arm, BATCHES) for arm in PARTS),
        Run("displaced", "dilated", "2d", 2, "DALE_asPrinted", BATCHES, 0, "time"),
        Run("displaced", "dilated", "2d", 2, "DALE_asPrinted", BATCHES),
        Run("displaced", "dilated", "2d", 2, "GCE", BATCHES),
    ],
    # does a training ever collapse? Other first weights, and trainings so short that classes are found late or never
    "dale_collapse": [
        Run("displaced", "clean", configuration, fold, arm, budget, seed)
        for configuration, fold, budget, seeds in (
            ("2d", 0, 1000, range(1, 7)),
            ("2d", 0, 2000, range(1, 5)),
            ("3d_fullres", 2, 600, range(1, 3)),
        )
        for seed in seeds
        for arm in ("DALE", "plain")
    ],
    "dale_volumes": [
        Run("displaced", labels, "3d_fullres", 2, arm, 1200)
        for labels in ("dilated", "clean")
        for arm in ("DALE", "plain", "CaseTrust")
    ],
    "dale_readers": [
        Run("lidc", "random_reader", "2d", fold, arm, 2000) for fold in REPORTED for arm in ("DALE", "plain")
    ],
    # what a masked voxel looks like, and Algorithm 1 on every third batch, beside DALE of the same code
    "dale_settings": [
        Run("displaced", labels, "2d", 2, arm, BATCHES, seed, equal)
        for arms, equal in (
            (("DALE", "darkest", "every 3"), "batches"),
            (("every 3",), "time"),
            (("plain",), "batches"),
        )
        for seed in (0, 1)
        for labels in ("dilated", "clean")
        for arm in arms
    ],
    # of `dale`, made again when displacement began to count voxels near a label edge alone
    "dale_near": [Run("displaced", labels, "2d", 2, "CaseTrust", 3000) for labels in ("eroded", "dilated", "clean")],
    # of `dale`, made again when the trust of cases got its five ways
    "dale_ways": [Run("displaced", labels, "2d", 2, "CaseTrust", 3000) for labels in ("dilated", "clean", "eroded")],
}
