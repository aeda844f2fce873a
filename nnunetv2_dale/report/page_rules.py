"""How the page says what its numbers are: what was counted, measured and tested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnunetv2_dale.report.lesions import MATCHED_ABOVE_IOU
from nnunetv2_dale.report.report_data import Report


def _patches(settings: Mapping[str, Any]) -> str:
    """What was used: in small images a patch has fewer voxels than asked for."""
    used = settings.get("fuzzy_patches")
    return f"{used} voxels" if used else f"{settings['fuzzy_patch_size']} voxels in-plane"


def rules_of(report: Report) -> list[tuple[str, str]]:
    """Return what a reader has to know to trust a number, as (name, sentence)."""
    settings = report.settings
    unit = "patients, with all their cases" if report.patients is not None else "cases"
    rules = [
        ("Pairing", "Cases are paired by name. Cases that are not in every folder are left out and listed."),
        (
            "Empty masks",
            "Prediction and reference both empty: not counted. One of them empty: every ratio (Dice, IoU, precision, "
            "recall, surface Dice, F1 of connected parts) is 0, distances are missing. The counts are in the table of "
            "empty classes.",
        ),
        (
            "Precision, recall",
            "Precision is the share of the predicted voxels that are in the reference, recall the share of the "
            "reference's voxels that were predicted.",
        ),
        (
            "Mean over classes",
            "Of one case. Ratios: over the classes the run counts. Distances: over the classes that have a distance in "
            "every run, so that a missed structure cannot bring a run closer.",
        ),
        *_statistics_rules(report, unit),
        (
            "Better, same, worse",
            "Same: within 1 point (0.01) for ratios, within 1 mm for distances.",
        ),
    ]
    if "fuzzy_source" in settings:
        rules += [
            (
                "Surfaces",
                "Voxels of a mask that touch a voxel outside it, distances in mm between voxel centres (MONAI). HD95 "
                "is the larger directed 95th percentile, ASD the mean over both surfaces, surface Dice the share of "
                f"both surfaces at most {settings['surface_dice_tolerance_mm']:g} mm apart.",
            ),
            (
                "Connected parts",
                "Of a class's mask, such as its lesions; voxels that touch at a face, an edge or a corner belong "
                "together. Parts of reference and prediction are matched one to one where their IoU is above "
                f"{MATCHED_ABOVE_IOU:g}, so that there are most pairs. F1 is 2 × pairs / (parts of the reference + "
                "parts of the prediction).",
            ),
            (
                "Fuzzy region",
                f"Patches of the reference ({_patches(settings)}) with m ≥ "
                f"{settings['fuzzy_tau']:g}, computed from {settings['fuzzy_source']}, the same for every run. Dice "
                "and IoU of the masks inside it; distances of the surface voxels inside it to the whole other surface.",
            ),
        ]
    return rules


def _statistics_rules(report: Report, unit: str) -> list[tuple[str, str]]:
    how = f"{report.settings['bootstrap_resamples']} resamples of {{}}, seed {report.settings['bootstrap_seed']}"
    if any(row.of_trainers for row in report.comparisons):
        return [
            (
                "Interval",
                "95 % of the difference of the means over trainings and cases: a hierarchical bootstrap "
                f"({how.format(f'trainings and {unit}')}), set wider for few trainings.",
            ),
            ("Tests", "Two-sided paired t-test over the trainings' mean values, in the order they were given."),
            (
                "Several trainings",
                "Values of a case are means over the trainings of a side, where every training has one. Empty classes "
                "and connected parts are counted over all trainings.",
            ),
        ]
    return [
        ("Interval", f"95 % bootstrap interval of the mean difference (BCa, {how.format(unit)}; SciPy)."),
        (
            "Tests",
            "Two-sided paired t-test and Wilcoxon signed-rank test"
            + (" on the mean difference of each patient" if report.patients is not None else "")
            + ". The Holm column adjusts Wilcoxon's p over the classes of a metric and candidate; the mean over "
            "classes stands alone. Nothing is adjusted over metrics or candidates.",
        ),
        (
            "Smallest difference that could be shown",
            "With 80 % power by a paired t-test at α = 0.05, given the spread of the differences seen (statsmodels).",
        ),
    ]
