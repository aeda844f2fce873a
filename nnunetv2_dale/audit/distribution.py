"""The figure of the audit's page: a number of every case, class by class, with the findings marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from nnunetv2_dale.audit.audit_task import AuditedClass, AuditTask
from nnunetv2_dale.audit.evidence import CaseEvidence
from nnunetv2_dale.audit.findings import Audit
from nnunetv2_dale.audit.without_network.records import CaseRecord
from nnunetv2_dale.pages.html_page import OKABE_ITO

MOST_CLASSES = 12


@dataclass(frozen=True)
class Spread:
    """What the figure shows: (case, class key) → a number, and what it is."""

    values: Mapping[tuple[str, str], float]
    axis: str


def displacements(evidence: Sequence[CaseEvidence], task: AuditTask) -> Spread:
    """Return how far the border of every case lies from the networks', in mm; nothing without a common border."""
    found = ((case, item.key, case.classes[item.key].displacement) for case in evidence for item in task.classes)
    values = {(case.case, key): moved.mean_mm for case, key, moved in found if moved is not None}
    return Spread(values, "label narrower than the networks  ←  mean displacement of the border (mm)  →  wider")


def volumes(records: Sequence[CaseRecord]) -> Spread:
    """Return how large every class is, against its median: 1 is twice as large, −1 half as large."""
    sizes = {
        (record.case, key): float(np.log2(row.voxels * np.prod(record.spacing_mm)))
        for record in records
        for key, row in record.classes.items()
    }
    usual = {key: float(np.median([size for (_, its), size in sizes.items() if its == key])) for _, key in sizes}
    values = {(case, key): size - usual[key] for (case, key), size in sizes.items()}
    return Spread(values, "smaller  ←  size against the median of the class, in doublings  →  larger")


def shown_classes(audit: Audit, task: AuditTask) -> list[AuditedClass]:
    """Return the classes of the figure: those with most findings where there are too many, in order."""
    labels = [found.label for case in audit.cases for found in case.findings]
    kept = sorted(task.classes, key=lambda item: -labels.count(item.key))[:MOST_CLASSES]
    return [item for item in task.classes if item in kept]


def distribution_figure(audit: Audit, task: AuditTask, spread: Spread) -> Figure:
    """Draw the number of every case in each class.

    A dot is a case without a finding, a filled diamond one with a finding in that class or in the whole label, an open
    diamond one with a finding elsewhere. A case without a number has no mark.
    """
    suspects = {(case.case, found.label) for case in audit.cases for found in case.findings}
    somewhere = {case for case, _ in suspects}
    classes = shown_classes(audit, task)
    figure = Figure(figsize=(9, 1.1 + 0.55 * len(classes)))
    axes = figure.subplots()
    rng = np.random.default_rng(0)
    for row, item in enumerate(classes):
        places: dict[str, list[tuple[float, float]]] = {"o": [], "d": [], "D": []}
        for (case, key), value in spread.values.items():
            if key == item.key:
                here = bool({(case, key), (case, "")} & suspects)
                mark = "D" if here else "d" if case in somewhere else "o"
                places[mark].append((value, row + rng.uniform(-0.22, 0.22)))
        for mark, colour, size, fill in (
            ("o", OKABE_ITO[0], 3, OKABE_ITO[0]),
            ("d", OKABE_ITO[1], 5, "none"),
            ("D", OKABE_ITO[1], 5, OKABE_ITO[1]),
        ):
            x, y = np.array(places[mark]).reshape(-1, 2).T
            axes.plot(x, y, mark.upper() if mark == "d" else mark, color=colour, markersize=size, markerfacecolor=fill)
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.set_yticks(range(len(classes)), [item.name for item in classes])
    axes.invert_yaxis()
    axes.set_xlabel(spread.axis)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
