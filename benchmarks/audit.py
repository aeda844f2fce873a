"""The audit's benchmark. See docs/evidence/audit.md for what came out.

    python -m benchmarks.audit train --workspace W --source FOLDER      datasets, out-of-fold predictions
    python -m benchmarks.audit measure --workspace W --source FOLDER    audit and rivals against the known errors
    python -m benchmarks.audit readers --workspace W --source FOLDER    LIDC's four readers, judged by the consensus'
    python -m benchmarks.audit organs --source FOLDER                   sizes in mm on two readers of heads and necks

The same command again continues: what is there is not made again. `--only NAME …` takes some conditions.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.machine import command_line, describe
from benchmarks.results_file import write_results
from benchmarks.trainings import use_workspace

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "audit.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "measure", "readers", "organs"])
    parser.add_argument("--workspace", type=Path, help="folder for datasets and results (some GB)")
    parser.add_argument("--source", type=Path, help="holds Dataset004_Hippocampus and lidc_nodules")
    parser.add_argument("--only", nargs="+", type=int, metavar="ID", help="dataset ids of the conditions to take")
    arguments = parser.parse_args()
    if arguments.source is None or (arguments.workspace is None and arguments.what != "organs"):
        parser.error(f"{arguments.what} needs --source, and all but organs need --workspace")
    if arguments.what == "organs":
        _organs(arguments.source.resolve())
        return
    workspace = arguments.workspace.resolve()
    use_workspace(workspace)
    if arguments.what == "train":
        _train(arguments.only, arguments.source.resolve())
    elif arguments.what == "measure":
        _measure(arguments.only, arguments.source.resolve(), workspace)
    else:
        _readers(arguments.source.resolve(), workspace)


def _organs(source: Path) -> None:
    from benchmarks.audit_study.two_readers import compare_readers, summary

    rows = compare_readers(source)
    _store({"organs": summary(rows) | {"rows": rows, "command": command_line()}})


def _train(only: list[int] | None, source: Path) -> None:
    from benchmarks.audit_study.conditions import CONDITIONS, prepare
    from benchmarks.audit_study.training import train_folds

    for condition in CONDITIONS:
        if only is None or condition.number in only:
            prepare(condition, source)
            train_folds(condition)


def _measure(only: list[int] | None, source: Path, workspace: Path) -> None:
    """Conditions whose networks are there; those in the file already are measured again only when named."""
    from benchmarks.audit_study.conditions import CONDITIONS, JUDGED, LIDC, make_dataset
    from benchmarks.audit_study.measuring import measure
    from benchmarks.audit_study.readers import hard_cases

    known = _stored()["conditions"]
    trained = {each.number: each for each in CONDITIONS}
    for condition in (*CONDITIONS, *JUDGED):
        results = _results_of(trained[condition.judges or condition.number], workspace)
        if results is None or (condition.name in known if only is None else condition.number not in only):
            continue
        make_dataset(condition, source)
        hard = hard_cases(source) if condition.data == LIDC else frozenset()
        row = measure(condition, results, workspace / "measured" / str(condition.number), hard)
        folds = sorted(each.parent.parent.name for each in results.glob("fold_*/validation/summary.json"))
        row |= {"folds": folds, "command": command_line()}
        _store({"conditions": _stored()["conditions"] | {condition.name: row}})
        print(condition.name, json.dumps(row.get("cases_ranked", row)), flush=True)


def _readers(source: Path, workspace: Path) -> None:
    from benchmarks.audit_study.conditions import CLEAN_ID, LIDC, Condition
    from benchmarks.audit_study.readers import measure_readers

    results = _results_of(Condition(LIDC, CLEAN_ID[LIDC]), workspace)
    if results is None:
        raise SystemExit(
            f"the networks of dataset {CLEAN_ID[LIDC]} are missing; train it first (--only {CLEAN_ID[LIDC]})"
        )
    row = measure_readers(source, results, workspace / "measured" / "readers")
    _store({"readers": row | {"command": command_line()}})
    print(json.dumps(row, indent=1))


def _stored() -> dict[str, Any]:
    return dict(json.loads(RESULTS.read_text())) if RESULTS.exists() else {"conditions": {}}


def _store(new: dict[str, Any]) -> None:
    import torch

    write_results(RESULTS, _stored() | new | {"machine": describe(torch.device("cpu"), 1)})


def _results_of(condition: Any, workspace: Path) -> Path | None:
    found = sorted((workspace / "results").glob(f"Dataset{condition.number:03d}_*/*/fold_*/validation/summary.json"))
    return found[0].parents[2] if found else None


if __name__ == "__main__":
    main()
