"""Flags of several commands: the same name, meaning and help in each."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest

from nnunetv2_dale.commands import shared_flags
from nnunetv2_dale.commands.worker_pool import usable_cores


def result_folder_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    shared_flags.add_result_folders(parser, "result folders")
    shared_flags.add_processes(parser, most=3)
    shared_flags.add_overwrite(parser, "the page")
    return parser


def test_result_folders_and_what_they_were_made_of() -> None:
    words = ["a", "b", "-f", "0", "all", "--references", "labelsTs", "--images", "imagesTs", "-np", "2", "--overwrite"]
    assert vars(result_folder_parser().parse_args(words)) == {
        "folders": [Path("a"), Path("b")],
        "f": ["0", "all"],
        "references": Path("labelsTs"),
        "images": Path("imagesTs"),
        "np": 2,
        "overwrite": True,
    }


def test_defaults() -> None:
    arguments = result_folder_parser().parse_args([])
    assert (arguments.folders, arguments.f, arguments.references, arguments.images) == ([], None, None, None)
    assert arguments.np == min(3, usable_cores())


def test_datasets_that_are_there_and_new_ones() -> None:
    parser = argparse.ArgumentParser()
    shared_flags.add_dataset(parser, "nnUNet_raw")
    shared_flags.add_new_dataset(parser, old_spelling="-o")
    assert vars(parser.parse_args(["-d", "Dataset004_X", "--new_id", "104"])) == {"d": "Dataset004_X", "new_id": 104}
    with pytest.raises(SystemExit):
        parser.parse_args(["--new_id", "104"])


@pytest.mark.parametrize("text", ["0", "-1", "two"])
def test_no_process_is_no_number_of_processes(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        result_folder_parser().parse_args(["-np", text])
    assert end.value.code == 2
    assert "-np" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity on this platform")
def test_cores_are_those_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {3, 5})
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert usable_cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores() == 64
