"""What docs/evidence/measurements.md says of the data is so."""

from __future__ import annotations

import json

from tests.conftest import REPOSITORY


def test_no_row_has_a_case_that_is_left_out() -> None:
    page = (REPOSITORY / "docs/evidence/measurements.md").read_text(encoding="utf-8")
    lines = page[page.index("Cases of the hippocampus that are left out:") :].split("\n\n")[1]
    left_out = {f"hippocampus_{int(number):03d}" for number in lines.split()}
    assert len(left_out) == 60
    for file in (REPOSITORY / "benchmarks/results/accuracy").glob("*.jsonl"):
        for line in file.read_text().splitlines():
            assert not left_out & json.loads(line)["cases"].keys(), file
