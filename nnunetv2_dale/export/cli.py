"""`nnUNetv2_dale_export`: hand a trained model on to people who have nnU-Net and nothing else."""

from __future__ import annotations

import argparse
import re
import shlex
import tempfile
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from nnunetv2_dale.commands.command_line import UserError, one_line, run_command
from nnunetv2_dale.commands.command_parser import CommandParser
from nnunetv2_dale.commands.shared_flags import add_dataset, add_folds, add_output, add_plans
from nnunetv2_dale.nnunet_files.atomic_output import new_file, new_folder, refuse_existing
from nnunetv2_dale.nnunet_files.folders import dataset_folder, environment_folder
from nnunetv2_dale.nnunet_files.trained_model import TrainedModel, read_trained_model

if TYPE_CHECKING:
    from nnunetv2_dale.nnunet_files.stock_model import StockModel

NNUNET_FOLDS = ("0", "1", "2", "3", "4")
NNUNET_CHECKPOINT = "checkpoint_final.pth"
"""What nnU-Net's prediction takes unless it is told otherwise."""

DESCRIPTION = """Turn a trained model into one that plain nnU-Net loads, on machines without this package. Give the
model as its folder (-i) or as nnU-Net names it (-d, -c, -tr, -p). The result is laid out like nnUNet_results. Only what
prediction (and -pretrained_weights) needs is in it: no validation results, no logs, no lists of cases. It cannot resume
a training. Its plans are named after the trainer (nnUNetPlans_from_DALE), so that it replaces no other model where it
is installed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run_command(export_parser(), _export, argv)


def export_parser() -> CommandParser:
    """Build the parser of the command."""
    parser = CommandParser(prog="nnUNetv2_dale_export", description=DESCRIPTION)
    parser.add_argument(
        "-i", type=Path, metavar="FOLDER", help="Folder of the trained model (TRAINER__PLANS__CONFIGURATION)"
    )
    add_dataset(parser, "nnUNet_results", required=False)
    parser.add_argument("-c", nargs="+", default=[], metavar="CONFIGURATION", help="Configurations, with -d")
    parser.add_argument("-tr", metavar="TRAINER", help="Trainer, with -d")
    add_plans(parser, help="Plans identifier, with -d")
    add_folds(parser)
    names = "Names of the checkpoints"
    parser.add_argument("-chk", nargs="+", default=[NNUNET_CHECKPOINT], metavar="CHECKPOINT", help=names)
    name = "Name of the plans in the export, by which plain nnU-Net finds it (-p). Default: PLANS_from_TRAINER"
    parser.add_argument("--name", metavar="NAME", help=name)
    add_output(parser, "Folder or zip file to write")
    parser.add_argument(
        "--zip",
        action="store_true",
        help="Write a zip file for nnUNetv2_install_pretrained_model_from_zip; implied by a name that ends in .zip",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="Replace an existing zip file; in an existing folder, replace earlier exports of the same models only",
    )
    return parser


def _export(arguments: argparse.Namespace) -> None:
    output: Path = arguments.o
    refuse_existing(output, arguments.overwrite)
    as_zip = arguments.zip or output.suffix.lower() == ".zip"
    if output.exists() and output.is_dir() == as_zip:
        raise UserError(f"{output} should be a {'zip file' if as_zip else 'folder'} and is not; give another -o")
    if arguments.name is not None and not re.fullmatch(r"[A-Za-z0-9]+([_.-][A-Za-z0-9]+)*", arguments.name):
        raise UserError(f"--name has letters and digits, with single - . or _ between them, got {arguments.name!r}")
    models = [read_trained_model(folder, arguments.f, arguments.chk) for folder in _model_folders(arguments)]
    from nnunetv2_dale.nnunet_files.stock_model import for_export

    exports = [for_export(model, arguments.name) for model in models]
    for export in exports:
        print(f"name of the export for plain nnU-Net: {export.place}")
    try:
        _write(exports, output, as_zip, arguments.overwrite)
    except RuntimeError as error:  # torch.save's, when the disk is full
        raise UserError(f"{output} could not be written, probably for lack of space: {one_line(error)}") from error
    for export in exports:
        model = export.model
        print(f"{output}: {export.place}, folds {' '.join(model.folds)}, trained with {model.trainer_name}")
        _say_what_is_left_out(model)
    _say_how_to_use(exports, output, as_zip, arguments.chk)


def _say_what_is_left_out(model: TrainedModel) -> None:
    from nnunetv2_dale.nnunet_files.stock_model import EXPORTED_KEYS

    left_out = [key for key in model.dataset if key not in EXPORTED_KEYS]
    if left_out:
        print(f"left out of dataset.json, because it may name cases or paths: {', '.join(left_out)}")


def _what_differs(model: TrainedModel, checkpoints: Sequence[str]) -> list[str]:
    """The flags by which nnU-Net finds the folds and the checkpoint, where they are not those it looks for itself."""
    flags: list[str] = []
    if model.folds != NNUNET_FOLDS:
        flags += ["-f", *model.folds]
    if NNUNET_CHECKPOINT not in checkpoints:
        flags += ["-chk", checkpoints[0]]
    if model.plans["configurations"][model.configuration].get("previous_stage"):
        flags += ["-prev_stage_predictions", "PREVIOUS_STAGE_OUTPUT"]
    return flags


def _model_folders(arguments: argparse.Namespace) -> list[Path]:
    """Find the folders meant by -i, or by -d, -c, -tr and -p."""
    if (arguments.i is None) == (arguments.d is None):
        raise UserError("give the model either as -i FOLDER or as -d DATASET -c CONFIGURATION")
    if arguments.i is not None:
        return [arguments.i]
    if not arguments.c:
        raise UserError("with -d, name the configurations to export, such as -c 3d_fullres")
    results = environment_folder("nnUNet_results")
    if arguments.tr is None:
        there = {path.name.split("__")[0] for path in dataset_folder(results, arguments.d).glob("*__*__*")}
        raise UserError(f"with -d, name the trainer, -tr; trainers there: {', '.join(sorted(there)) or 'none'}")
    # nnU-Net's own functions take seconds to import, which errors in the arguments need not wait for
    from nnunetv2.utilities.file_path_utilities import get_output_folder

    try:
        return [Path(get_output_folder(arguments.d, arguments.tr, arguments.p, c)) for c in dict.fromkeys(arguments.c)]
    except (RuntimeError, ValueError) as error:
        raise UserError(f"dataset {arguments.d} was not found: {str(error).splitlines()[0]}") from None


def _write(exports: Sequence[StockModel], output: Path, as_zip: bool, overwrite: bool) -> None:
    if as_zip:
        _write_zip(exports, output, overwrite)
    elif output.exists():
        _write_models(exports, output)
    else:
        with new_folder(output) as unfinished:
            _write_models(exports, unfinished)


def _write_zip(exports: Sequence[StockModel], output: Path, overwrite: bool) -> None:
    with (
        new_file(output, overwrite) as unfinished,
        tempfile.TemporaryDirectory(prefix=".unfinished_", dir=output.parent) as name,
    ):
        _write_models(exports, Path(name))
        files = sorted(path for path in Path(name).rglob("*") if path.is_file())
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in tqdm(files, desc="compressing", unit="file", disable=None):
                archive.write(path, path.relative_to(name))


def _write_models(exports: Sequence[StockModel], results: Path) -> None:
    """Write each model below `results`, which is laid out like nnUNet_results."""
    from nnunetv2_dale.nnunet_files.stock_model import ORIGIN_FILE, check_weights, write_stock_model

    for export in exports:
        there = results / export.place
        if there.exists() and not (there / ORIGIN_FILE).is_file():
            raise UserError(f"{there} is no export, so it is not replaced by one; give another -o or --name")
        check_weights(export)
    with ExitStack() as all_or_none:
        for export in tqdm(exports, desc="exporting", unit="model", disable=None):
            unfinished = all_or_none.enter_context(new_folder(results / export.place, overwrite=True))
            write_stock_model(export, unfinished)


def _say_how_to_use(exports: Sequence[StockModel], output: Path, as_zip: bool, checkpoints: Sequence[str]) -> None:
    if as_zip:
        print(f"install it with: nnUNetv2_install_pretrained_model_from_zip {shlex.quote(str(output))}")
        print(
            "where a model of the same name is installed, nnU-Net replaces it without asking:",
            *[export.place for export in exports],
        )
    for ending in dict.fromkeys(export.model.dataset.get("file_ending", ".nii.gz") for export in exports):
        print(f"IMAGES are to be named as CASE_0000{ending}: nnU-Net passes over files of another ending")
    for export in exports:
        trainer, plans, configuration = export.place.name.split("__")
        if as_zip:
            known_as = ["-d", export.model.dataset_name, "-tr", trainer, "-p", plans, "-c", configuration]
            command = ["nnUNetv2_predict", "-i", "IMAGES", "-o", "OUTPUT", *known_as]
        else:
            place = str(output / export.place)
            command = ["nnUNetv2_predict_from_modelfolder", "-i", "IMAGES", "-o", "OUTPUT", "-m", place]
        print("predict with:", shlex.join([*command, *_what_differs(export.model, checkpoints)]))
    models = [export.model for export in exports]
    exported = {model.configuration for model in models}
    for model in models:
        stage_before = model.plans["configurations"][model.configuration].get("previous_stage")
        if stage_before and stage_before not in exported:
            print(f"{model.configuration} needs the predictions of {stage_before}, which is not in this export")
