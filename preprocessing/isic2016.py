"""ISIC-2016 with PH2 as external test set."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunetv2_dale.convert.layouts import case_name, pair_files
from nnunetv2_dale.convert.picture_files import add_mask_options, picture_format
from nnunetv2_dale.convert.plan import DatasetPlan, Facts, SourceCase
from nnunetv2_dale.convert.recipe import Recipe
from nnunetv2_dale.convert.splits import fixed_split
from nnunetv2_dale.nnunet_files.problems import Problem

_PART = "ISBI2016_ISIC_Part1_"

FACTS = Facts(
    title="ISIC-2016: skin lesions in dermoscopy, with PH2 as external test set",
    source="""ISIC 2016 task 1, https://challenge.isic-archive.com/data/#2016 (Gutman et al., arXiv 1605.01397).
    PH2: https://www.fc.up.pt/addi/ph2%20database.html (Mendonca et al., EMBC 2013).""",
    licence="ISIC-2016: CC0. PH2: free for research and benchmarking (its paper); no licence text could be verified.",
    modality="8-bit RGB, JPEG (ISIC) and BMP (PH2) of varying size; channels R, G, B",
    classes="0 background, 1 lesion (the masks hold 0 and 255)",
    cases="ISIC 900 training and 379 test; PH2 200",
    split="the challenge's: fold 0 of splits_final.json is 900/379; PH2's 200 are in imagesTs and labelsTs",
    layout=f"""\
  {_PART}Training_Data/ISIC_0000000.jpg ...
  {_PART}Training_GroundTruth/ISIC_0000000_Segmentation.png ...
  {_PART}Test_Data/...   {_PART}Test_GroundTruth/...
  PH2Dataset/PH2 Dataset images/IMD002/IMD002_Dermoscopic_Image/IMD002.bmp   (--ph2 gives another place)
  PH2Dataset/PH2 Dataset images/IMD002/IMD002_lesion/IMD002_lesion.bmp""",
)


def plan(source: Path, options: argparse.Namespace) -> DatasetPlan:
    """Both ISIC parts for training in one fold, PH2 as the test set."""
    problems: list[Problem] = []
    train = _isic_cases(source, "Training", problems)
    test = _isic_cases(source, "Test", problems)
    external = [] if options.without_ph2 else _ph2_cases(options.ph2 or source / "PH2Dataset", problems)
    return DatasetPlan(
        facts=FACTS,
        channel_names=("R", "G", "B"),
        labels={"background": 0, "lesion": 1},
        cases=[*train, *test, *external],
        format=picture_format(options, colour=True),
        splits=fixed_split((case.name for case in train), (case.name for case in test)),
        expected_counts={None: 900 + 379, **({} if options.without_ph2 else {"": 200})},
        problems=problems,
    )


def _isic_cases(source: Path, part: str, problems: list[Problem]) -> list[SourceCase]:
    pairs = pair_files(
        [source / f"{_PART}{part}_Data"],
        [source / f"{_PART}{part}_GroundTruth"],
        problems,
        image_of_label=lambda stem: stem.removesuffix("_Segmentation").removesuffix("_segmentation"),
    )
    return [SourceCase(case_name(stem), (image,), mask) for stem, image, mask in pairs]


def _ph2_cases(folder: Path, problems: list[Problem]) -> list[SourceCase]:
    names = ("PH2 Dataset images", "PH2_Dataset_images", ".")
    root = next((folder / name for name in names if (folder / name).is_dir()), None)
    if root is None:
        problems.append(Problem(folder, "folder is missing; give PH2's place with --ph2, or --without_ph2"))
        return []
    cases = []
    for case in sorted(path for path in root.resolve().glob("IMD*") if path.is_dir()):
        image = case / f"{case.name}_Dermoscopic_Image" / f"{case.name}.bmp"
        mask = case / f"{case.name}_lesion" / f"{case.name}_lesion.bmp"
        missing = [path for path in (image, mask) if not path.is_file()]
        problems.extend(Problem(path, "file is missing") for path in missing)
        if not missing:
            cases.append(SourceCase(case_name(case.name), (image,), mask, ""))
    if not cases and not problems:
        problems.append(Problem(root, "holds no folder named like IMD002"))
    return cases


def add_options(parser: argparse.ArgumentParser) -> None:
    """Where PH2 is, and the flags for masks."""
    parser.add_argument(
        "--ph2", type=Path, metavar="FOLDER", help="PH2's folder. Default: PH2Dataset in the folder of -i"
    )
    parser.add_argument("--without_ph2", action="store_true", help="Convert ISIC-2016 alone, with no external test set")
    add_mask_options(parser)


RECIPE = Recipe("isic2016", "ISIC2016", FACTS, plan, add_options)
