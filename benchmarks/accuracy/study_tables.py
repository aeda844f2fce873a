"""The study's tables as Markdown, from the stored results alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.table import markdown
from nnunetv2_dale.report.paired_statistics import paired_statistics

Result = dict[str, Any]
Floats = NDArray[np.float64]
TITLES = {
    "dale": "DALE and CaseTrust beside plain nnU-Net, folds 2 to 4",
    "dale_parts": "DALE without one part, and as printed (fold 2)",
    "dale_settings": "Settings of DALE beside its own: what a masked voxel looks like, how often Algorithm 1 (fold 2)",
    "dale_collapse": "Other first weights and short trainings, clean labels (2D: fold 0, 3D: fold 2)",
    "dale_volumes": "DALE in 3d_fullres",
    "dale_readers": "DALE on LIDC: one random reader for training, judged on the consensus",
    "dale_choose": "What the form of DALE was chosen on (fold 0)",
    "screen": "The first study: one fold, one seed, every arm (fold 0)",
    "choose": "The first study: the candidates on fold 0",
    "confirm": "The first study: folds 2 to 4",
    "converged": "The first study: four times as long",
    "volumes": "The first study: 3d_fullres",
    "readers": "The first study, LIDC: one random reader for training, judged on the consensus",
}

GONE = ("likelihood", "displacement", "gated", "views in turns", "L_W from half", "made cheaper")
"""Words in the names of arms whose settings are no longer in the code: their results are kept, not shown."""
NAMES = {"default": "CaseTrust", "gce": "GCE"}
"""Arms by another name than the stored one: what was the default is `nnUNetTrainerCaseTrust`."""

SCORES = {
    "one_minus_p": "1 − p",
    "one_minus_meta": "1 − ω, meta steps",
    "one_minus_case": "1 − ω, case",
    "one_minus_omega": "1 − ω",
}


def read(folder: Path, table: str) -> list[Result]:
    """The runs of a table, in the order they were made, without arms that are gone; none without a file.

    An arm that was trained for the time of plain nnU-Net, where others were for its batches, has that in its name.
    """
    file = folder / f"{table}.jsonl"
    results = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    for each in results:
        arm = NAMES.get(each["run"]["arm"], each["run"]["arm"])
        each["run"]["arm"] = f"{arm}, equal time" if each["run"].get("equal") == "time" else arm
    return [each for each in results if not any(word in each["run"]["arm"] for word in GONE)]


def all_tables(folder: Path) -> str:
    """Every table there are results for."""
    parts = []
    for table, title in TITLES.items():
        results = read(folder, table)
        if results and table == "dale_collapse":
            parts += [f"### {title}", "", range_of_trainings(results), ""]
        elif results:
            parts += [f"### {title}", "", comparison(results), "", progress(results), ""]
            found = confidence(results)
            parts += [found, ""] if found else []
    return "\n".join(parts).strip() + "\n"


def comparison(results: Sequence[Result]) -> str:
    """Per labels trained on and arm: means over all held-out cases, and the paired difference from plain nnU-Net."""
    header = ["labels", "arm", "cost", "batches", "folds × seeds", "Dice", "difference (95 % interval)", "HD95"]
    header += ["Dice, fuzzy region", "HD95, fuzzy region", "Dice, smallest third"]
    rows = []
    for labels, by_arm in _comparable(results):
        order = sorted(by_arm, key=lambda arm: (arm != "plain", -case_values(by_arm[arm], "dice").mean()))
        rows += [_row(labels, arm, by_arm[arm], by_arm.get("plain", [])) for arm in order]
    return markdown(header, rows, text=2)


def _comparable(results: Sequence[Result]) -> Iterator[tuple[str, dict[str, list[Result]]]]:
    """The labels, and the runs of each arm, of trainings on the same labels for the same number of batches."""
    for labels in _unique(each["run"]["labels"] for each in results):
        of_labels = [each for each in results if each["run"]["labels"] == labels]
        for budget in sorted({each["run"]["budget"] for each in of_labels}):
            yield labels, _by_arm([each for each in of_labels if each["run"]["budget"] == budget])


def _row(labels: str, arm: str, runs: Sequence[Result], plain: Sequence[Result]) -> list[str]:
    return [
        labels,
        arm,
        "–" if runs[0]["cost"] is None else f"{runs[0]['cost']:.2f}",
        str(runs[0]["iterations"]),
        str(len(runs)),
        _percent(case_values(runs, "dice")),
        "" if arm == "plain" else difference(plain, runs),
        _number(case_values(runs, "hd95")),
        _percent(case_values(runs, "dice_fuzzy")),
        _number(case_values(runs, "hd95_fuzzy")),
        _percent(_of_smallest_third(runs)),
    ]


def difference(plain: Sequence[Result], runs: Sequence[Result]) -> str:
    """Dice points, arm − plain, over the cases of the folds and seeds that both have; cases are resampled."""
    pairs = paired_dice(plain, runs)
    if not pairs:
        return "–"
    before, after = (np.array([pair[side] for pair in pairs.values()]) * 100 for side in (0, 1))
    found = paired_statistics(before, after, same_within=1.0)
    interval = "" if found.ci95 is None else f" ({found.ci95[0]:+.2f} to {found.ci95[1]:+.2f})"
    return f"{found.difference:+.2f}{interval}"


def paired_dice(plain: Sequence[Result], runs: Sequence[Result]) -> dict[str, tuple[float, float]]:
    """Case → (plain, arm), each the mean over seeds."""
    values: list[dict[str, list[float]]] = [{}, {}]
    shared = {_place(each) for each in plain} & {_place(each) for each in runs}
    for found, group in zip(values, (plain, runs), strict=True):
        for each in group:
            if _place(each) in shared:
                for case, dice in _per_case(each, "dice").items():
                    found.setdefault(case, []).append(dice)
    before, after = values
    return {case: (float(np.mean(before[case])), float(np.mean(after[case]))) for case in before if case in after}


def range_of_trainings(results: Sequence[Result]) -> str:
    """Per configuration, number of batches and arm: the lowest, mean and highest final Dice of its trainings."""
    rows = []
    for place in dict.fromkeys((each["run"]["configuration"], each["run"]["budget"]) for each in results):
        runs = [each for each in results if (each["run"]["configuration"], each["run"]["budget"]) == place]
        for arm, of_arm in _by_arm(runs).items():
            ends = np.array([100 * each["curve"][-1]["dice"] for each in of_arm])
            found = [f"{value:.1f}" for value in (ends.min(), ends.mean(), ends.max())]
            rows.append([place[0], str(place[1]), arm, str(len(ends)), *found])
    return markdown(["training", "batches", "arm", "seeds", "lowest Dice", "mean", "highest"], rows, text=3)


def progress(results: Sequence[Result]) -> str:
    """Mean Dice at a quarter, half, three quarters and the end of the time, which is the same for all arms."""
    rows = []
    for labels, by_arm in _comparable(results):
        for arm, runs in by_arm.items():
            means = 100 * np.mean([[point["dice"] for point in run["curve"]] for run in runs], axis=0)
            rows.append([labels, arm, str(len(runs)), *(f"{value:.1f}" for value in means)])
    times = ["Dice at a quarter of the time", "half", "three quarters", "end"]
    return markdown(["labels", "arm", "folds × seeds", *times], rows, text=2)


def case_values(runs: Sequence[Result], measure: str) -> Floats:
    """(cases,) means over classes, of all runs together."""
    return np.array([value for run in runs for value in _per_case(run, measure).values()])


def _of_smallest_third(runs: Sequence[Result]) -> Floats:
    """Dice of the third of all objects (a class of a case) with the fewest voxels, class by class."""
    chosen: list[float] = []
    for value in _unique(key for run in runs for classes in run["cases"].values() for key in classes):
        objects = [
            (classes[value]["voxels"], classes[value]["dice"])
            for run in runs
            for classes in run["cases"].values()
            if value in classes and classes[value]["voxels"] > 0 and classes[value]["dice"] is not None
        ]
        objects.sort(key=lambda each: each[0])
        chosen += [dice for _, dice in objects[: max(1, len(objects) // 3)]]
    return np.array(chosen)


def confidence(results: Sequence[Result]) -> str:
    """AUROC of 1 − p[label] and 1 − ω for the changed voxels near a contour, at a quarter, half, … of the training.

    A confidence that is 1 everywhere is left out.
    """
    rows = []
    for labels in _unique(each["run"]["labels"] for each in results):
        for arm, of_arm in _by_arm(results).items():
            runs = [each for each in of_arm if each["run"]["labels"] == labels and each["confidence"]]
            for score, name in SCORES.items():
                points = [[point[score] for point in run["confidence"] if score in point] for run in runs]
                if runs and points[0] and any(point["auroc_band"] != 0.5 for run in points for point in run):
                    cells = []
                    for measure in ("auroc_band", "ap_band"):
                        at = np.mean([[point[measure] for point in run] for run in points], axis=0)
                        cells.append(" ".join(f"{value:.2f}" for value in at))
                    rows.append([labels, arm, name, *cells])
    header = ["labels", "arm", "score", "AUROC over time", "average precision over time"]
    return markdown(header, rows, text=3) if rows else ""


def _per_case(run: Result, measure: str) -> dict[str, float]:
    found = {}
    for case, classes in run["cases"].items():
        values = [each[measure] for each in classes.values() if each.get(measure) is not None]
        if values:
            found[case] = float(np.mean(values))
    return found


def _place(result: Result) -> tuple[int, int]:
    return result["run"]["fold"], result["run"]["seed"]


def _by_arm(results: Sequence[Result]) -> dict[str, list[Result]]:
    arms = _unique(each["run"]["arm"] for each in results)
    return {arm: [each for each in results if each["run"]["arm"] == arm] for arm in arms}


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _percent(values: Floats) -> str:
    return f"{100 * values.mean():.2f}" if len(values) else "–"


def _number(values: Floats) -> str:
    return f"{values.mean():.2f}" if len(values) else "–"
