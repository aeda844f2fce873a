"""The figure of the audit's page: a mark says what was found in the case, however far its border lies off."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nnunetv2_dale.audit.audit_task import AuditedClass
from nnunetv2_dale.audit.distribution import displacements, distribution_figure, shown_classes

CLASSES = tuple(AuditedClass(str(value), f"class {value}", (value,)) for value in (1, 2))


def audit_of(**labels: list[str]) -> Any:
    """An audit with findings of these class keys in each case."""
    found = {case: tuple(SimpleNamespace(label=label) for label in each) for case, each in labels.items()}
    return SimpleNamespace(cases=[SimpleNamespace(case=case, findings=each) for case, each in found.items()])


def evidence_of(**means: tuple[float | None, float | None]) -> Any:
    return [
        SimpleNamespace(
            case=case,
            classes={
                item.key: SimpleNamespace(displacement=None if mean is None else SimpleNamespace(mean_mm=mean))
                for item, mean in zip(CLASSES, each, strict=True)
            },
        )
        for case, each in means.items()
    ]


def test_marks_match_the_findings() -> None:
    """Case b is the most extreme in class 2 and has a finding in class 1; c has one of the whole label."""
    audit = audit_of(a=[], b=["1"], c=[""], d=["2"])
    task: Any = SimpleNamespace(classes=CLASSES)
    evidence = evidence_of(a=(0.1, 0.2), b=(0.3, 9.0), c=(0.5, 0.6), d=(0.7, None))
    lines = distribution_figure(audit, task, displacements(evidence, task)).axes[0].get_lines()
    drawn = [
        (round(float(y)), line.get_marker(), line.get_markerfacecolor() == "none", x)
        for line in lines[:-1]
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]
    assert sorted(drawn) == [
        (0, "D", False, 0.3),
        (0, "D", False, 0.5),
        (0, "D", True, 0.7),
        (0, "o", False, 0.1),
        (1, "D", False, 0.6),
        (1, "D", True, 9.0),
        (1, "o", False, 0.2),
    ]


@pytest.mark.parametrize(("found", "last"), [([], "12"), (["15", "15", "14"], "15")])
def test_of_many_classes_those_with_findings_are_shown(found: list[str], last: str) -> None:
    classes = tuple(AuditedClass(str(value), f"class {value}", (value,)) for value in range(1, 16))
    shown = shown_classes(audit_of(a=found), SimpleNamespace(classes=classes))  # type: ignore[arg-type]
    assert len(shown) == 12
    assert [int(item.key) for item in shown] == sorted(int(item.key) for item in shown)
    assert shown[-1].key == last
