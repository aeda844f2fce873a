"""docs/dk_uxnet.md names every number of the log, and tests that exist."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from nnunetv2_dale.dk_uxnet.losses import LossTerms
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "dk_uxnet.md").read_text()


def test_every_number_of_the_log_is_explained() -> None:
    table = PAGE[PAGE.index("## What is in the log") :]
    assert set(re.findall(r"`(\w+)`", table)) >= {spec.name for spec in fields(LossTerms)}


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`[\w/]*(test_\w+)\.py::", PAGE))))
def test_the_tests_exist(named: str) -> None:
    files = list((REPOSITORY / "tests").rglob(f"{named}.py"))
    assert files
    source = "".join(file.read_text() for file in files)
    for test in re.findall(rf"{named}\.py::(test_\w+)", PAGE):
        assert f"def {test}(" in source
