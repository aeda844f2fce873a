"""Measurements as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Variants of stored files under the name they have now: case trust was the default of nnUNetTrainerDALE for a while.
TODAYS_NAMES = {"default": "case_trust"}


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]], text: int = 1) -> str:
    """A Markdown table whose columns line up in a terminal too: so many of text, then numbers."""
    cells = [[str(value) for value in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    rule = ["-" * width for width in widths[:text]] + ["-" * (width - 1) + ":" for width in widths[text:]]
    lines = []
    for row in [cells[0], rule, *cells[1:]]:
        words = [value.ljust(width) for value, width in zip(row[:text], widths[:text], strict=True)]
        numbers = [value.rjust(width) for value, width in zip(row[text:], widths[text:], strict=True)]
        lines.append(f"| {' | '.join(words + numbers)} |")
    return "\n".join(lines)


def variants_table(variants: Mapping[str, Mapping[str, float]]) -> str:
    """Time and memory of every variant, each divided by plain nnU-Net's."""
    header = ["variant", "time / plain", "min", "max", "ms", "peak memory / plain", "MiB", "step memory", "page faults"]
    rows = []
    for name, found in variants.items():
        ratios = [f"{found[f'ratio_{which}']:.2f}" for which in ("median", "min", "max")]
        memory = [_ratio(found, "peak_memory_ratio"), f"{found['peak_mib']:.0f}" if "peak_mib" in found else "-"]
        memory += [_ratio(found, "step_memory_ratio"), f"{found['page_faults_median']:.0f}"]
        rows.append([name, *ratios, f"{1000 * found['seconds_median']:.0f}", *memory])
    return markdown(header, rows)


def parts_table(parts: Mapping[str, Mapping[str, float]]) -> str:
    """Each part's time: in ms, and as a share of plain nnU-Net's and of a look-ahead iteration."""
    rows = []
    for name, found in parts.items():
        shares = [f"{found['of_plain']:.3f}", f"{100 * found['of_lookahead']:.1f} %"]
        rows.append([name, f"{1000 * found['seconds_median']:.1f}", *shares])
    return markdown(["part", "ms", "of plain", "of look-ahead"], rows)


def trainings_table(trainings: Mapping[str, Mapping[str, float]]) -> str:
    """The cost of whole trainings, divided by plain nnU-Net's."""
    rows = []
    for name, found in trainings.items():
        times = [f"{found[of]:.2f}" for of in ("by_count", "by_measurement")]
        rows.append([name, f"{100 * found['share']:.0f} %", *times, _ratio(found, "step_memory")])
    header = ["whole training", "batches of Algorithm 1", "time by count", "time by measurement", "step memory"]
    return markdown(header, rows)


def synchronisations_table(waits: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """One row per variant and place where the host waited for the GPU."""
    rows = [[name, wait["times"], wait["from"], wait["call"]] for name, found in waits.items() for wait in found]
    return markdown(["variant", "waits", "from", "call"], rows or [["none", "", "", ""]])


def growth_table(cases: Sequence[Mapping[str, Any]]) -> str:
    """One row per case: time and memory ratios of the two modes."""
    rows = []
    for case in cases:
        variants = case["variants"]
        row = [case["case"]["name"], f"{1000 * variants['plain']['seconds_median']:.0f}"]
        for name in ("lookahead", "reuse"):
            found = variants[name]
            row += [
                f"{found['ratio_median']:.2f}",
                _ratio(found, "peak_memory_ratio"),
                _ratio(found, "step_memory_ratio"),
            ]
        rows.append(row)
    header = ["case", "plain, ms"]
    for name in ("look-ahead", "reuse"):
        header += [f"{name}: time", "peak memory", "step memory"]
    return markdown(header, rows)


def stored_tables(report: Mapping[str, Any], only: str = "") -> list[str]:
    """The tables of a results file, of the cases whose name contains `only`: time, memory and parts side by side."""
    cases = [row for row in report["cases"] if only in row["case"]["name"]]
    names = [row["case"]["name"] for row in cases]
    variants = list(dict.fromkeys(name for row in cases for name in row["variants"]))
    time = [[TODAYS_NAMES.get(name, name), *(_range(row["variants"].get(name)) for row in cases)] for name in variants]
    tables = [markdown(["time / plain: median (min to max)", *names], time)]
    if all("peak_mib" in found for row in cases for found in row["variants"].values()):
        memory = [
            [TODAYS_NAMES.get(name, name), *(_memory(row["variants"].get(name)) for row in cases)] for name in variants
        ]
        tables.append(markdown(["memory / plain: peak of the process, of the step", *names], memory))
    if all("parts" in row for row in cases):
        parts = [
            [name, *(f"{100 * row['parts'][name]['of_lookahead']:.1f}" for row in cases)] for name in cases[0]["parts"]
        ]
        tables.append(markdown(["% of a look-ahead iteration", *names], parts))
    return tables + [trainings_table(row["trainings"]) for row in cases if "trainings" in row]


def _range(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "-"
    return f"{found['ratio_median']:.2f} ({found['ratio_min']:.2f} to {found['ratio_max']:.2f})"


def _memory(found: Mapping[str, float] | None) -> str:
    return "-" if found is None else f"{found['peak_memory_ratio']:.2f}, {found['step_memory_ratio']:.2f}"


def _ratio(found: Mapping[str, float], key: str) -> str:
    return f"{found[key]:.2f}" if key in found else "-"
