"""Any folder of volumes with labels, for example a task of the Medical Segmentation Decathlon."""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.shared_flags import add_readers_target
from nnunetv2_dale.convert.described_classes import read_classes_and_channels
from nnunetv2_dale.convert.layouts import VOLUME_SUFFIXES, case_name, files_by_stem, first_folder
from nnunetv2_dale.convert.plan import DatasetPlan, Facts, SourceCase
from nnunetv2_dale.convert.recipe import Recipe
from nnunetv2_dale.convert.volume_files import VolumeFormat
from nnunetv2_dale.nnunet_files.file_names import odd_channels
from nnunetv2_dale.nnunet_files.problems import Problem

FACTS = Facts(
    title="Any folder of NIfTI, NRRD or MHA volumes and one of labels, such as a Medical Segmentation Decathlon task",
    source="your own data, or http://medicaldecathlon.com (Antonelli et al., Nature Communications 2022)",
    licence="the source's (the Decathlon's is CC BY-SA 4.0)",
    modality="3D, one file per channel: CASE.nii.gz, or CASE_0000.nii.gz, CASE_0001.nii.gz, ...",
    classes="from dataset.json in that folder, or given with --classes in the order of their label values 1, 2, ...",
    cases="all that are there",
    split="none: nnU-Net's own five folds",
    layout="""\
  imagesTr/*.nii.gz   labelsTr/*.nii.gz   (other names: --images, --labels)
  imagesTs/*.nii.gz   labelsTs/*.nii.gz   (used if present)
  also .nii, .nrrd, .seg.nrrd and .mha
  dataset.json                            (of the Decathlon or of nnU-Net; not read with --classes and --channels)""",
    caveats="""Decathlon tasks with several channels in one 4D file (BrainTumour, Prostate) have to be split first. In
    the .seg.nrrd files of 3D Slicer, the names of the segments say which class a value is. Several readers of the same
    images: name the folder of each with --labels; the new dataset is that of nnUNetv2_dale_confidence raters.""",
)


def plan(source: Path, options: argparse.Namespace) -> DatasetPlan:
    """Every image with its label, and the test images if there are any."""
    problems: list[Problem] = []
    label_map, names, channels = _classes_and_channels(source, options, problems)
    images = files_by_stem(first_folder([source / options.images], problems), VOLUME_SUFFIXES, problems)
    readers = _readers(source, options.labels, problems)
    labelled = {name for masks in readers.values() for name in masks}
    by_case, numbered = images_by_case(images, labelled, problems)
    test_images, test_masks = (
        files_by_stem(folder if folder.is_dir() else None, VOLUME_SUFFIXES, problems)
        for folder in (source / "imagesTs", source / "labelsTs")
    )
    test, _ = images_by_case(test_images, test_masks.keys(), problems, numbered)
    cases = [
        *_cases(by_case, readers, None, options.images, problems),
        *_cases(test, {"labelsTs": test_masks}, "", "imagesTs", problems),
    ]
    for folder, masks in zip(options.labels, readers.values(), strict=True):
        for case in sorted(by_case.keys() - masks.keys()):
            problems.append(Problem(next(iter(by_case[case].values())), f"has no label in {folder}"))
    everywhere = {**{f"{name} of imagesTs": each for name, each in test.items()}, **by_case}
    odd = odd_channels({name: sorted(files) for name, files in sorted(everywhere.items())})
    problems.extend(Problem(next(iter(everywhere[name].values())), what) for name, what in odd.items())
    problems.extend(
        Problem(case.images[0], f"{case.name} has {len(case.images)} channels instead of {len(channels)}")
        for case in cases
        if not odd and channels and len(case.images) != len(channels)
    )
    return DatasetPlan(
        facts=FACTS,
        channel_names=channels or ("unknown",),
        labels=names,
        cases=cases,
        format=VolumeFormat(label_map, names, options.mask_threshold, has_mask_options=True),
        problems=problems,
        readers_become=options.target,
    )


def _readers(source: Path, folders: Sequence[Path], problems: list[Problem]) -> dict[str, dict[str, Path]]:
    """Reader, who is called after the folder -> name -> label."""
    if len({folder.name for folder in folders}) < len(folders):
        raise UserError(
            f"expected a folder of labels with a name of its own for each reader, got {', '.join(map(str, folders))}"
        )
    return {
        folder.name: files_by_stem(first_folder([source / folder], problems), VOLUME_SUFFIXES, problems)
        for folder in folders
    }


