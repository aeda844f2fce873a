"""SVL-DRL's policy learns at the size of a training, with its trainer's own optimizer, learning rate and stages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.svl_drl_toy import CASES, ITERATIONS, right_action
from benchmarks.synthetic_training import synthetic_folders

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def folders(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("nnUNet_compile", "f")
    with synthetic_folders():
        yield


@pytest.mark.parametrize("dimensions", CASES)
def test_the_policy_learns_the_right_action(dimensions: str) -> None:
    """From a third, after 240 iterations, half of them in the last stage."""
    assert right_action(CASES[dimensions], "bright", {}, ITERATIONS["bright"]) > 0.6


def test_with_the_reward_of_the_whole_volume_it_does_not() -> None:
    assert right_action(CASES["2d"], "bright", {"reward": "volume"}, ITERATIONS["bright"]) < 0.4
