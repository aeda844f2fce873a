"""The paper's own setting, without nnU-Net: one command per table. What came out: docs/evidence/paper_setting.md.

    python -m benchmarks.paper.paper_study run TABLE --source FOLDER     the trainings of a table
    python -m benchmarks.paper.paper_study heads                         which module of each network is hooked
    python -m benchmarks.paper.paper_study figures --source FOLDER       features, convergence and examples

Trainings run one at a time on one thread. The same command again continues: what is stored is not run again, and a
training that was interrupted, or of fewer epochs, goes on from its last epoch. Several commands may work at once.
"""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.paper.paper_arms import ARMS
from benchmarks.paper.paper_plan import EPOCHS, planned
from benchmarks.paper.paper_run import PaperRun
from benchmarks.results_file import write_results
from benchmarks.trainings import add_row, claimed, rows_of

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results" / "paper"
FIGURES = HERE.parent.parent / "docs" / "evidence" / "paper_setting"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "heads", "figures"])
    parser.add_argument("table", nargs="?", help="of run: a name of paper_plan.py")
    parser.add_argument("--source", type=Path, help="holds kvasir_seg and lidc_nodules")
    parser.add_argument("--workspace", type=Path, help="folder for checkpoints")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of run: of an arm of Algorithm 1 (%(default)s)")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), help="of run: these alone")
    arguments = parser.parse_args()
    if arguments.what == "heads":
        _write_heads()
        return
    if arguments.source is None or arguments.workspace is None:
        parser.error(f"{arguments.what} needs --source and --workspace")
    if arguments.what == "figures":
        _draw_figures(arguments.source.resolve(), arguments.workspace.resolve())
        return
    runs = [run for run in planned(arguments.table, arguments.epochs) if run.arm in (arguments.arms or ARMS)]
    command = f"python -m benchmarks.paper.paper_study run {arguments.table} --epochs {arguments.epochs}"
    if arguments.arms:
        command += f" --arms {shlex.join(arguments.arms)}"
    _train_all(runs, command, RESULTS / f"{arguments.table}.jsonl", arguments.source, arguments.workspace)


def _train_all(runs: Sequence[PaperRun], command: str, file: Path, source: Path, workspace: Path) -> None:
    import torch

    from benchmarks.paper.paper_training import train

    torch.set_num_threads(1)
    for run in runs:
        with claimed(workspace.resolve(), run.file_name) as mine:
            if not mine or _done(run, file):
                continue
            result = train(run, source.resolve(), workspace.resolve() / "checkpoints" / f"{run.file_name}.pt")
            result |= {"command": command, "machine": described_machine()}
            add_row(file, result)
            print(file.stem, run.key, result["curve"][-1], flush=True)


def _draw_figures(source: Path, workspace: Path) -> None:
    import torch

    from benchmarks.paper.paper_figures import IMAGES, draw_figures
    from benchmarks.paper.paper_tables import read
    from nnunetv2_dale.preview.region_features import PERPLEXITY

    torch.set_num_threads(1)
    numbers = draw_figures(source, workspace / "checkpoints", read(RESULTS)["polyps"], FIGURES)
    _write_report("features.json", "figures", {"perplexity": PERPLEXITY, "images": IMAGES, "features": numbers})


def _write_heads() -> None:
    import torch

    from benchmarks.paper.paper_heads import head_of
    from benchmarks.paper.paper_networks import NETWORKS

    torch.set_num_threads(1)
    _write_report("heads.json", "heads", {"seed": 1, "networks": [head_of(name) for name in NETWORKS]})


def _write_report(name: str, command: str, content: dict[str, object]) -> None:
    made = {"command": f"python -m benchmarks.paper.paper_study {command}", "machine": described_machine()}
    write_results(RESULTS / name, made | content)


def described_machine() -> dict[str, object]:
    """Hardware and versions, MONAI's and the project's own among them."""
    import torch

    from benchmarks.machine import describe

    return describe(torch.device("cpu"), 1) | {name: version(name) for name in ("monai", "nnunetv2-dale")}


def _done(run: PaperRun, file: Path) -> bool:
    """Whether this training is stored, as long or longer: a longer one holds the shorter."""
    stored = [PaperRun(**row["run"]) for row in rows_of(file)]
    return any(other.file_name == run.file_name and other.epochs >= run.epochs for other in stored)


if __name__ == "__main__":
    main()
