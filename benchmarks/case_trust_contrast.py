"""What the trust of cases sees in real trainings: right and wrong labels side by side, and which of them it doubts.

    python -m benchmarks.case_trust_contrast OUT --json FILE

OUT is that of the study over organs (`benchmarks/organs`). A row for each of its trainings with CaseTrust: what the
memory beside the last checkpoint shows of each class, and what today's rules make of it. Which labels are wrong says
the table of the copy with label noise.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.machine import command_line
from benchmarks.trainings import Row
from nnunetv2_dale.case_trust.config import CaseTrustConfig
from nnunetv2_dale.case_trust.doubted_cases import contrasts, displacements, doubted_cases
from nnunetv2_dale.commands.command_line import run_command
from nnunetv2_dale.nnunet_files.atomic_output import new_file
from nnunetv2_dale.nnunet_files.displacement_file import FILE, SUMS
from nnunetv2_dale.nnunet_files.json_files import read_json

BORDER, EXTRA, MISSING = slice(0, 2), 2, 3  # of what `doubted_cases` gives


def auroc(values: NDArray[Any], positive: NDArray[np.bool_]) -> float | None:
    """How often a positive has the larger value, ties half; None without both kinds."""
    these, others = values[positive], values[~positive]
    if not len(these) or not len(others):
        return None
    larger = (these[:, None] > others).mean() + (these[:, None] == others).mean() / 2
    return round(float(larger), 3)


def seen_and_doubted(sums: Tensor, wrong: NDArray[np.bool_], classes: Sequence[str]) -> Row:
    """What is seen of right and wrong labels, class by class, and what the rules make of it.

    Args:
        sums: (N, S, K) of the memory.
        wrong: (N,) whose label was changed.
        classes: K names, background first.
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
            of_kind = {key: _spread(values[:, k].numpy()[which]) for key, values in seen.items()}
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
        "right_cases": int((~wrong).sum()),
        "wrong_cases": int(wrong.sum()),
        "auroc_borders": auroc(borders, wrong),
        "auroc": auroc(whole, wrong),
        "right_cases_doubted": int((whole[~wrong] > 0).sum()),
        "classes": rows,
        "log": sentences,
    }


def _spread(values: NDArray[Any]) -> list[float] | None:
    known = values[np.isfinite(values)]
    return [round(float(known.mean()), 3), round(float(known.std()), 3)] if len(known) else None


def row_of(folder: Path, raw: Path) -> Row:
    """Of a training's folder of one fold."""
    content: dict[str, Any] = read_json(folder / FILE)
    cases = sorted(content["cases"])
    sums = torch.tensor([[content["cases"][case][name] for name in SUMS] for case in cases])
    dataset, training = folder.parent.parent.name, folder.parent.name
    table = raw / dataset / "label_noise.csv"
    kinds = {row["case"]: row["kind"] for row in csv.DictReader(table.open())} if table.exists() else {}
    wrong = np.array([bool(kinds.get(case)) for case in cases])
    of = {"dataset": dataset, "training": f"{training} {folder.name}", "kinds": sorted({*kinds.values()} - {""})}
    return of | seen_and_doubted(sums, wrong, content["classes"])


def run(arguments: argparse.Namespace) -> int:
    folders = sorted(file.parent for file in (arguments.out / "trainings").glob(f"*/*CaseTrust*/fold_*/{FILE}"))
    rows = [row_of(folder, arguments.out / "raw") for folder in folders]
    text = json.dumps({"command": command_line(), "rows": rows}, indent=1) + "\n"
    if arguments.json is None:
        print(text)
    else:
        with new_file(arguments.json, overwrite=True) as unfinished:
            unfinished.write_text(text)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.case_trust_contrast",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="of the study over organs")
    parser.add_argument("--json", type=Path, help="where the rows go. Default: they are printed")
    return run_command(parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
