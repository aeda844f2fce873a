"""Flags of several commands: the same name, meaning and help in each."""

from __future__ import annotations

import os

import pytest

from nnunetv2_dale.commands.worker_pool import usable_cores
from nnunetv2_dale.report.cli import report_parser


@pytest.mark.parametrize("text", ["0", "-1", "two"])
def test_no_process_is_no_number_of_processes(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        report_parser().parse_args(["a", "b", "-o", "report", "-np", text])
    assert end.value.code == 2
    assert "-np" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity on this platform")
def test_cores_are_those_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {3, 5})
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert usable_cores() == report_parser().parse_args(["a", "b", "-o", "report"]).np == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores() == 64
    assert report_parser().parse_args(["a", "b", "-o", "report"]).np == 8  # at most
