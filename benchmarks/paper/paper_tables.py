"""The tables of docs/evidence/paper_setting.md as Markdown, from the stored results alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.paper.paper_arms import ARMS
from benchmarks.paper.paper_plan import planned
from benchmarks.table import markdown

LENGTHS = (10, 20, 40)  # epochs
Result = dict[str, Any]
Point = dict[str, Any]
TITLES = {
    "polyps": "Polyps, clean labels",
    "noise": "Polyps, noisy labels",
    "parts": "Polyps, clean labels: further parts",
    "seeds": "Polyps, further seeds",
    "readings": "Polyps, clean labels: the readings that the paper leaves open",
    "nodules": "Lung nodules, consensus labels",
    "networks": "Polyps, other networks",
}
LIKE: dict[str, Callable[[Point], float]] = {
    "same epochs": lambda point: float(point["epoch"]),
    "same updates": lambda point: float(point["updates"]),
    "same time": lambda point: float(point["seconds"]),
}


def read(folder: Path) -> dict[str, list[Result]]:
    """Table → its trainings, of each the longest one."""
    found = {}
    for table in TITLES:
        file = folder / f"{table}.jsonl"
        longest: dict[tuple[Any, ...], Result] = {}
        for line in file.read_text().splitlines() if file.exists() else []:
            result = json.loads(line)
            place = _place(result["run"])
            if place not in longest or longest[place]["run"]["epochs"] < result["run"]["epochs"]:
                longest[place] = result
        if longest:
            found[table] = list(longest.values())
    return found


def all_tables(folder: Path) -> str:
    """Every table there are results for, the networks' heads and what has not been run."""
    results = read(folder)
    ordinary = [each for runs in results.values() for each in runs if each["run"]["arm"] == "ordinary"]
    every = [each for runs in results.values() for each in runs]
    compared = {table: [*_printed_beside(table, results), *runs] for table, runs in results.items()}
    parts = [f"### {TITLES[table]}\n\n{comparison(runs, ordinary)}" for table, runs in compared.items()]
    if grown := growth([each for each in every if each["run"]["seed"] == 1], ordinary):
        parts.insert(0, f"### Longer trainings, first seed\n\n{grown}")
    if any(each["run"]["seed"] > 1 for each in every):
        parts.insert(0, f"### All seeds\n\n{over_seeds(every, ordinary)}")
    if ordinary:
        parts.append(f"### Has ordinary training stopped improving?\n\n{stopped(ordinary)}")
    heads = folder / "heads.json"
    if heads.exists():
        parts.append(f"### Which module is hooked, and what the updates reach\n\n{heads_table(heads)}")
    if (features := folder / "features.json").exists():
        parts.append(f"### Features of fuzzy and non-fuzzy regions\n\n{features_table(features)}")
    parts.append(f"### Not run yet\n\n{not_run(results)}")
    return "\n\n".join(parts) + "\n"


def chosen(curve: Sequence[Point]) -> Point:
    """The epoch with the best validation Dice, the earliest of equal ones."""
    return max(curve, key=lambda point: (point["validation"], -point["epoch"]))


def within(curve: Sequence[Point], measure: Callable[[Point], float], most: float) -> Sequence[Point] | None:
    """The beginning of a training that is not longer than `most`; None where the whole training is shorter than that.

    The last epoch may be cut by 2 %: processor seconds of two trainings never end alike.
    """
    if measure(curve[-1]) < 0.98 * most:
        return None
    return [point for point in curve if measure(point) <= 1.02 * most] or None


def comparison(results: Sequence[Result], ordinary: Sequence[Result]) -> str:
    """One row per training: its test Dice, and by how much that is above ordinary training of the same length."""
    rows = []
    for result in results:
        run, curve = result["run"], result["curve"]
        best = chosen(curve)
        row = [*(run[name] for name in ("arm", "network", "labels", "seed")), len(curve), curve[-1]["updates"]]
        row += [f"{curve[-1]['seconds']:.0f}", best["epoch"], f"{100 * best['test']:.1f}"]
        rows.append(row + [_above(result, ordinary, measure) for measure in LIKE.values()])
    header = ["arm", "network", "labels", "seed", "epochs", "updates", "seconds", "chosen epoch", "test Dice"]
    return _what_differs([*header, *(f"above ordinary, {name}" for name in LIKE)], rows)


def over_seeds(results: Sequence[Result], ordinary: Sequence[Result]) -> str:
    """One row per arm with several seeds: mean and range of its Dice points above ordinary training."""
    groups: dict[tuple[Any, ...], list[Result]] = {}
    for result in results:
        place = tuple(result["run"][name] for name in ("arm", "network", "labels", "data"))
        groups.setdefault(place, []).append(result)
    rows = []
    for place, group in groups.items():
        if len(group) < 2:
            continue
        if place[0] != "ordinary":
            group = of_one_length(group)
        dice = [f"{100 * chosen(each['curve'])['test']:.1f}" for each in group]
        above = [
            "" if place[0] == "ordinary" else _mean_and_range([difference(each, ordinary, measure) for each in group])
            for measure in LIKE.values()
        ]
        epochs = "–".join(map(str, sorted({len(each["curve"]) for each in group})))
        rows.append([*place, epochs, ", ".join(dice), *above])
    header = ["arm", "network", "labels", "data", "epochs", "test Dice of each seed"]
    return _what_differs([*header, *(f"above ordinary, {name}" for name in LIKE)], rows)


