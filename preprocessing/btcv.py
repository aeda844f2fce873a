"""BTCV, 13 organs."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunetv2_dale.convert.layouts import VOLUME_SUFFIXES, case_name, files_by_stem, pair_files
from nnunetv2_dale.convert.plan import DatasetPlan, Facts, SourceCase
from nnunetv2_dale.convert.recipe import Recipe
from nnunetv2_dale.convert.splits import random_folds
from nnunetv2_dale.convert.volume_files import VolumeFormat
from nnunetv2_dale.nnunet_files.problems import Problem

ORGANS = {
    "background": 0,
    "spleen": 1,
    "right kidney": 2,
    "left kidney": 3,
    "gallbladder": 4,
    "esophagus": 5,
    "liver": 6,
    "stomach": 7,
    "aorta": 8,
    "inferior vena cava": 9,
    "portal and splenic vein": 10,
    "pancreas": 11,
    "right adrenal gland": 12,
    "left adrenal gland": 13,
}
"""BTCV's organs with the label values of its files."""

LICENCE = """Free after registration at Synapse and under the terms shown there (syn3193805); they could not be verified
    for this page; read them before you share anything made from the data."""

LAYOUT = """\
  img/img0001.nii.gz ...      (or below Training/ or RawData/Training/, as the archive RawData.zip has it)
  label/label0001.nii.gz ...
  Testing/img/img0061.nii.gz ...  (beside Training/; used if present, it has no labels)"""

FACTS = Facts(
    title="BTCV: 13 organs in abdominal CT (MICCAI 2015, Beyond the Cranial Vault)",
    source="""https://www.synapse.org/#!Synapse:syn3193805 (Abdomen, RawData.zip). Landman et al., MICCAI Multi-Atlas
    Labeling Beyond the Cranial Vault - Workshop and Challenge, 2015.""",
    licence=LICENCE,
    modality="portal venous CT in Hounsfield units, 512 x 512, 2.5 to 5 mm slices; channel CT (nnU-Net's CT scheme)",
    classes=", ".join(f"{value} {name}" for name, value in ORGANS.items()),
    cases="30 labelled (0001 to 0010 and 0021 to 0040), 20 unlabelled (0061 to 0080)",
    split="none official with labels; five folds by nnU-Net's own seed are written down",
    layout=LAYOUT,
    caveats="Some patients have no right kidney or no gallbladder.",
)


def btcv_pairs(source: Path, problems: list[Problem]) -> list[tuple[str, Path, Path]]:
    """(number, image, label) of every labelled case, for example ("0001", ...)."""
    roots = [source, source / "Training", source / "RawData" / "Training"]
    root = next((root for root in roots if (root / "img").is_dir() or (root / "label").is_dir()), source)
    pairs = pair_files(
        [root / "img"],
        [root / "label"],
        problems,
        VOLUME_SUFFIXES,
        image_of_label=lambda stem: stem.replace("label", "img", 1),
    )
    return [(stem.removeprefix("img"), image, label) for stem, image, label in pairs]


def _unlabelled(source: Path, problems: list[Problem]) -> list[SourceCase]:
    roots = [source / "Testing" / "img", source.parent / "Testing" / "img", source / "RawData" / "Testing" / "img"]
    folder = next((root for root in roots if root.is_dir()), None)
    images = files_by_stem(folder, VOLUME_SUFFIXES, problems)
    return [SourceCase(case_name(stem.replace("img", "case", 1)), (path,), None, "") for stem, path in images.items()]


def plan(source: Path, options: argparse.Namespace) -> DatasetPlan:
    """Every labelled case for training with five folds, the unlabelled ones in `imagesTs`."""
    problems: list[Problem] = []
    cases = [SourceCase(case_name(f"case{n}"), (i,), label) for n, i, label in btcv_pairs(source, problems)]
    names = [case.name for case in cases]
    if not problems and len(names) < 5:
        problems.append(Problem(source, f"five folds need at least 5 labelled cases, found {len(names)}"))
    return DatasetPlan(
        facts=FACTS,
        channel_names=("CT",),
        labels=ORGANS,
        cases=[*cases, *_unlabelled(source, problems)],
        format=VolumeFormat({value: value for value in ORGANS.values()}),
        splits=random_folds(names) if len(names) >= 5 else None,
        expected_counts={None: 30},
        problems=problems,
    )


RECIPE = Recipe("btcv", "BTCV13Organs", FACTS, plan)
