"""What the trust of cases finds among displacements and contrasts that are drawn, wrong ones and honest ones.

    python -m benchmarks.case_trust_toy --json FILE

Each row is a kind of data, the mean of 40 draws: how far wrong and right cases are down-weighted, by each way to look
at them. *cine MR* has the displacements that a training on 45 % dilated labels of ACDC left, and the contrasts of its
labels (`case_trust_contrast.json`); the rows *honest* and *clean* have right labels alone, which must not be
down-weighted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.machine import command_line
from benchmarks.results_file import add_json, write_results
from benchmarks.table import markdown
from nnunetv2_dale.case_trust.case_groups import group_doubt
from nnunetv2_dale.case_trust.config import CaseTrustConfig
from nnunetv2_dale.case_trust.joint_groups import joint_doubt
from nnunetv2_dale.case_trust.single_cases import shift_doubt, single_case_doubt
from nnunetv2_dale.commands.command_line import run_command

Array = NDArray[Any]
Drawn = tuple[Array, Array, Array]  # displacements and contrasts, (N, K); which cases are wrong, (N,)
Draw = Callable[[np.random.Generator], Drawn]

RIGHT, WRONG, NO_BORDER = (1.20, 0.15), (0.85, 0.15), (1.0, 0.15)  # contrasts, mean and spread
WAYS = ("groups", "single cases", "joint", "moved", "the largest")


def groups(*parts: tuple[int, float, float, bool, tuple[float, float]]) -> Draw:
    """One class, and groups of (cases, mean displacement, spread, whether they are wrong, contrast)."""

    def draw(random: np.random.Generator) -> Drawn:
        off = [random.normal(mean, spread, cases) for cases, mean, spread, _, _ in parts]
        shown = [random.normal(*contrast, cases) for cases, _, _, _, contrast in parts]
        wrong = [np.full(cases, is_wrong) for cases, _, _, is_wrong, _ in parts]
        return np.concatenate(off)[:, None], np.concatenate(shown)[:, None], np.concatenate(wrong)

    return draw


def right(off: Callable[[np.random.Generator], Array]) -> Draw:
    """One class of 60 right labels whose displacements are drawn by a function."""
    return lambda random: (off(random)[:, None], random.normal(*RIGHT, 60)[:, None], np.zeros(60, bool))


def cine_mr(contrast_spread: float = 1.0, tied: float = 0.0) -> Draw:
    """Right ventricle, myocardium, left ventricle of 140 cases, 64 of them dilated.

    The contrast's spread is times what real images have; `tied` correlates the displacements of a case's classes in a
    group.
    """
    off = {True: ((0.66, 1.26), (0.75, 0.62), (0.05, 0.4)), False: ((-1.21, 1.50), (-0.61, 0.75), (-0.05, 0.4))}
    shown = {True: ((1.21, 0.17), (1.42, 0.20), (2.13, 0.61)), False: ((1.72, 0.34), (1.52, 0.22), (2.02, 0.46))}

    def draw(random: np.random.Generator) -> Drawn:
        wrong = np.arange(140) < 64
        normal = np.sqrt(1 - tied) * random.normal(size=(140, 3)) + np.sqrt(tied) * random.normal(size=(140, 1))
        noise = contrast_spread * random.normal(size=(140, 3))

        def placed(of: dict[bool, Any], around: Array) -> Array:
            of_case = np.array([of[bool(each)] for each in wrong])  # (N, K, 2)
            values: Array = of_case[..., 0] + of_case[..., 1] * around
            return values

        return placed(off, normal), placed(shown, noise), wrong

    return draw


def poor_images(random: np.random.Generator) -> Drawn:
    """Right labels: where the image is poor, there is less contrast and the network draws otherwise."""
    quality = random.normal(size=(140, 1))
    off = 1.0 * quality + 0.6 * random.normal(size=(140, 3))
    return off, 1.5 - 0.15 * quality + 0.25 * random.normal(size=(140, 3)), np.zeros(140, bool)


def three(right_cases: int, each_side: int, shown: tuple[float, float] = WRONG, of_right: Any = RIGHT) -> Draw:
    """Right, wide and narrow cases."""
    return groups(
        (right_cases, 0.0, 0.4, False, of_right),
        (each_side, 1.6, 0.4, True, shown),
        (each_side, -1.6, 0.4, True, shown),
    )


ROWS: dict[str, Draw] = {
    "cine MR, 45 % dilated": cine_mr(),
    "cine MR, contrasts spread by 1.5": cine_mr(1.5),
    "cine MR, classes of a case tied by .5": cine_mr(tied=0.5),
    "left atrium: wide, narrow, moved": groups(
        (32, 0.1, 0.48, False, RIGHT), (15, 0.1, 0.36, True, WRONG), (6, 1.59, 0.36, True, WRONG),
        (11, -1.62, 0.31, True, WRONG),
    ),
    "50/25/25 of 64": three(32, 16),
    "40/30/30 of 160": three(64, 48),
    "40/30/30, no border in the image": three(64, 48, NO_BORDER, NO_BORDER),
    "45 % dilated": groups((88, 0.0, 0.4, False, RIGHT), (72, 1.7, 0.4, True, WRONG)),
    "60 % eroded": groups((64, 0.0, 0.4, False, RIGHT), (96, -1.7, 0.4, True, WRONG)),
    "25 % dilated": groups((45, 0.0, 0.4, False, RIGHT), (15, 1.4, 0.4, True, WRONG)),
    "clean: normal": right(lambda random: random.normal(0, 0.4, 60)),
    "clean: normal, wide": right(lambda random: random.normal(0, 1.5, 60)),
    "clean: t, 3 degrees of freedom": right(lambda random: random.standard_t(3, 60)),
    "clean: lognormal": right(lambda random: random.lognormal(0, 0.7, 60)),
    "clean: uniform": right(lambda random: random.uniform(-1.5, 1.5, 60)),
    "honest: 30 % sick": groups((42, 0.0, 0.3, False, RIGHT), (18, -1.6, 0.3, False, RIGHT)),
    "honest: 30 % sick, contrast .1 lower": groups(
        (42, 0.0, 0.3, False, RIGHT), (18, -1.6, 0.3, False, (1.10, 0.15))
    ),
    "honest: three kinds of patients": groups(
        (30, 0.0, 0.3, False, RIGHT), (15, 1.5, 0.3, False, RIGHT), (15, -1.5, 0.3, False, RIGHT)
    ),
    "honest: two scanners": groups((30, 0.0, 0.4, False, (1.6, 0.15)), (30, 0.0, 0.4, False, (1.2, 0.10))),
    "honest: poor images": poor_images,
}  # fmt: skip


def by_each_way(off: Tensor, shown: Tensor) -> dict[str, Tensor]:
    """(N,): how far each case is down-weighted, in the class where it is most."""
    config = CaseTrustConfig()
    tolerance, explained, fewest = config.tolerance, config.explained, config.fewest
    columns = list(zip(off.unbind(1), shown.unbind(1), strict=True))
    found = [
        torch.stack([group_doubt(*each, tolerance, explained, fewest) for each in columns], dim=1),
        torch.stack([single_case_doubt(*each, tolerance, fewest) for each in columns], dim=1),
        joint_doubt(off, shown, tolerance, explained, fewest),
        torch.stack([shift_doubt(contrast, explained, fewest) for _, contrast in columns], dim=1),
    ]
    of_cases = [each.abs().amax(1) for each in found]
    return dict(zip(WAYS, [*of_cases, torch.stack(of_cases).amax(0)], strict=True))


def measure(draw: Draw, draws: int) -> dict[str, list[float | None]]:
    """Way → how far wrong and right cases are down-weighted in the mean; None where there are none."""
    means: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for seed in range(draws):
        off, shown, wrong = draw(np.random.default_rng(seed))
        for way, found in by_each_way(torch.from_numpy(off), torch.from_numpy(shown)).items():
            means[way].append([float(found[each].mean()) for each in (wrong, ~wrong)])
    return {
        way: [None if np.isnan(value) else round(float(value), 3) for value in np.mean(values, axis=0)]
        for way, values in means.items()
    }


def results_table(found: dict[str, dict[str, list[float | None]]]) -> str:
    """How far wrong / right cases are down-weighted, of each row by each way."""
    cells = [
        [name, *(" / ".join("–" if value is None else f"{value:.2f}" for value in each[way]) for way in WAYS)]
        for name, each in found.items()
    ]
    return markdown(["wrong / right cases", *WAYS], cells)


def run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    found = {name: measure(draw, arguments.draws) for name, draw in ROWS.items()}
    print(results_table(found))
    if arguments.json is not None:
        content = {"command": command_line(), "draws": arguments.draws, "rows": found}
        write_results(arguments.json, content, arguments.overwrite)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=40, metavar="N", help="of each row (default: 40)")
    add_json(parser)
    return run_command(parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
