"""`nnUNetv2_dale_demo`: the whole way in a few minutes, with nothing to download."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from nnunetv2_dale.commands.command_line import UserError, run_command
from nnunetv2_dale.demo.scale import FULL, QUICK
from nnunetv2_dale.demo.workspace import Workspace

DEFAULT_FOLDER = "nnUNetv2_dale_demo"
DESCRIPTION = """\
Makes a small CT-like dataset whose training labels are partly wrong and whose right labels are known. Then it runs
nnU-Net's own commands on it, for plain nnU-Net and for DALE: fingerprint, plan, preprocess, train. It compares both on
right labels with nnUNetv2_dale_report, and adds a page on what DALE did. It takes a few minutes on a CPU and downloads
nothing. Everything is kept in one folder; your own nnU-Net folders are not touched. So short a training shows the way,
not what DALE can do.
"""


log = logging.getLogger(__name__)


def argument_parser() -> argparse.ArgumentParser:
    """The command's arguments, named as nnU-Net names them."""
    parser = argparse.ArgumentParser(prog="nnUNetv2_dale_demo", description=DESCRIPTION)
    parser.add_argument(
        "-o",
        metavar="FOLDER",
        type=Path,
        default=Path(DEFAULT_FOLDER),
        help=f"[OPTIONAL] Folder to make and to keep everything in. Default: {DEFAULT_FOLDER} in the current folder",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="[OPTIONAL] Replace the folder if it exists and was made by this command",
    )
    parser.add_argument(
        "-device",
        choices=("cpu", "cuda", "mps"),
        default="cpu",
        help="[OPTIONAL] Use this to set the device the training should run with. Default: cpu",
    )
    parser.add_argument(
        "-np",
        type=_at_least(1),
        default=1,
        help="[OPTIONAL] Number of processes used for fingerprint extraction and preprocessing. Default: 1",
    )
    parser.add_argument(
        "--seed",
        type=_at_least(0),
        default=0,
        help="[OPTIONAL] Seed of the phantom and of both trainings. Default: 0",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="[OPTIONAL] Fewer and coarser cases and 8 batches per training: every step runs, nothing is learnt",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; see `--help`."""
    return run_command(argument_parser(), _demo, argv)


def _demo(arguments: argparse.Namespace) -> int:
    from nnunetv2_dale.report.build import require_packages

    require_packages("statsmodels")  # the last step needs it
    workspace = Workspace.create(arguments.o, arguments.overwrite)
    try:
        with _terminated_like_interrupted():
            page = _run_and_report(workspace, arguments)
    except KeyboardInterrupt:
        log.error("interrupted; what was made so far is in %s, --overwrite starts again", workspace.folder)
        return 130
    except OSError as error:
        raise UserError(f"cannot write into {workspace.folder}: {error.strerror or error}") from error
    print(f"The report of the demo is {page}")
    return 0


def _run_and_report(workspace: Workspace, arguments: argparse.Namespace) -> Path:
    from nnunetv2_dale.demo.outcome import write_outcome
    from nnunetv2_dale.demo.pipeline import run_demo

    scale = QUICK if arguments.quick else FULL
    log.info("Everything is kept in %s", workspace.folder)
    steps = run_demo(workspace, scale, arguments.seed, arguments.device, arguments.np)
    write_outcome(workspace, scale, arguments.seed, arguments.device, steps)
    return workspace.report / "report.html"


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM end the command as Ctrl-C does, so that nnU-Net's processes end with it."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only there signals can be handled
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _at_least(lowest: int) -> Callable[[str], int]:
    def integer(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = lowest - 1
        if value < lowest:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {lowest}, got {text!r}")
        return value

    return integer