def _classes_and_channels(
    source: Path, options: argparse.Namespace, problems: list[Problem]
) -> tuple[dict[int, int], dict[str, int], tuple[str, ...]]:
    """Value in the files -> label, class -> label, and the channels: from the flags, else from dataset.json."""
    path = source / "dataset.json"
    described: tuple[dict[int, str], tuple[str, ...]] = ({}, ())
    if not (options.classes and options.channels):
        described = read_classes_and_channels(path, problems, not options.classes, not options.channels)
    classes = dict(enumerate(["background", *options.classes])) if options.classes else described[0]
    channels = tuple(options.channels or described[1])
    if not problems and not classes:
        raise UserError(f"{source} has no dataset.json with labels; name the classes with --classes")
    if not problems and not channels:
        raise UserError(f"{source} has no dataset.json with channels; name them with --channels, for example CT")
    classes = {**classes, 0: "background"}  # nnU-Net wants it under this name
    values = sorted(classes)
    if values != list(range(len(values))) and not options.consecutive_labels:
        shown = ", ".join(map(str, values[:8])) + (", …" if len(values) > 8 else "")
        what = f"has the labels {shown}, and nnU-Net needs consecutive ones; --consecutive_labels renumbers them"
        problems.append(Problem(path, what))
    label_map = {value: number for number, value in enumerate(values)}
    names = {classes[value]: label for value, label in label_map.items()}
    if len(names) < len(classes):
        problems.append(Problem(path, "gives several labels the same name"))
    return label_map, names, channels


def _cases(
    images: Mapping[str, Mapping[int, Path]],
    readers: Mapping[str, Mapping[str, Path]],
    test_set: str | None,
    folder: str,
    problems: list[Problem],
) -> list[SourceCase]:
    """Cases with their labels, of one reader or several; training cases without one are left to the caller."""
    for masks in readers.values():
        unseen = sorted(masks.keys() - images.keys())
        problems.extend(Problem(masks[name], f"has no image in {folder}") for name in unseen)
    cases = []
    for name, files in sorted(images.items()):
        drawn = {reader: masks[name] for reader, masks in readers.items() if name in masks}
        if not drawn and test_set is None:
            continue
        channels = tuple(files[number] for number in sorted(files))
        label = next(iter(drawn.values()), None) if len(readers) == 1 else None
        several = drawn if len(readers) > 1 else {}
        cases.append(SourceCase(case_name(name), channels, label, test_set, readers=several))
    return cases


def images_by_case(
    images: Mapping[str, Path], labelled: Collection[str], problems: list[Problem], numbered: bool = True
) -> tuple[dict[str, dict[int, Path]], bool]:
    """Image files of each case by channel: the number at the end of CASE_0001 is a channel's, unless it is the case's.

    A file with the whole name of a label is that case's only channel: patient_0001 beside a label patient_0001.

    Args:
        images: file name without ending -> file.
        labelled: names of the labels.
        problems: two files for one channel of a case are added here.
        numbered: whether numbers of files without a label are those of channels.
    Returns:
        case -> channel -> file, and whether any file has a channel's number.
    """
    found: dict[str, dict[int, Path]] = defaultdict(dict)
    parts = {stem: re.fullmatch(r"(.+)_(\d{4})", stem) for stem in images}
    for stem, part in parts.items():
        belongs = part is not None and stem not in labelled and (part[1] in labelled or (numbered and not labelled))
        case, channel = (part[1], int(part[2])) if belongs and part is not None else (stem, 0)
        if channel in found[case]:
            problems.append(Problem(images[stem], f"is channel {channel} of {case}, as is {found[case][channel].name}"))
        found[case][channel] = images[stem]
    return dict(found), any(part is not None and part[1] in found for part in parts.values())


def add_options(parser: argparse.ArgumentParser) -> None:
    """Folder names, classes and channels."""
    folder = "Folder of %s in that of -i"
    parser.add_argument("--images", type=Path, default="imagesTr", metavar="FOLDER", help=folder % "images")
    labels = f"{folder % 'labels'}; several, one of each reader, become one label and how far they agree"
    parser.add_argument("--labels", type=Path, nargs="+", default=[Path("labelsTr")], metavar="FOLDER", help=labels)
    add_readers_target(parser)
    classes = "Name of each label: the first has the value 1, the next 2, ... Default: what dataset.json says"
    parser.add_argument("--classes", nargs="+", metavar="CLASS", help=classes)
    channels = "What each image shows, such as CT or T2; CT only for Hounsfield units. Default: what dataset.json says"
    parser.add_argument("--channels", nargs="+", metavar="NAME", help=channels)
    threshold = "Foreground is every value of at least VALUE, for one class: 1 for numbered parts, 0.5 for soft masks"
    parser.add_argument("--mask_threshold", type=float, metavar="VALUE", help=threshold)
    parser.add_argument(
        "--consecutive_labels",
        action="store_true",
        help="Renumber label values with gaps, such as 0 1 2 4, to 0 1 2 3 in their order",
    )


EXAMPLES = (
    "--name Spleen",
    "--images scans --labels masks --classes liver --channels CT",
    "--labels anna ben carl --classes liver --channels CT",
)
RECIPE = Recipe("nifti_pairs", "Converted", FACTS, plan, add_options, EXAMPLES)
