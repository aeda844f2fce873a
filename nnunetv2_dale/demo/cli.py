"""`nnUNetv2_dale_demo`: the whole way in a few minutes, with nothing to download."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError, require_package, run_command
from nnunetv2_dale.commands.command_parser import CommandParser
from nnunetv2_dale.commands.shared_flags import add_device, add_output, add_overwrite, add_processes, add_seed
from nnunetv2_dale.commands.stop_signals import stop_signals
from nnunetv2_dale.demo.scale import FULL, QUICK
from nnunetv2_dale.demo.workspace import Workspace

DESCRIPTION = """\
Make a small CT-like dataset whose training labels are partly wrong and whose right labels are known. Then run
nnU-Net's own commands on it, for plain nnU-Net and for DALE: fingerprint, plan, preprocess, train. Compare both on
right labels with nnUNetv2_dale_report, and add a page on what DALE did. It takes a few minutes on a CPU and downloads
nothing. Everything is kept in one folder; your own nnU-Net folders are not touched. So short a training shows the way,
not what DALE can do.
"""


log = logging.getLogger(__name__)


def demo_parser() -> CommandParser:
    """Build the parser of the command."""
    parser = CommandParser(prog="nnUNetv2_dale_demo", description=DESCRIPTION)
    add_output(parser, "Folder to make and to keep everything in", required=False, default=Path("nnUNetv2_dale_demo"))
    add_overwrite(parser, "the folder of an earlier demo")
    add_device(parser, default="cpu")
    add_processes(parser, most=1)
    add_seed(parser, "the phantom and of both trainings")
    quick = "Fewer and coarser cases and 8 batches per training: every step runs, nothing is learnt"
    parser.add_argument("--quick", action="store_true", help=quick)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; see `--help`."""
    return run_command(demo_parser(), _demo, argv)


def _demo(arguments: argparse.Namespace) -> int:
    require_package("the report", "statsmodels", "report")  # the last step
    workspace = Workspace.create(arguments.o, arguments.overwrite)
    from nnunetv2_dale.demo.outcome import write_outcome
    from nnunetv2_dale.demo.pipeline import run_demo

    try:
        with stop_signals():  # so that nnU-Net's processes end with this one
            scale = QUICK if arguments.quick else FULL
            log.info("Everything is kept in %s", workspace.folder)
            steps = run_demo(workspace, scale, arguments.seed, arguments.device, arguments.np)
            write_outcome(workspace, scale, arguments.seed, arguments.device, steps)
    except KeyboardInterrupt:
        log.error("interrupted; what was made so far is in %s, --overwrite starts again", workspace.folder)
        return 130
    except OSError as error:
        raise UserError(f"cannot write into {workspace.folder}: {error.strerror or error}") from error
    print(f"The report of the demo is {workspace.report / 'report.html'}")
    return 0