def growth(results: Sequence[Result], ordinary: Sequence[Result]) -> str | None:
    """One row per arm that is as long as the longest of `LENGTHS`; its points above ordinary training at each."""
    rows = []
    for result in results:
        if result["run"]["arm"] == "ordinary" or len(result["curve"]) < LENGTHS[-1] or _has_phases(result):
            continue
        cut = [shortened(result, epochs) for epochs in LENGTHS]
        measures = [LIKE[name] for name in ("same epochs", "same updates")]
        above = [_above(each, ordinary, measure) for measure in measures for each in cut]
        rows.append([result["run"]["arm"], *above])
    header = [f"{epochs} epochs, above same {like}" for like in ("epochs", "updates") for epochs in LENGTHS]
    return markdown(["arm", *header], rows) if rows else None


def _has_phases(result: Result) -> bool:
    """Whether the beginning of this training is not that of a shorter one."""
    return ARMS[result["run"]["arm"]].kind == "trainer"


def _printed_beside(table: str, results: Mapping[str, Sequence[Result]]) -> list[Result]:
    """DALE as printed, as long as the readings: what they differ from."""
    if table != "readings":
        return []
    epochs = max(len(each["curve"]) for each in results[table])
    printed = [each for each in results.get("polyps", []) if each["run"]["arm"] == "DALE as printed"]
    return [shortened(each, epochs) for each in printed]


def of_one_length(group: Sequence[Result]) -> list[Result]:
    """The seeds of an arm, the longer trainings cut to the length of the shortest: their beginning is that training."""
    return [shortened(each, min(len(one["curve"]) for one in group)) for each in group]


def shortened(result: Result, epochs: int) -> Result:
    """The beginning of a training."""
    return {**result, "curve": result["curve"][:epochs]}


def _mean_and_range(differences: Sequence[float | None]) -> str:
    known = [each for each in differences if each is not None]
    if len(known) < len(differences):
        return "–"
    return f"{np.mean(known):+.1f} ({min(known):+.1f} to {max(known):+.1f})"


def _above(result: Result, ordinary: Sequence[Result], measure: Callable[[Point], float]) -> str:
    """The difference as it is shown: nothing for ordinary training itself, "–" without a twin that is long enough."""
    if result["run"]["arm"] == "ordinary":
        return ""
    above = difference(result, ordinary, measure)
    return "–" if above is None else f"{above:+.1f}"


def difference(result: Result, ordinary: Sequence[Result], measure: Callable[[Point], float]) -> float | None:
    """Dice points above ordinary training of the same seed that is as long by `measure`; None without one."""
    run = result["run"]
    for twin in ordinary:
        if all(twin["run"][name] == run[name] for name in ("data", "labels", "network", "seed")):
            part = within(twin["curve"], measure, measure(result["curve"][-1]))
            return None if part is None else float(100 * (chosen(result["curve"])["test"] - chosen(part)["test"]))
    return None


def stopped(ordinary: Sequence[Result]) -> str:
    """By how much the best validation Dice still grew in the last half and the last quarter of ordinary training."""
    rows = []
    for result in ordinary:
        run, curve = result["run"], result["curve"]
        best = [100 * chosen(curve[: max(1, round(part * len(curve)))])["validation"] for part in (0.5, 0.75, 1)]
        place = f"{run['data']}, {run['labels']}, {run['network']}, seed {run['seed']}"
        row = [place, len(curve), chosen(curve)["epoch"], *(f"{value:.1f}" for value in best)]
        rows.append([*row, f"{np.diff(best)[-1]:+.1f}"])
    header = ["ordinary training of", "epochs", "best epoch", "validation Dice to half", "to three quarters"]
    return markdown([*header, "to the end", "last quarter"], rows)


def heads_table(file: Path) -> str:
    """One row per network by others."""
    rows = []
    for each in json.loads(file.read_text())["networks"]:
        unreached = len(each["unreached"])
        alike = each["unreached"] == each["unreached_by_ordinary_training"]
        reached = f"{each['tensors'] - unreached} of {each['tensors']}"
        if unreached:
            reached += ", the others unused by the network itself" if alike else ", ordinary training reaches more"
        rows.append(
            [each["class"], f"`{each['head']}`", " × ".join(map(str, each["features"])), each["weights"], reached]
        )
    return markdown(["network (MONAI)", "head", "aligned features", "weights", "parameter tensors reached"], rows)


def features_table(file: Path) -> str:
    """One row per network: silhouettes of the classes and W₂ of fuzzy to non-fuzzy features per class."""
    rows = []
    for name, each in json.loads(file.read_text())["features"].items():
        silhouettes = (each[f"silhouette_of_classes_{region}"] for region in ("non_fuzzy", "fuzzy"))
        numbers = (*silhouettes, each["wasserstein"]["0"], each["wasserstein"]["1"])
        rows.append([name, each["voxels"], *(f"{value:.2f}" for value in numbers)])
    header = ["network", "voxels", "silhouette of the classes, non-fuzzy", "fuzzy", "W₂, background", "W₂, polyp"]
    return markdown(header, rows)


def not_run(results: Mapping[str, Sequence[Result]]) -> str:
    """Planned trainings without a stored result of any length, a line per table."""
    lines = []
    for table, title in TITLES.items():
        done = {_place(each["run"]) for each in results.get(table, [])}
        missing = [run for run in planned(table) if _place(vars(run)) not in done]
        if missing:
            names = "; ".join(dict.fromkeys(run.arm for run in missing))
            lines.append(f"- `{table}` ({title}), {len(missing)} of {len(planned(table))} trainings: {names}")
    return "\n".join(lines) or "Everything that is planned has been run."


def _place(run: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a training is, but for its length."""
    return tuple(value for name, value in run.items() if name != "epochs")


def _what_differs(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; of its second to fourth columns those that are not the same in all rows."""
    shown = [
        column for column in range(len(header)) if column not in (1, 2, 3) or len({row[column] for row in rows}) > 1
    ]
    return markdown([header[column] for column in shown], [[row[column] for column in shown] for row in rows])
