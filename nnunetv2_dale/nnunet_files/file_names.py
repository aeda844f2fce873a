"""What the names of files say and may be: images, channels that are numbered alike in all cases, names of a length."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError

UNFINISHED = ".unfinished_"
LONGEST_BYTES = 255  # of a name, on every common file system
# in lower case, whether or not nnU-Net reads them: none must be passed over silently
VOLUME_ENDINGS = (
    *(".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".gipl", ".gipl.gz", ".hdr", ".img", ".img.gz"),
    *(".dcm", ".dicom", ".ima", ".mgz", ".mgh", ".mnc", ".vtk", ".npy", ".npz", ".h5"),
)
PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jp2", ".ppm", ".pgm")


def is_image_name(name: str) -> bool:
    """Say whether a file of this name holds an image; hidden files, such as those of macOS, do not."""
    return name.lower().endswith((*VOLUME_ENDINGS, *PICTURE_ENDINGS)) and not name.startswith(".")


def odd_channels(channels: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """Return the cases whose channel numbers are not those that most cases have, with what is wrong.

    Of sets of numbers that are equally frequent, one without a gap is taken for the right one.
    """
    if not channels:
        return {}
    counts = Counter(tuple(numbers) for numbers in channels.values())
    usual = max(counts, key=lambda numbers: (counts[numbers], numbers == tuple(range(len(numbers)))))
    example = next(case for case, numbers in channels.items() if tuple(numbers) == usual)
    return {
        case: f"case {case} has {_shown(numbers)}, but case {example} has {_shown(usual)}; all need the same channels"
        for case, numbers in channels.items()
        if tuple(numbers) != usual
    }


def _shown(numbers: Sequence[int]) -> str:
    return f"channel{'s' * (len(numbers) > 1)} " + ", ".join(f"{number:04d}" for number in numbers)


def require_short_name(target: Path) -> None:
    """Raise a `UserError` when no file can be called so: some libraries report that in other words, or crash."""
    length = len(os.fsencode(target.name))
    if length > LONGEST_BYTES:
        raise UserError(
            f"{target} cannot be written: its name has {length} bytes, a file takes {LONGEST_BYTES}; "
            "shorten the name it is made of"
        )


def unfinished_suffix(target: Path) -> str:
    """Return the end of an unfinished file's name: `_` and the target's, as much of its end as there is place for."""
    require_short_name(target)
    place = LONGEST_BYTES - len(UNFINISHED) - len("12345678_")  # what `tempfile` puts between
    name = target.name
    while len(os.fsencode(name)) > place:
        name = name[1:]
    return "_" + name
