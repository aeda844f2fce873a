"""What the trust of cases sees in real trainings: right and wrong labels side by side, and which of them it doubts.

    python -m benchmarks.case_trust_contrast --data FOLDER -o OUT --of Hippocampus/as_they_are ACDC/dilated

Data, labels and plans are those of the study over organs (`benchmarks/organs`). CaseTrust trains fold 0 of each, with
the command that users have. A row is stored after each: what the memory beside the checkpoint shows of each class, and
what the rules make of it. The same command again makes those that are missing.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from benchmarks.machine import call, shown
from benchmarks.organs.prepare import prepare
from benchmarks.organs.study import Comparison, Step, Study, benchmark_command, dataset_name, plans_name, read_study
from benchmarks.trainings import Row, add_row, rows_of, use_workspace
from nnunetv2_dale.case_trust.config import CaseTrustConfig
from nnunetv2_dale.case_trust.doubted_cases import contrasts, displacements, doubted_cases
from nnunetv2_dale.commands.command_line import run_command
from nnunetv2_dale.nnunet_files.displacement_file import FILE, SUMS
from nnunetv2_dale.nnunet_files.json_files import read_json

HERE = Path(__file__).resolve().parent
RESULTS, STUDY = HERE / "results" / "case_trust_trainings.jsonl", HERE / "organs" / "study.toml"
BORDER, EXTRA, MISSING = slice(0, 2), 2, 3  # of what `doubted_cases` gives


def auroc(values: NDArray[Any], positive: NDArray[np.bool_]) -> float | None:
    """How often a positive has the larger value, ties half; None without both kinds."""
    return round(float(roc_auc_score(positive, values)), 3) if positive.any() and not positive.all() else None


def seen_and_doubted(sums: Tensor, wrong: NDArray[np.bool_], classes: Sequence[str]) -> Row:
    """What is seen of right and wrong labels, class by class (background first), and what the rules make of it.

    From the memory's sums (N, S, K); (N,) cases are `wrong` whose label was changed.
    """
    config = CaseTrustConfig()
    doubt, sentences = doubted_cases(sums, config.tolerance, config.explained, False, config.fewest)
    seen = {"displacement": displacements(sums), "contrast": contrasts(sums)}
    named = dict(zip(SUMS, sums.unbind(1), strict=True))
    seen |= {"extra_voxels": named["extra"], "missing_voxels": named["missing"]}
    rows = []
    for k, name in enumerate(classes):
        if k == 0:
            continue
        learned = float(named["found"][:, k].sum() / named["size"][:, k].sum().clamp_min(1))
        row: Row = {"class": name, "learned": round(learned, 3)}
        for kind, which in (("right", ~wrong), ("wrong", wrong)):
            of_kind: dict[str, object] = {key: _spread(values[:, k].numpy()[which]) for key, values in seen.items()}
            for key, part in (("borders", BORDER), ("extra", EXTRA), ("missing", MISSING)):
                d = doubt[:, part, k].reshape(len(doubt), -1).amax(1).numpy()[which]
                of_kind[f"doubted_{key}"] = {
                    "cases": int((d > 0).sum()),
                    "mean": round(float(d.sum() / max(len(d), 1)), 3),
                }
            row[kind] = of_kind
        rows.append(row)
    borders, whole = doubt[:, BORDER].flatten(1).amax(1).numpy(), doubt.flatten(1).amax(1).numpy()
    return {
        **{"right_cases": int((~wrong).sum()), "wrong_cases": int(wrong.sum())},
        **{"auroc_borders": auroc(borders, wrong), "auroc": auroc(whole, wrong)},
        "right_cases_doubted": int((whole[~wrong] > 0).sum()),
        "classes": rows,
        "log": sentences,
    }


def _spread(values: NDArray[Any]) -> list[float] | None:
    known = values[np.isfinite(values)]
    return [round(float(known.mean()), 3), round(float(known.std()), 3)] if len(known) else None


def row_of(folder: Path, raw: Path) -> Row:
    """Of a training's folder of one fold, and its raw dataset."""
    content: dict[str, Any] = read_json(folder / FILE)
    cases = sorted(content["cases"])
    sums = torch.tensor([[content["cases"][case][name] for name in SUMS] for case in cases])
    table = raw / "label_noise.csv"
    kinds = {row["case"]: row["kind"] for row in csv.DictReader(table.open())} if table.exists() else {}
    return seen_and_doubted(sums, np.array([bool(kinds.get(case)) for case in cases]), content["classes"])


def train(study: Study, each: Comparison, data: Path, output: Path) -> Row:
    """One training and its row."""
    prepare(study, each, data, output, call)
    dataset = dataset_name(study, each.data, each.labels)
    command = [*benchmark_command(study, each, output / "raw", output / "reports"), "--no_report"]
    call(command)
    (trainer,) = each.step.trainers
    name = f"{trainer}{each.step.length}__{plans_name(each.step.configuration)}__{each.step.configuration}"
    folder = output / "results" / dataset / name
    of = {"data": each.data, "labels": each.labels, "length": each.step.length}
    return of | row_of(folder / "fold_0", output / "raw" / dataset) | {"command": shown(command)}


def run(arguments: argparse.Namespace) -> int:
    study, output = read_study(STUDY), arguments.o.resolve()
    use_workspace(output)
    for name in arguments.of:
        data, labels = name.split("/")
        step = Step((data,), "2d", (labels,), ("nnUNetTrainerCaseTrust",), arguments.length)
        of = {"data": data, "labels": labels, "length": arguments.length}
        if not any(of.items() <= row.items() for row in rows_of(arguments.results)):
            add_row(arguments.results, train(study, Comparison(data, labels, step), arguments.data.resolve(), output))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.case_trust_contrast",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="FOLDER", help="holds the datasets; is only read")
    add("-o", type=Path, required=True, metavar="OUT", help="datasets and trainings")
    add("--of", nargs="+", required=True, metavar="DATA/LABELS", help="as the study over organs names them")
    add("--length", default="_10epochs", help="end of the trainer's name. Default: %(default)s")
    add("--results", type=Path, default=RESULTS, help="JSON lines. Default: the stored ones")
    return run_command(parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
