"""Polyps: PraNet's training set and its five test sets."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunetv2_dale.convert.layouts import case_name, pair_files
from nnunetv2_dale.convert.picture_files import add_mask_options, picture_format
from nnunetv2_dale.convert.plan import DatasetPlan, Facts, SourceCase
from nnunetv2_dale.convert.recipe import Recipe
from nnunetv2_dale.nnunet_files.problems import Problem

TEST_SETS = {"CVC-300": 60, "CVC-ClinicDB": 62, "CVC-ColonDB": 380, "ETIS-LaribPolypDB": 196, "Kvasir": 100}
"""PraNet's folder names and counts; CVC-300 is the test part of EndoScene."""

FACTS = Facts(
    title="Polyps in colonoscopy: Kvasir and CVC-ClinicDB for training, five test sets (PraNet's files)",
    source="""TrainDataset and TestDataset of https://github.com/DengPingFan/PraNet (Fan et al., MICCAI 2020), made from
    Kvasir-SEG (Jha et al. 2020), CVC-ClinicDB (Bernal et al. 2015), CVC-ColonDB (Tajbakhsh et al. 2016), EndoScene
    (Vazquez et al. 2017) and ETIS-LaribPolypDB (Silva et al. 2014).""",
    licence="Each set has its own terms (research and education); none could be verified for this page.",
    modality="8-bit RGB PNG of varying size; channels R, G, B",
    classes="0 background, 1 polyp. Kvasir's masks were JPEG once and hold 0 to 7 and 248 to 255; they are recognised.",
    cases="1450 training (900 Kvasir, 550 CVC-ClinicDB); test "
    + ", ".join(f"{count} {name}" for name, count in TEST_SETS.items()),
    split="""the published one: all 1450 train with nnU-Net's own folds; each test set has its folders, for example
    imagesTs_Kvasir and labelsTs_Kvasir, for nnUNetv2_predict and nnUNetv2_evaluate_folder""",
    layout="""\
  TrainDataset/images/*.png   TrainDataset/masks/*.png   (or image/ and mask/)
  TestDataset/CVC-300/images/*.png   TestDataset/CVC-300/masks/*.png   and so on for all five""",
    caveats="Images of one video sequence can lie on both sides of nnU-Net's random folds.",
)


def plan(source: Path, options: argparse.Namespace) -> DatasetPlan:
    """PraNet's training images, and its five test sets in folders of their own."""
    problems: list[Problem] = []
    cases = _cases(source / "TrainDataset", None, problems)
    for name in TEST_SETS:
        cases += _cases(source / "TestDataset" / name, name, problems)
    return DatasetPlan(
        facts=FACTS,
        channel_names=("R", "G", "B"),
        labels={"background": 0, "polyp": 1},
        cases=cases,
        format=picture_format(options, colour=True),
        expected_counts=dict([(None, 1450), *TEST_SETS.items()]),
        problems=problems,
    )


def _cases(folder: Path, test_set: str | None, problems: list[Problem]) -> list[SourceCase]:
    pairs = pair_files([folder / "images", folder / "image"], [folder / "masks", folder / "mask"], problems)
    return [SourceCase(case_name(stem), (image,), mask, test_set) for stem, image, mask in pairs]


RECIPE = Recipe("polyp", "Polyp", FACTS, plan, add_mask_options)
