"""The page with all pictures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.nnunet_files.atomic_output import new_file
from nnunetv2_dale.preview.picture import BINS_IN_WORDS, CasePicture
from nnunetv2_dale.preview.preview_case import Source

PAGE_NAME = "index.html"


def write_page(
    arguments: argparse.Namespace, source: Source, description: str, shown: Sequence[tuple[str, CasePicture, bytes]]
) -> None:
    """Write the page into the folder of the pictures: each has a name, and its PNG, empty where the page has none."""
    from nnunetv2_dale.pages.html_page import png_data_uri, render_page
    from nnunetv2_dale.pages.private_content import Held

    patches = dict.fromkeys(patch for _, picture, _ in shown for patch in picture.patches)
    context = {
        "title": f"DALE preview of {source.title}",
        "settings": [
            ("Data" if arguments.model is None else "Model", description),
            ("Patches in voxels", ", ".join("×".join(map(str, patch)) for patch in patches)),
            ("τ", f"{arguments.tau:g}"),
            ("Bins", f"{arguments.entropy_bins} {BINS_IN_WORDS[arguments.intensity_bins]}"),
            ("Pictures", f"{len(shown)}, of {counted(len(source.names), 'case')}"),
        ],
        "cases": [
            {"name": name, "summary": picture.summary, "uri": png and png_data_uri(png)} for name, picture, png in shown
        ],
        "holds": Held(pictures=not arguments.no_pictures, paths=False),
    }
    with new_file(arguments.o / PAGE_NAME, arguments.overwrite) as unfinished:
        unfinished.write_text(render_page("preview.html.j2", "nnunetv2_dale.preview", context), encoding="utf-8")
