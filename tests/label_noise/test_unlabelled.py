"""The kind `unlabelled`: cases that lose their label."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.datasets import change_description, read_volume, write_volume
from tests.label_noise.fixtures import TURNED, run, table_of


def test_unlabelled_cases_hold_the_ignore_label_everywhere(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = raw / "Dataset004_Tiny"
    description = json.loads((folder / "dataset.json").read_text())
    splits = [{"train": [f"case {n}" for n in range(2, 8)], "val": ["case 0", "case 1"]}]
    (raw / "splits.json").write_text(json.dumps(splits))
    folds = ("--splits", str(raw / "splits.json"), "--fold", "0")
    assert run("--kind", "unlabelled", "--fraction", "0.5", *folds) == 0
    assert "3 of 8 cases corrupted, 2 kept clean" in capsys.readouterr().out
    copy = raw / "Dataset904_Tiny"
    emptied = json.loads((copy / "label_noise.json").read_text())["corrupted"]
    for number in range(8):
        name = f"case {number}"
        label, clean = (read_volume(place / f"labelsTr/{name}.nii.gz") for place in (copy, folder))
        if name in emptied:
            assert number >= 2
            assert (label == 3).all()
            changed = read_volume(copy / f"labelsTr_changed/{name}.nii.gz")
            np.testing.assert_array_equal(changed, np.where(clean == 3, 0, 4))
            assert int(table_of(copy)[name]["voxels_unlabelled"]) == (clean != 3).sum()
        else:
            np.testing.assert_array_equal(label, clean)
    assert json.loads((copy / "dataset.json").read_text()) == description


def test_unlabelled_adds_an_ignore_label_where_there_is_none(raw: Path) -> None:
    folder = raw / "Dataset004_Tiny"
    for path in (folder / "labelsTr").iterdir():
        write_volume(np.where(read_volume(path) == 3, 0, read_volume(path)).astype(np.uint8), path, **TURNED)
    labels = {"background": 0, "whole": [1, 2], "core": 2}
    change_description(folder, labels=labels)
    assert run("--kind", "unlabelled", "--fraction", "0.9") == 0
    copy = raw / "Dataset904_Tiny"
    assert json.loads((copy / "dataset.json").read_text())["labels"] == {**labels, "ignore": 3}
    maps = [read_volume(path) for path in sorted((copy / "labelsTr").iterdir())]
    assert sum((label == 3).all() for label in maps) == 7
    assert sum(not (label == 3).any() for label in maps) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--amount", "1"), "takes neither --dice nor --amount"),
        (("--dice", "0.5"), "takes neither --dice nor --amount"),
        ((), "no training case would keep its label"),
        (("--kind", "unlabelled", "dilate", "--fraction", "0.5"), "no part of a mixture"),
    ],
)
def test_unlabelled_refusals(raw: Path, arguments: tuple[str, ...], message: str, capsys) -> None:
    assert run("--kind", "unlabelled", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (raw / "Dataset904_Tiny").exists()
