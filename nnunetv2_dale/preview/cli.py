"""`nnUNetv2_dale_preview`: pictures of what DALE sees, to choose the patch size and tau by looking."""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from nnunetv2_dale.commands.cases import run_cases
from nnunetv2_dale.commands.command_line import UserError, run_command
from nnunetv2_dale.commands.command_parser import CommandParser
from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.commands.shared_flags import (
    add_dataset,
    add_no_pictures,
    add_output,
    add_overwrite,
    add_plans,
    add_tau,
    at_least_one,
)
from nnunetv2_dale.dale.config import ADAPTED
from nnunetv2_dale.nnunet_files.atomic_output import new_file, refuse_existing
from nnunetv2_dale.preview.page import PAGE_NAME, write_page
from nnunetv2_dale.preview.picture import BINS_IN_WORDS, CasePicture, Pictures, draw_case
from nnunetv2_dale.preview.picture_maps import PictureSettings
from nnunetv2_dale.preview.preview_case import (
    PreprocessedSource,
    RawSource,
    Source,
    chosen_names,
    class_names,
    is_colour,
    output_name,
)

MODEL_KINDS = ("features", "confidence")
_DOTS_PER_INCH = 110


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run_command(preview_parser(), _preview, argv)


def _preview(arguments: argparse.Namespace) -> None:
    _check(arguments)
    source: Source
    if arguments.c is None:
        source = RawSource(arguments.d, arguments.slicewise)
    else:
        source = PreprocessedSource(arguments.d, arguments.c, arguments.p)
    names = chosen_names(source, arguments.cases, arguments.n)
    kinds = ("",) if arguments.model is None else MODEL_KINDS
    targets = [arguments.o / output_name(name, kind) for name in names for kind in kinds]
    for target in [*targets, *([arguments.o / PAGE_NAME] if arguments.html else [])]:
        refuse_existing(target, arguments.overwrite)
    description, pictures = _drawing(arguments, source)
    shown: list[tuple[str, CasePicture, bytes]] = []
    with ExitStack() as all_or_none:
        for name, drawn in run_cases(_drawn, [(name, (name, pictures)) for name in names], 1, "drawing"):
            for kind, picture, png in drawn:
                target = arguments.o / output_name(name, kind)
                all_or_none.enter_context(new_file(target, arguments.overwrite)).write_bytes(png)
                on_page = png if arguments.html and not arguments.no_pictures else b""
                shown.append((f"{name}, {kind}" if kind else name, picture, on_page))
        if arguments.html:
            write_page(arguments, source, description, shown)
    on_one = f", all on {arguments.o / PAGE_NAME}" if arguments.html else ""
    print(f"{counted(len(targets), 'picture')} in {arguments.o}{on_one}")


def _drawing(arguments: argparse.Namespace, source: Source) -> tuple[str, Pictures]:
    """What is shown, in words, and what draws a case: pictures and their kinds."""
    if arguments.model is not None:
        from nnunetv2_dale.preview.model_preview import model_preview

        assert isinstance(source, RawSource)
        return model_preview(arguments, source)
    settings = PictureSettings(
        patch_sizes=_patch_sizes(arguments),
        tau=arguments.tau,
        entropy_bins=arguments.entropy_bins,
        intensity_bins=arguments.intensity_bins,
        fewest_patches=ADAPTED.fewest_patches if arguments.patch_size is None else 1,
        channel=arguments.channel,
        colour=is_colour(source.dataset.dataset_json),
        ignore_label=source.dataset.ignore_label,
        class_names=class_names(source.dataset.dataset_json),
    )
    heading = f"{source.title} · {source.description} · τ = {settings.tau:g}"
    return source.description, lambda name: iter([("", draw_case(source.load(name), settings, heading))])


def _drawn(name: str, pictures: Pictures) -> list[tuple[str, CasePicture, bytes]]:
    """Kind, picture and PNG of each picture of a case."""
    try:
        return [(kind, picture, _png(picture)) for kind, picture in pictures(name)]
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error


