"""What holds in all tests of trainers."""

from __future__ import annotations

import pytest

from nnunetv2_dale.case_trust import doubted_cases


@pytest.fixture(autouse=True)
def _classes_count_as_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny trainings learn no class, but their cases have to fall into groups; `tests/case_trust` has the rule."""
    monkeypatch.setattr(doubted_cases, "LEARNED", 0.0)
