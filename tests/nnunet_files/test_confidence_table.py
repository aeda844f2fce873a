"""`confidence.csv`: what it says of cases and classes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.confidence_table import (
    class_names,
    has_confidence,
    next_commands,
    read_confidence_table,
)

LABELS = {"background": 0, "Liver": 1, "left kidney": 2, "ignore": 3}
CASES = ("c0", "c1", "007")


def test_weights_and_classes_that_nobody_drew(tmp_path: Path) -> None:
    (tmp_path / "confidence.csv").write_text("Case;Weight;LIVER;left kidney\nc0;0,25;1;0\nc1;;1.0;True\n7;0;;False\n")
    table = read_confidence_table(tmp_path, LABELS, CASES)
    assert [table.weight(case) for case in (*CASES, "other")] == [0.25, 1.0, 0.0, 1.0]
    assert table.not_annotated("c0") == table.not_annotated("007") == ("left kidney",)
    assert table.annotated("c0") == {"Liver": True, "left kidney": False}
    assert table.annotated("c1") == table.annotated("other") == {"Liver": True, "left kidney": True}


def test_classes_that_a_column_cannot_name_are_annotated(tmp_path: Path) -> None:
    labels = {"background": 0, "A": 1, "a": 2, "Weight": 3, "case": 4, "b": 5}
    (tmp_path / "confidence.csv").write_text("case,weight,b\nc0,0.5,0\n")
    table = read_confidence_table(tmp_path, labels, CASES)
    assert (table.weight("c0"), table.not_annotated("c0")) == (0.5, ("b",))
    (tmp_path / "confidence.csv").write_text("case,A\nc0,0\n")
    with pytest.raises(UserError, match="has a column 'a'; expected case, weight, and the classes"):
        read_confidence_table(tmp_path, labels, CASES)


def test_without_a_table_all_is_annotated(tmp_path: Path) -> None:
    table = read_confidence_table(tmp_path, LABELS, CASES)
    assert (table.weight("c0"), table.not_annotated("c0")) == (1, ())
    assert not has_confidence(tmp_path)
    assert next_commands(tmp_path, 7) == "nnUNetv2_plan_and_preprocess -d 7 --verify_dataset_integrity"
    (tmp_path / "confidenceTr").mkdir()
    assert has_confidence(tmp_path)
    assert next_commands(tmp_path, 7).endswith(", then nnUNetv2_dale_confidence preprocess -d 7")


def test_regions_are_classes_and_background_may_be_called_anything() -> None:
    assert class_names({"air": 0, "whole": [1, 2], "core": [2], "ignore": 3}) == ("whole", "core")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("case,Liver,spleen\nc0,1,1\n", "column 'spleen'; expected case, weight, and .* Liver, left kidney"),
        ("case,weight\nc9,1\n", "names the case c9, which the dataset does not have"),
        ("case,weight\nc0,1\nc0,1\n", "lists c0 twice"),
        ("case,weight\nc0,-1\n", "case c0: expected a weight from 0 to 1, got '-1'"),
        ("case,weight\nc0,nan\n", "expected a weight from 0 to 1, got 'nan'"),
        ("case,weight\nc0,much\n", "expected a weight from 0 to 1, got 'much'"),
        ("case,Liver\nc0,0.5\n", r"expected 1 \(annotated\) or 0 \(not annotated\) for Liver, got '0.5'"),
        ("case,Liver,left kidney\nc0,0,0\n", "case c0: no class is annotated"),
        ("name,weight\nc0,1\n", "needs a first line with the column case"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "confidence.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        read_confidence_table(tmp_path, LABELS, CASES)
