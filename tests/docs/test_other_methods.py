"""What the pages of the other methods say: their cost is within the limits that were set, every number is explained."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from typing import Any

from benchmarks.method_iterations import STEPS
from nnunetv2_dale.dk_uxnet.losses import LossTerms
from tests.conftest import REPOSITORY

RESULTS = REPOSITORY / "benchmarks" / "results"
MEASURED: dict[str, Any] = json.loads((RESULTS / "method_cost_2d.json").read_text())
MEASURED_3D: dict[str, Any] = json.loads((RESULTS / "method_cost_3d.json").read_text())["cases"][0]


def test_the_last_stage_of_svl_drl_costs_at_most_what_is_promised() -> None:
    for measured in (MEASURED, MEASURED_3D):
        assert measured["variants"]["svl_drl"]["ratio_median"] <= (STEPS + 1) * 1.5


def test_the_others_cost_their_passes() -> None:
    for name in ("mwnet", "beco", "ads", "gce"):
        found = MEASURED["variants"][name]
        assert abs(found["ratio_median"] / found["passes"] - 1) <= 0.1, (name, found["ratio_median"])


def test_every_number_of_dk_uxnets_log_is_explained() -> None:
    page = (REPOSITORY / "docs" / "dk_uxnet.md").read_text(encoding="utf-8")
    table = page[page.index("## What is in the log") :]
    assert set(re.findall(r"`(\w+)`", table)) >= {spec.name for spec in fields(LossTerms)}
