"""LIDC nodules with four readers: a real case of unclear boundaries."""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path

import numpy as np

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.csv_table import read_keyed_table
from nnunetv2_dale.commands.shared_flags import add_seed
from nnunetv2_dale.convert.layouts import PICTURE_SUFFIXES, case_name, files_by_stem, first_folder
from nnunetv2_dale.convert.picture_files import PictureFormat
from nnunetv2_dale.convert.plan import DatasetPlan, Facts, SourceCase
from nnunetv2_dale.convert.recipe import Recipe
from nnunetv2_dale.convert.splits import folds_by_group
from nnunetv2_dale.nnunet_files.problems import Problem

NUM_READERS = 4
_READERS = tuple(f"rater{number}" for number in range(NUM_READERS))

FACTS = Facts(
    title="LIDC: lung nodules, one CT slice each, with the outlines of four readers",
    source="""LIDC-IDRI, https://www.cancerimagingarchive.net/collection/lidc-idri/ (Armato et al., Medical Physics
    2011), cut to one 128 x 128 slice per nodule.""",
    licence="CC BY 3.0",
    modality="8-bit grey PNG (a windowed CT without Hounsfield units or spacing); channel zscore",
    classes="0 background, 1 nodule",
    cases="530 nodules of 324 patients, each outlined by four readers",
    split="none official; five folds by patient, with nnU-Net's seed",
    layout="""\
  images/L0001_n0_s3.png ...
  rater0/ rater1/ rater2/ rater3/   (0/1 masks of the same names)
  consensus/                        (at least 2 of 4)
  cases.csv                         (columns case and patient)""",
    caveats="""A reader's number is not one person throughout. --target chooses the training label: a reader, a random
    reader for each case, or the consensus; the manifest says whose outline each case has.""",
)


def plan(source: Path, options: argparse.Namespace) -> DatasetPlan:
    """Every nodule with the chosen label, folds by patient."""
    problems: list[Problem] = []
    patients = _patients(source / "cases.csv", problems)
    folders = ["images", "consensus", *_READERS]
    found = {
        name: files_by_stem(first_folder([source / name], problems), PICTURE_SUFFIXES, problems)
        for name in folders
        if name in ("images", options.target) or (options.target == "random" and name in _READERS)
    }
    cases = []
    for name, patient in patients.items():
        label_folder = _label_folder(name, options.target, options.seed)
        missing = [folder for folder in ("images", label_folder) if name not in found[folder]]
        problems.extend(Problem(source / folder / f"{name}.png", "is missing") for folder in missing if found[folder])
        if missing:
            continue
        details = {"patient": patient, "label_from": label_folder}
        cases.append(SourceCase(case_name(name), (found["images"][name],), found[label_folder][name], details=details))
    unlisted = found["images"].keys() - patients.keys() if patients else set()
    problems.extend(Problem(found["images"][name], "is not in cases.csv") for name in sorted(unlisted))
    splits = None
    try:
        splits = folds_by_group({case.name: case.details["patient"] for case in cases})
    except ValueError as error:
        problems.append(Problem(source / "cases.csv", str(error)))
    return DatasetPlan(
        facts=FACTS,
        channel_names=("zscore",),
        labels={"background": 0, "nodule": 1},
        cases=cases,
        format=PictureFormat(colour=False),
        splits=splits,
        expected_counts={None: 530},
        problems=problems,
    )


def _patients(path: Path, problems: list[Problem]) -> dict[str, str]:
    """Case -> patient."""
    if not path.is_file():
        problems.append(Problem(path, "is missing; it says which patient a case is of"))
        return {}
    try:
        patients = {case: row["patient"] for case, row in read_keyed_table(path, "case", ["patient"]).items()}
    except UserError as error:
        problems.append(Problem(path, str(error).removeprefix(f"{path} ")))
        return {}
    problems.extend(Problem(path, f"names no patient for {case}") for case, patient in patients.items() if not patient)
    return patients


def _label_folder(case: str, target: str, seed: int) -> str:
    """The folder of a case's label; a random reader depends on the seed and the case's name alone."""
    if target != "random":
        return target
    return _READERS[int(np.random.default_rng([seed, zlib.crc32(case.encode())]).integers(NUM_READERS))]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Whose outline is the label."""
    parser.add_argument(
        "--target",
        choices=["consensus", "random", *_READERS],
        default="consensus",
        help="Training label: at least 2 of 4 readers, a random reader for each case, or one reader",
    )
    add_seed(parser, "--target random")


RECIPE = Recipe("lidc", "LIDC", FACTS, plan, add_options)
