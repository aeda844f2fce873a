"""Finding the files of a dataset: folders that must be there, images and labels that belong together."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.nnunet_files.file_names import PICTURE_ENDINGS, VOLUME_ENDINGS, is_image_name
from nnunetv2_dale.nnunet_files.problems import Problem

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
VOLUME_SUFFIXES = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".mha")


def case_name(text: str) -> str:
    """Return `text` as a case identifier: letters, digits, "-" and "_" stay, each run of anything else becomes "_"."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)


def first_folder(candidates: Sequence[Path], problems: list[Problem]) -> Path | None:
    """Return the first of `candidates` that is a folder; if none is, the first one is reported as missing."""
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    others = ", ".join(f"or {candidate.name}" for candidate in candidates[1:] if candidate.name != candidates[0].name)
    problems.append(Problem(candidates[0], " ".join(["folder is missing", others]).strip()))
    return None


def files_by_stem(folder: Path | None, suffixes: Sequence[str], problems: list[Problem]) -> dict[str, Path]:
    """Return files of a folder (None: of nothing) with one of `suffixes` by their name without it, no hidden ones.

    Two files of one stem are a problem: which of them is meant cannot be known. So are images of other formats.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder else ():
        suffix = next((suffix for suffix in suffixes if path.name.lower().endswith(suffix)), None)
        if path.name.startswith("."):
            continue
        if suffix is None or not path.is_file():
            if what := _passed_over(path, suffixes):
                problems.append(Problem(path, what))
            continue
        stem = path.name[: -len(suffix)]
        if stem in found:
            problems.append(Problem(path, f"has the same name as {found[stem].name}; keep one of them"))
        else:
            found[stem] = path
    return found


def _passed_over(path: Path, suffixes: Sequence[str]) -> str | None:
    """What would silently be left out: an image of another format, a series of DICOM files, several masks of a case."""
    if path.is_file() and path.name.lower().endswith((*VOLUME_ENDINGS, *PICTURE_ENDINGS)):
        return f"is in a format that is not read here; expected {', '.join(suffixes)}"
    inside = sorted(each.name for each in path.iterdir()) if path.is_dir() else []
    if any(name.lower().endswith((".dcm", ".ima")) for name in inside):
        return "is a folder of DICOM files; make a volume of the series first, for example with dcm2niix"
    masks = [name for name in inside if is_image_name(name)]
    if not masks:
        return None
    shown = ", ".join(masks[:3]) + (", …" if len(masks) > 3 else "")
    return (
        f"is a folder of {counted(len(masks), 'file')} ({shown}); one file per case is expected, "
        f"{path.name}{suffixes[0]}, "
        "where a label has a value for each class; where masks overlap, decide which class wins"
    )


def pair_files(
    image_folders: Sequence[Path],
    label_folders: Sequence[Path],
    problems: list[Problem],
    suffixes: Sequence[str] = PICTURE_SUFFIXES,
    image_of_label: Callable[[str], str] = lambda stem: stem,
) -> list[tuple[str, Path, Path]]:
    """Return (stem of the image, image, label), sorted, of images with their labels, by file name.

    Args:
        image_folders: names that the folder of the images may have; the first that is there is taken.
        problems: missing folders, images without label, labels without image and ambiguous names are added here.
        image_of_label: stem of a label file -> stem of the image it belongs to.
    """
    image_folder, label_folder = first_folder(image_folders, problems), first_folder(label_folders, problems)
    if image_folder is None or label_folder is None:
        return []
    images = files_by_stem(image_folder, suffixes, problems)
    labels = {image_of_label(stem): path for stem, path in files_by_stem(label_folder, suffixes, problems).items()}
    problems.extend(
        Problem(images[stem], f"has no label in {label_folder.name}") for stem in sorted(images.keys() - labels.keys())
    )
    problems.extend(
        Problem(labels[stem], f"has no image in {image_folder.name}") for stem in sorted(labels.keys() - images.keys())
    )
    if not images:
        problems.append(Problem(image_folder, f"holds no file that ends in {', '.join(suffixes)}"))
    return [(stem, images[stem], labels[stem]) for stem in sorted(images.keys() & labels.keys())]
