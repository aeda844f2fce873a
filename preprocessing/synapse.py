"""Synapse: BTCV's 8 organs with TransUNet's 18/12 split, from BTCV's volumes or from TransUNet's arrays."""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from nnunetv2_dale.convert.array_files import ArrayFormat
from nnunetv2_dale.convert.plan import CaseFormat, DatasetPlan, Facts, SourceCase
from nnunetv2_dale.convert.recipe import Recipe
from nnunetv2_dale.convert.splits import fixed_split
from nnunetv2_dale.convert.volume_files import VolumeFormat
from nnunetv2_dale.nnunet_files.problems import Problem

from . import btcv

ORGANS = {
    "background": 0,
    "aorta": 1,
    "gallbladder": 2,
    "left kidney": 3,
    "right kidney": 4,
    "liver": 5,
    "pancreas": 6,
    "spleen": 7,
    "stomach": 8,
}
"""The 8 organs in TransUNet's order."""

_TEST_NUMBERS = (1, 2, 3, 4, 8, 22, 25, 29, 32, 35, 36, 38)  # TransUNet's lists/lists_Synapse/test_vol.txt
TEST = tuple(f"case{number:04d}" for number in _TEST_NUMBERS)
TRAIN = tuple(f"case{number:04d}" for number in [*range(1, 11), *range(21, 41)] if number not in _TEST_NUMBERS)
"""The split: BTCV numbers its 30 labelled cases 1 to 10 and 21 to 40; TransUNet's train.txt has all but the 12."""

FACTS = Facts(
    title="Synapse: 8 organs in abdominal CT with TransUNet's 18/12 split",
    source="""BTCV's RawData.zip, https://www.synapse.org/#!Synapse:syn3193805 (Landman et al. 2015), or the arrays that
    https://github.com/Beckschen/TransUNet hands out (Chen et al., TransUNet, 2021).""",
    licence=f"{btcv.LICENCE} TransUNet's arrays come with the request not to redistribute them.",
    modality="""From BTCV: CT in Hounsfield units with its geometry; channel CT. From TransUNet: floats in [0, 1] (HU
    clipped to [-125, 275]) without geometry; channel noNorm, spacing as given by --spacing (default 1 1 1, as in
    TransUNet's own evaluation). Prefer BTCV's files: patch sizes and resampling depend on the spacing.""",
    classes=", ".join(f"{value} {name}" for name, value in ORGANS.items()) + "; BTCV's other organs are background",
    cases="30: 18 training, 12 test",
    split="""TransUNet's lists_Synapse: fold 0 of splits_final.json trains on the 18 and validates on the 12, so that
    fold_0/validation/summary.json holds the test result. There is no other fold: train fold 0 only.""",
    layout=f"""{btcv.LAYOUT}
  or TransUNet's:
  train_npz/case0005_slice000.npz ...
  test_vol_h5/case0001.npy.h5 ...""",
    caveats="""The 12 test cases take part in nnU-Net's fingerprint (intensity statistics, spacing), never in training.
    The label order of TransUNet's arrays is taken from the many projects that name them 1 aorta to 8 stomach; arrays
    made by other scripts may hold BTCV's order, so look at one case. Whether TransUNet's arrays are mirrored against
    BTCV's files could not be verified.""",
)


def plan(source: Path, options: argparse.Namespace) -> DatasetPlan:
    """All 30 cases for training, and the one fold of the 18/12 split."""
    problems: list[Problem] = []
    is_transunet = (source / "train_npz").is_dir() or (source / "test_vol_h5").is_dir()
    cases = _transunet_cases(source, problems) if is_transunet else _btcv_cases(source, problems)
    for name in sorted({*TRAIN, *TEST} - {case.name for case in cases}):
        problems.append(Problem(source, f"{name} is missing; the 18/12 split needs all 30 cases"))
    same = {value: value for value in ORGANS.values()}
    case_format: CaseFormat = (
        ArrayFormat(same, tuple(options.spacing), axes="slices") if is_transunet else VolumeFormat(_from_btcv())
    )
    return DatasetPlan(
        facts=FACTS,
        channel_names=("noNorm" if is_transunet else "CT",),
        labels=ORGANS,
        cases=cases,
        format=case_format,
        splits=fixed_split(TRAIN, TEST),
        expected_counts={None: 30},
        problems=problems,
    )


def _from_btcv() -> Mapping[int, int]:
    return {value: ORGANS.get(name, 0) for name, value in btcv.ORGANS.items()}


def _btcv_cases(source: Path, problems: list[Problem]) -> list[SourceCase]:
    cases = [SourceCase(f"case{number}", (image,), label) for number, image, label in btcv.btcv_pairs(source, problems)]
    return _of_the_split(cases, problems)


def _transunet_cases(source: Path, problems: list[Problem]) -> list[SourceCase]:
    slices: dict[str, dict[int, Path]] = defaultdict(dict)
    for path in sorted((source / "train_npz").glob("*.npz")):
        if match := re.fullmatch(r"(case\d{4})_slice(\d+)\.npz", path.name):
            slices[match[1]][int(match[2])] = path
        else:
            problems.append(Problem(path, "is not named like case0005_slice000.npz"))
    for name, numbers in slices.items():
        for gap in sorted(set(range(max(numbers) + 1)) - set(numbers)):
            path = source / "train_npz" / f"{name}_slice{gap:03d}.npz"
            problems.append(Problem(path, "is missing between its neighbours"))
    volumes = {path.name.removesuffix(".npy.h5"): path for path in sorted((source / "test_vol_h5").glob("*.npy.h5"))}
    cases = []
    for name, numbers in slices.items():
        if name not in volumes or name in TRAIN:
            files = tuple(numbers[number] for number in sorted(numbers))
            cases.append(SourceCase(name, files, files[0]))
    taken = {case.name for case in cases}
    cases += [SourceCase(name, (path,), path) for name, path in volumes.items() if name not in taken]
    return _of_the_split(cases, problems)


def _of_the_split(cases: list[SourceCase], problems: list[Problem]) -> list[SourceCase]:
    known = {*TRAIN, *TEST}
    strangers = [case.images[0] for case in cases if case.name not in known]
    problems.extend(Problem(path, "is not one of the 30 cases of the 18/12 split") for path in strangers)
    return [case for case in cases if case.name in known]


def add_options(parser: argparse.ArgumentParser) -> None:
    """`--spacing`, for TransUNet's arrays."""
    parser.add_argument(
        "--spacing",
        nargs=3,
        type=float,
        default=(1.0, 1.0, 1.0),
        metavar=("SLICES", "ROWS", "COLUMNS"),
        help="Voxel spacing in mm for TransUNet's arrays, which hold none",
    )


RECIPE = Recipe("synapse", "Synapse8Organs", FACTS, plan, add_options)
