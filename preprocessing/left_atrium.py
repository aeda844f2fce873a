"""Left atrium 2018, in the preprocessed form most semi-supervised papers use."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.convert.array_files import ArrayFormat
from nnunetv2_dale.convert.label_values import BINARY
from nnunetv2_dale.convert.layouts import case_name, first_folder
from nnunetv2_dale.convert.plan import DatasetPlan, Facts, SourceCase
from nnunetv2_dale.convert.recipe import Recipe
from nnunetv2_dale.convert.splits import fixed_split
from nnunetv2_dale.nnunet_files.problems import Problem

_FOLDERS = ("2018LA_Seg_Training Set", "2018LA_Seg_TrainingSet")

_IGNORE = 2

FACTS = Facts(
    title="Left atrium 2018: late gadolinium-enhanced MR, 80/20",
    source="""Atrial Segmentation Challenge 2018, https://www.cardiacatlas.org/atriaseg2018-challenge/ (Xiong et al.,
    MedIA 2021), as the mri_norm2.h5 files and lists of https://github.com/yulequan/UA-MT (Yu et al., MICCAI 2019).""",
    licence="Free after registration with the challenge; no licence text could be verified.",
    modality="3D LGE-MR, z-scored per volume before it was cropped; channel MRI (z-score again, harmless)",
    classes="0 background, 1 left atrium",
    cases="100: 80 training, 20 test",
    split="UA-MT's train.list and test.list: fold 0 of splits_final.json trains on the 80 and validates on the 20",
    layout="""\
  train.list   test.list      (one case per line)
  2018LA_Seg_Training Set/06SR5RBREL16DQ6M8LWS/mri_norm2.h5 ...   (arrays image and label, axes x, y, z)""",
    caveats="""The volumes were cropped around the true label, so results are better than on whole scans; compare only
    with others on these files. They hold no geometry: the challenge's 0.625 mm is written.""",
)


def plan(source: Path, options: argparse.Namespace) -> DatasetPlan:
    """All listed cases for training, and the one fold of the lists."""
    problems: list[Problem] = []
    root = first_folder([source / name for name in _FOLDERS], problems)
    train, test = (_listed(source / f"{name}.list", problems) for name in ("train", "test"))
    twice = sorted({*train} & {*test})
    problems.extend(Problem(source / "test.list", f"{name} is in train.list as well") for name in twice)
    if root is not None:
        unlisted = (
            {path.name for path in root.iterdir() if path.is_dir()} - {*train, *test} if train and test else set()
        )
        problems.extend(Problem(root / name, "is in neither list") for name in sorted(unlisted))
    files = {name: root / name / "mri_norm2.h5" for name in [*train, *test]} if root is not None else {}
    problems.extend(Problem(path, "is listed but missing") for path in files.values() if not path.is_file())
    labels = {"background": 0, "left atrium": 1}
    names = {name: case_name(name) for name in files}
    unlabelled: frozenset[str] = frozenset()
    if options.labelled is not None:
        if train and not 1 <= options.labelled < len(train):
            raise UserError(f"--labelled lies between 1 and {len(train) - 1}, got {options.labelled}")
        unlabelled = frozenset(case_name(name) for name in train[options.labelled :])
        labels["ignore"] = _IGNORE
    return DatasetPlan(
        facts=FACTS,
        channel_names=("MRI",),
        labels=labels,
        cases=[
            SourceCase(names[name], (path,), path, details=_details(names[name] in unlabelled, options))
            for name, path in files.items()
            if path.is_file()
        ],
        format=ArrayFormat(
            dict(BINARY), (0.625, 0.625, 0.625), axes="xyz", ignore_label=_IGNORE, unlabelled=unlabelled
        ),
        splits=fixed_split(map(case_name, train), map(case_name, test)),
        expected_counts={None: 100},
        problems=problems,
    )


def _details(is_unlabelled: bool, options: argparse.Namespace) -> dict[str, str]:
    """For the manifest: whether a case keeps its label, where that was asked for."""
    return {} if options.labelled is None else {"labelled": "no" if is_unlabelled else "yes"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """`--labelled`, the field's semi-supervised setting."""
    parser.add_argument(
        "--labelled",
        type=int,
        metavar="N",
        help="The first N of train.list keep their labels (usual: 8 or 16 of 80); of the others every voxel becomes "
        "the ignore label. The test cases keep theirs",
    )


def _listed(path: Path, problems: list[Problem]) -> list[str]:
    """Case names of a list file, one per line."""
    if not path.is_file():
        problems.append(Problem(path, "is missing; it comes with UA-MT's data and names the cases of its set"))
        return []
    names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    problems.extend(Problem(path, f"lists {name} twice") for name, count in Counter(names).items() if count > 1)
    return list(dict.fromkeys(names))


RECIPE = Recipe("left_atrium", "LeftAtrium2018", FACTS, plan, add_options)