def _png(picture: CasePicture) -> bytes:
    buffer = io.BytesIO()
    picture.figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def _check(arguments: argparse.Namespace) -> None:
    if not 0 <= arguments.tau <= 1:
        raise UserError(f"--tau lies between 0 and 1, got {arguments.tau:g}")
    if arguments.entropy_bins < 2:
        raise UserError(f"--entropy_bins is at least 2, got {arguments.entropy_bins}")
    if arguments.no_pictures and not arguments.html:
        raise UserError("--no_pictures is for the page; give --html, or leave it out")
    if arguments.c is not None and arguments.slicewise:
        raise UserError("--slicewise is for raw images; with -c the configuration says whether slices are images")
    if arguments.model is None and arguments.f is not None:
        raise UserError("-f chooses a fold of the model; give the model's folder with --model")
    if arguments.model is not None and (arguments.c is not None or arguments.slicewise):
        raise UserError("with --model, plans and configuration are the model's; leave out -c and --slicewise")
    if arguments.model is not None and len(_patch_sizes(arguments)) > 1:
        raise UserError(f"with --model, give one --patch_size, got {' '.join(map(str, arguments.patch_size))}")


def _patch_sizes(arguments: argparse.Namespace) -> tuple[int, ...]:
    return tuple(dict.fromkeys(arguments.patch_size or [ADAPTED.patch_size]))


def preview_parser() -> CommandParser:
    """Build the parser of the command."""
    parser = CommandParser(
        prog="nnUNetv2_dale_preview",
        description="Draw what DALE sees in the training cases of a dataset, one PNG per case: image, label, how fuzzy "
        "each patch is, and the two views that DALE trains on. The slices are those with most foreground and most "
        "fuzziness. Look at them before a training, to choose the patch size and tau. No dataset is changed.",
    )
    add = parser.add_argument
    add_dataset(parser, "nnUNet_raw, or with -c in nnUNet_preprocessed")
    add_output(parser, "Folder for the pictures")
    add("-c", metavar="CONFIGURATION", help="Configuration whose preprocessed cases are shown. Default: the raw images")
    add_plans(parser, help="Plans identifier, with -c")
    add(
        "--model",
        type=Path,
        metavar="FOLDER",
        help="Folder of a trained model (TRAINER__PLANS__CONFIGURATION): draw its features (t-SNE) and the confidence "
        "omega instead, two PNGs per case",
    )
    add("-f", metavar="FOLD", help="Fold of the model. Default: the first that is there")
    add("-chk", default="checkpoint_final.pth", metavar="CHECKPOINT", help="Name of the model's checkpoint")
    add("--cases", nargs="+", metavar="CASE", help="Names of the cases. Default: the first ones")
    add("-n", type=at_least_one, default=5, metavar="N", help="Number of cases, without --cases")
    size_help = "Edge of a fuzziness patch in voxels, in the plane; several are drawn below each other. Default: "
    size_help += f"{ADAPTED.patch_size}, less in small images as in training"
    add("--patch_size", type=at_least_one, nargs="+", metavar="N", help=size_help)
    add_tau(parser, float, ADAPTED.fuzzy_threshold)
    add("--entropy_bins", type=int, default=ADAPTED.entropy_bins, metavar="N", help="Intensity bins of the entropy")
    where_help = "Where these bins lie: at quantiles of the intensities near labels, as nnUNetTrainerDALE does, or of "
    where_help += "equal width between an image's extremes, as the paper"
    add("--intensity_bins", choices=tuple(BINS_IN_WORDS), default=ADAPTED.intensity_bins, help=where_help)
    add("--slicewise", action="store_true", help="Treat the slices of raw volumes as images, like a 2d configuration")
    add("--channel", type=int, default=0, metavar="N", help="Channel that is shown, unless the image is RGB")
    add("--html", action="store_true", help=f"Also write {PAGE_NAME}, one self-contained page with all pictures")
    add_no_pictures(parser, f"{PAGE_NAME}, which holds no path either; the PNG files lie beside it")
    add_overwrite(parser, "each picture")
    return parser
