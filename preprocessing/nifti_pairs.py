"""Any folder of volumes with labels, for example a task of the Medical Segmentation Decathlon."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.convert.layouts import VOLUME_SUFFIXES, case_name, files_by_stem, first_folder
from nnunetv2_dale.convert.plan import DatasetPlan, Facts, SourceCase
from nnunetv2_dale.convert.recipe import Recipe
from nnunetv2_dale.convert.volume_files import VolumeFormat
from nnunetv2_dale.nnunet_files.problems import Problem

FACTS = Facts(
    title="Any folder of NIfTI, NRRD or MHA volumes and one of labels, such as a Medical Segmentation Decathlon task",
    source="your own data, or http://medicaldecathlon.com (Antonelli et al., Nature Communications 2022)",
    licence="the source's (the Decathlon's is CC BY-SA 4.0)",
    modality="3D, one file per channel: CASE.nii.gz, or CASE_0000.nii.gz, CASE_0001.nii.gz, ...",
    classes="from dataset.json in SOURCE, or given with --classes in the order of their label values 1, 2, ...",
    cases="all that are there",
    split="none: nnU-Net's own five folds",
    layout="""\
  imagesTr/*.nii.gz   labelsTr/*.nii.gz   (other names: --images, --labels)
  imagesTs/*.nii.gz                       (used if present)
  dataset.json                            (of the Decathlon or of nnU-Net; used if present)""",
    caveats="Decathlon tasks with several channels in one 4D file (BrainTumour, Prostate) have to be split first.",
)


def plan(source: Path, options: argparse.Namespace) -> DatasetPlan:
    """Every image with its label, and the test images if there are any."""
    problems: list[Problem] = []
    labels, channels = _classes_and_channels(source, options, problems)
    images = _by_case(first_folder([source / options.images], problems), problems)
    label_folder = first_folder([source / options.labels], problems)
    masks = files_by_stem(label_folder, VOLUME_SUFFIXES, problems) if label_folder else {}
    for name in sorted(images.keys() - masks.keys()):
        problems.append(Problem(images[name][0], f"has no label in {options.labels}"))
    for name in sorted(masks.keys() - images.keys()):
        problems.append(Problem(masks[name], f"has no image in {options.images}"))
    cases = [SourceCase(case_name(name), images[name], masks[name]) for name in sorted(images.keys() & masks.keys())]
    test = _by_case(source / "imagesTs", problems) if (source / "imagesTs").is_dir() else {}
    cases += [SourceCase(case_name(name), files, None, "") for name, files in sorted(test.items())]
    problems.extend(
        Problem(case.images[0], f"{case.name} has {len(case.images)} channels instead of {len(channels)}")
        for case in cases
        if len(case.images) != len(channels)
    )
    return DatasetPlan(
        facts=FACTS,
        channel_names=channels,
        labels=labels,
        cases=cases,
        format=VolumeFormat({value: value for value in labels.values()}),
        problems=problems,
    )


def _classes_and_channels(
    source: Path, options: argparse.Namespace, problems: list[Problem]
) -> tuple[dict[str, int], tuple[str, ...]]:
    """From the flags, else from dataset.json, in the Decathlon's or in nnU-Net's form."""
    described: dict[str, dict[str, str]] = {}
    path = source / "dataset.json"
    try:
        described = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        labels = dict(enumerate(["background", *options.classes])) if options.classes else _value_to_name(described)
        channel_names = described.get("channel_names") or described.get("modality") or {}
        named = tuple(channel_names[key] for key in sorted(channel_names, key=int))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        problems.append(Problem(path, f"has no plain labels and channels ({error!r}); give --classes and --channels"))
        return {"background": 0}, ("unknown",)
    if not labels:
        raise UserError(f"{source} has no dataset.json with labels; name the classes with --classes")
    channels = tuple(options.channels or named)
    if not channels:
        raise UserError(f"{source} has no dataset.json with channels; name them with --channels, for example CT")
    return {name: value for value, name in sorted(labels.items())}, channels


def _value_to_name(described: dict[str, dict[str, str]]) -> dict[int, str]:
    """Label value -> class, from {"1": "liver"} (Decathlon) or {"liver": 1} (nnU-Net)."""
    pairs = described.get("labels", {}).items()
    return (
        {int(key): str(value) for key, value in pairs}
        if all(key.isdigit() for key, _ in pairs)
        else {int(value): key for key, value in pairs}
    )


def _by_case(folder: Path | None, problems: list[Problem]) -> dict[str, tuple[Path, ...]]:
    """Image files of each case, in the order of their channels."""
    found: dict[str, tuple[Path, ...]] = {}
    for stem, path in files_by_stem(folder, VOLUME_SUFFIXES, problems).items() if folder else ():
        name = re.sub(r"_\d{4}$", "", stem)
        found[name] = (*found.get(name, ()), path)
    return found


def add_options(parser: argparse.ArgumentParser) -> None:
    """Folder names, classes and channels."""
    parser.add_argument("--images", default="imagesTr", metavar="NAME", help="folder of images; default: imagesTr")
    parser.add_argument("--labels", default="labelsTr", metavar="NAME", help="folder of labels; default: labelsTr")
    parser.add_argument("--classes", nargs="+", metavar="CLASS", help="names of the label values 1, 2, ...")
    parser.add_argument("--channels", nargs="+", metavar="NAME", help="channel names, CT only for Hounsfield units")


RECIPE = Recipe("nifti_pairs", "Converted", FACTS, plan, add_options)
