"""The figure of the audit's page: how far the border of every case lies from the networks', class by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from nnunetv2_dale.audit.audit_task import AuditedClass, AuditTask
from nnunetv2_dale.audit.evidence import CaseEvidence
from nnunetv2_dale.audit.findings import Audit
from nnunetv2_dale.pages.html_page import OKABE_ITO

MOST_CLASSES = 12


def shown_classes(audit: Audit, task: AuditTask) -> list[AuditedClass]:
    """Return the classes of the figure: those with most findings where there are too many, in order."""
    labels = [found.label for case in audit.cases for found in case.findings]
    kept = sorted(task.classes, key=lambda item: -labels.count(item.key))[:MOST_CLASSES]
    return [item for item in task.classes if item in kept]


def distribution_figure(audit: Audit, task: AuditTask, evidence: Sequence[CaseEvidence]) -> Figure:
    """Return the mean displacement of every case in each class.

    A dot is a case without a finding, a filled diamond one with a finding in that class or in the whole label, an open
    diamond one with a finding elsewhere. A case without a common border has no mark.
    """
    suspects = {(case.case, found.label) for case in audit.cases for found in case.findings}
    somewhere = {case for case, _ in suspects}
    classes = shown_classes(audit, task)
    figure = Figure(figsize=(9, 1.1 + 0.55 * len(classes)))
    axes = figure.subplots()
    rng = np.random.default_rng(0)
    for row, item in enumerate(classes):
        places: dict[str, list[tuple[float, float]]] = {"o": [], "d": [], "D": []}
        for case in evidence:
            moved = case.classes[item.key].displacement
            if moved is not None:
                here = bool({(case.case, item.key), (case.case, "")} & suspects)
                mark = "D" if here else "d" if case.case in somewhere else "o"
                places[mark].append((moved.mean_mm, row + rng.uniform(-0.22, 0.22)))
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
    axes.set_xlabel("label narrower than the networks  ←  mean displacement of the border (mm)  →  wider")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
