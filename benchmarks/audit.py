"""The audit's benchmark. See docs/audit.md for what came out.

    python benchmarks/audit.py train --workspace W --source FOLDER      datasets, out-of-fold predictions
    python benchmarks/audit.py measure --workspace W                    audit and rivals against the known errors
    python benchmarks/audit.py tables                                   the tables, from the stored results

The same command again continues: what is there is not made again. `--only NAME …` takes some conditions.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "audit_study"), str(HERE), str(HERE.parent)]  # a checkout works without installation
os.environ.setdefault("OMP_NUM_THREADS", "1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "measure", "tables"])
    parser.add_argument("--workspace", type=Path, help="folder for datasets and results (some GB)")
    parser.add_argument("--source", type=Path, help="of train: holds Dataset004_Hippocampus and lidc_nodules")
    parser.add_argument("--only", nargs="+", type=int, metavar="ID", help="dataset ids of the conditions to take")
    arguments = parser.parse_args()
    if arguments.workspace is None:
        parser.error("--workspace is needed")
    workspace = arguments.workspace.resolve()
    os.environ.update(
        nnUNet_raw=str(workspace / "raw"),
        nnUNet_preprocessed=str(workspace / "preprocessed"),
        nnUNet_results=str(workspace / "results"),
        nnUNet_compile="f",
        nnUNet_def_n_proc="1",
    )
    from conditions import CONDITIONS

    conditions = [each for each in CONDITIONS if arguments.only is None or each.number in arguments.only]
    for name in ("raw", "preprocessed", "results"):
        (workspace / name).mkdir(parents=True, exist_ok=True)
    if arguments.what == "train":
        from conditions import prepare
        from training import train_folds

        for condition in conditions:
            prepare(condition, arguments.source.resolve())
            train_folds(condition)


if __name__ == "__main__":
    main()
