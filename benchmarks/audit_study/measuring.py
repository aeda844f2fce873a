"""The audit and its rivals on one condition, against the errors that are known."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.audit_study.conditions import Condition, raw_folder
from benchmarks.audit_study.quality import ranking_quality
from benchmarks.audit_study.rivals import rival_scores
from nnunetv2_dale.audit.audit_task import AuditTask, CaseInputs
from nnunetv2_dale.audit.case_volumes import read_case
from nnunetv2_dale.audit.kept_evidence import all_evidence
from nnunetv2_dale.audit.maps import suspicion_map
from nnunetv2_dale.audit.referees import audit_task
from nnunetv2_dale.audit.scoring import Judgement, expected_effort, rank_cases
from nnunetv2_dale.nnunet_files.npz_channels import npz_channels

LISTED, SURE = 0.2, 0.5
# What a kind of noise may rightly be called. Corners cut off a polygon make an object smaller; `boundary` grows it.
RIGHT_NAMES = {
    "dilate": {"wider"},
    "erode": {"narrower"},
    "boundary": {"wider", "unclear"},
    "shift": {"shifted"},
    "smooth": {"narrower", "unclear"},
    "missing": {"missed_object", "empty"},
    "swap": {"exchanged"},
}
VOXELS_OF_A_CASE = 20_000  # at most, drawn for the ranking of voxels


def measure(condition: Condition, results: Path, kept: Path, hard: Collection[str] = frozenset()) -> dict[str, Any]:
    """Everything the tables need of a condition; evidence that was measured before is `kept`.

    The wrong labels are ranked against the right ones of `hard` cases alone, too, which have soft borders.
    """
    task = audit_task([results], references=raw_folder(condition) / "labelsTr" if condition.kinds else None)
    evidence = all_evidence(task, kept, 1)
    judged = rank_cases(evidence, task)
    noise = _noise(condition)
    names = [each.audited.case for each in judged]
    wrong = np.array([name in noise for name in names])
    rank = {name: -float(place) for place, name in enumerate(names)}
    row: dict[str, Any] = {
        "condition": condition.name,
        "cases": len(names),
        "wrong": int(wrong.sum()),
        "expected": expected_effort([each.audited for each in judged]),
        "false_findings_per_100_right": _false(judged, noise),
    }
    if hard:
        row["false_findings_per_100_hard_and_right"] = _false(
            [each for each in judged if each.audited.case in hard], noise
        )
    if not condition.kinds:
        return row
    scores: dict[str, list[float]] = {"audit": [rank[name] for name in names]}
    voxels: dict[str, list[np.ndarray]] = {"truth": []}
    dice = {}
    for case in evidence:
        known = [c.dice for c in case.classes.values() if c.dice is not None]
        dice[case.case] = 1 - float(np.mean(known)) if known else 0.0  # neither side has anything: they agree
    inputs = {each.case: each for each in task.cases}
    for each in judged:
        found = _case(condition, inputs[each.audited.case], task, each, voxels)
        for name, value in (found | {"1 - Dice": dice[each.audited.case]}).items():
            scores.setdefault(name, []).append(value)
    truth = np.concatenate(voxels.pop("truth"))
    bad_enough = np.array(
        [not noise.get(name) or noise[name]["dice"] <= 0.8 or noise[name]["kind"] == "swap" for name in names]
    )
    return row | {
        "cases_ranked": {name: ranking_quality(wrong, each) for name, each in scores.items()},
        "cases_ranked_dice_at_most_0.8": {
            name: ranking_quality(wrong[bad_enough], np.array(each)[bad_enough]) for name, each in scores.items()
        },
        **({"against_hard_and_right": _against(hard, names, wrong, scores)} if hard else {}),
        "wrong_dice_at_most_0.8": int((wrong & bad_enough).sum()),
        "voxels_ranked": {name: ranking_quality(truth, np.concatenate(each)) for name, each in voxels.items()},
        "named": _named(judged, noise),
        "missed": [
            {"case": each.audited.case, "score": round(each.audited.score, 3), **noise[each.audited.case]}
            for each in judged
            if each.audited.case in noise and each.audited.score < SURE
        ],
    }


def _against(
    hard: Collection[str], names: Sequence[str], wrong: NDArray[np.bool_], scores: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """The wrong labels among the right ones of hard cases."""
    mine = wrong | np.array([name in hard for name in names])
    ranked = {name: ranking_quality(wrong[mine], np.array(each)[mine]) for name, each in scores.items()}
    return {"right_and_hard": int((mine & ~wrong).sum()), **ranked}


def _noise(condition: Condition) -> dict[str, dict[str, Any]]:
    """Case → kind and Dice, of the cases whose label changed."""
    if not condition.kinds:
        return {}
    with (raw_folder(condition) / "label_noise.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    changed = [row for row in rows if any(int(row[f"voxels_{what}"]) for what in ("added", "removed", "reclassified"))]
    return {row["case"]: {"kind": row["kind"], "dice": round(float(row["dice"]), 3)} for row in changed}


def _case(
    condition: Condition, inputs: CaseInputs, task: AuditTask, judged: Judgement, voxels: dict[str, list[np.ndarray]]
) -> dict[str, float]:
    volumes = read_case(inputs, task)
    file = inputs.probabilities[0]
    if file is None:
        raise SystemExit(f"{inputs.case} was predicted without --npz; train again")
    probabilities = np.stack(list(npz_channels(file, volumes.label.shape, len(task.channels)))).astype(np.float64)
    rivals = rival_scores(volumes.label.astype(np.uint8), probabilities)
    suspicion = suspicion_map(volumes, task, judged.class_chances, judged.class_kinds)
    changed, _ = task.reader.read_seg(str(raw_folder(condition) / "labelsTr_changed" / inputs.label.name))
    truth = changed[0] > 0
    drawn = np.random.default_rng(len(voxels["truth"])).permutation(truth.size)[:VOXELS_OF_A_CASE]
    for name, array in (("truth", truth), ("audit", suspicion), ("1 - p of the label (cleanlab)", rivals.voxels)):
        voxels.setdefault(name, []).append(array.reshape(-1)[drawn])
    return {"cleanlab softmin": rivals.cleanlab, "mean loss": rivals.mean_loss}


def _false(judged: list[Judgement], noise: dict[str, Any]) -> dict[str, float]:
    right = [each for each in judged if each.audited.case not in noise]
    return {
        f"score >= {least:g}": round(100 * sum(each.audited.score >= least for each in right) / len(right), 2)
        for least in (LISTED, SURE)
    }


def _named(judged: list[Judgement], noise: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Per kind of noise: how the first finding of each found case is called."""
    names: dict[str, Counter[str]] = {}
    for each in judged:
        if each.audited.case in noise and each.audited.findings:
            kind = noise[each.audited.case]["kind"]
            names.setdefault(kind, Counter())[each.audited.findings[0].kind] += 1
    right = sum(count for kind, found in names.items() for name, count in found.items() if name in RIGHT_NAMES[kind])
    total = sum(sum(found.values()) for found in names.values())
    return {"right": right, "of": total, "names": {kind: dict(found) for kind, found in names.items()}}
