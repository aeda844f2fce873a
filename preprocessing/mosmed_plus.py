"""MosMedData+: COVID-19 lesions in lung CT slices."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunetv2_dale.convert.layouts import case_name, pair_files
from nnunetv2_dale.convert.picture_files import add_mask_options, picture_format
from nnunetv2_dale.convert.plan import DatasetPlan, Facts, SourceCase
from nnunetv2_dale.convert.recipe import Recipe
from nnunetv2_dale.convert.splits import fixed_split
from nnunetv2_dale.nnunet_files.problems import Problem

FACTS = Facts(
    title="MosMedData+: COVID-19 lesions in lung CT slices",
    source="""Slices and split as handed out with https://github.com/HUANGLIZI/LViT (Li et al., LViT, IEEE TMI 2023).
    The CTs are from MosMedData, https://mosmed.ai/datasets/covid19_1110 (Morozov et al., medRxiv 2020).""",
    licence="MosMedData: CC BY-NC-ND 3.0 (its paper). The terms of the slices made from it could not be verified.",
    modality="8-bit grey PNG slices, no Hounsfield units and no spacing; channel zscore (per-image z-score)",
    classes="0 background, 1 lesion (ground-glass opacity or consolidation)",
    cases="2729: 2183 training, 273 validation, 273 test",
    split="the published one: fold 0 of splits_final.json is 2183/273, the 273 test slices are in imagesTs, labelsTs",
    layout="""\
  Train_Folder/img/*.png    Train_Folder/labelcol/*.png   (or images/ and labels/; masks may begin with mask_)
  Val_Folder/...            Test_Folder/...""",
    caveats="""Whether the split keeps a patient's slices on one side could not be verified; LViT's text prompts
    are not used.""",
)


def plan(source: Path, options: argparse.Namespace) -> DatasetPlan:
    """Training and validation slices in one fold, test slices apart."""
    problems: list[Problem] = []
    train = _cases(source / "Train_Folder", None, problems)
    validation = _cases(source / "Val_Folder", None, problems)
    test = _cases(source / "Test_Folder", "", problems)
    return DatasetPlan(
        facts=FACTS,
        channel_names=("zscore",),
        labels={"background": 0, "lesion": 1},
        cases=[*train, *validation, *test],
        format=picture_format(options, colour=False),
        splits=fixed_split((case.name for case in train), (case.name for case in validation)),
        expected_counts={None: 2183 + 273, "": 273},
        problems=problems,
    )


def _cases(folder: Path, test_set: str | None, problems: list[Problem]) -> list[SourceCase]:
    images, masks = [folder / "img", folder / "images"], [folder / "labelcol", folder / "labels"]
    pairs = pair_files(images, masks, problems, image_of_label=lambda stem: stem.removeprefix("mask_"))
    return [SourceCase(case_name(stem), (image,), mask, test_set) for stem, image, mask in pairs]


RECIPE = Recipe("mosmed_plus", "MosMedDataPlus", FACTS, plan, add_mask_options)
