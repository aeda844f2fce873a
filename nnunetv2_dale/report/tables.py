"""The report's numbers as files for other programs: CSV, and a LaTeX table for a paper."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas

from nnunetv2_dale.commands.csv_table import write_table
from nnunetv2_dale.report.report_data import MEAN_CLASS, Comparison, Report

_LATEX_SPECIAL = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def write_comparisons_csv(report: Report, file: Path) -> None:
    """One line for each comparison, the columns of `report.json`; `ci95` is two columns."""
    pandas.DataFrame([_flat(row) for row in report.comparisons], dtype=object).to_csv(
        file, index=False, lineterminator="\n"
    )


def write_cases_csv(report: Report, file: Path) -> None:
    """One line for each case, run and class, with a column for each metric; empty where there is no value."""
    keys = [*(item.key for item in report.classes), MEAN_CLASS]
    head = ["case", "patient", "run", "fold", "class", "class_name"]
    write_table(file, [*head, *(metric.name for metric in report.metrics)], _rows_of_cases(report, keys))


def _rows_of_cases(report: Report, keys: Sequence[str]) -> Iterator[list[object]]:
    for number, case in enumerate(report.case_names):
        patient = "" if report.patients is None else report.patients[number]
        for run, key in itertools.product(report.runs, keys):
            values = [run.values[metric.name][key][number] for metric in report.metrics]  # None becomes nothing
            yield [case, patient, run.name, run.fold_of_case[number], key, report.class_title(key), *values]


def _flat(row: Comparison) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in asdict(row).items():
        if name == "ci95":
            flat["ci95_low"], flat["ci95_high"] = value or (None, None)
        else:
            flat["class" if name == "class_key" else name] = value
    return flat


def latex_table(report: Report) -> str:
    """A `booktabs` table: Dice and, where measured, HD95 and Surface Dice for each class, candidate by candidate."""
    wanted = [m.name for m in report.metrics if m.region == "all" and m.name in ("Dice", "HD95", "Surface Dice")]
    of_trainers = any(row.of_trainers for row in report.comparisons)
    p = "$p$ (trials)" if of_trainers else "$p$ (Holm)"
    lines = [
        r"% \usepackage{booktabs}",
        *([] if of_trainers else ["% p is of two models; to compare two trainers, repeat their trainings"]),
        r"\begin{tabular}{llrrrrr}",
        r"\toprule",
        rf"Metric & Class & $n$ & Baseline & Candidate & Difference [95\,\% CI] & {p} \\",
    ]
    for run in report.runs[1:]:
        lines += [r"\midrule", rf"\multicolumn{{7}}{{l}}{{{_latex(run.name)} against {_latex(report.baseline)}}} \\"]
        rows = [row for row in report.comparisons if row.candidate == run.name and row.metric in wanted]
        lines += [_latex_row(row) for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex_row(row: Comparison) -> str:
    interval = "" if row.ci95 is None else f" [{_signed(row.ci95[0], row)}, {_signed(row.ci95[1], row)}]"
    unit = f" ({row.unit})" if row.unit else r" (\%)"
    cells = [
        _latex(row.metric) + unit,
        _latex(row.class_name),
        str(row.n),
        _number(row.mean_baseline, row),
        _number(row.mean, row),
        _signed(row.difference, row) + interval,
        p_text(row.p_trials if row.of_trainers else row.p_holm).replace("<", "$<$").replace("–", "--"),
    ]
    return " & ".join(cells) + r" \\"


def _number(value: float | None, row: Comparison) -> str:
    return "--" if value is None else f"{value * (1 if row.unit else 100):.2f}"


def _signed(value: float | None, row: Comparison) -> str:
    return "--" if value is None else f"${value * (1 if row.unit else 100):+.2f}$"


def p_text(p: float | None) -> str:
    """Return a p-value as it is printed: three decimals, "<0.001", or a dash where it is not defined."""
    if p is None:
        return "–"
    return "<0.001" if p < 0.0005 else f"{p:.3f}"


def _latex(text: str) -> str:
    return "".join(_LATEX_SPECIAL.get(character, character) for character in text)
