"""Keys of classes and regions, as nnU-Net and as other evaluation scripts write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.results.class_keys import class_key, class_labels, keys_of_names, own_key
from nnunetv2_dale.nnunet_files.results.summary_file import read_summary

NAMES = keys_of_names({"background": 0, "whole": [2, 1], "core": [2], "2": 7, "ignore": 3})


@pytest.mark.parametrize(("key", "labels"), [("2", (2,)), ("(1, 2)", (1, 2)), ("(3,)", (3,)), ("(2,1,4)", (2, 1, 4))])
def test_as_nnunet_reads_them(key: str, labels: tuple[int, ...]) -> None:
    from nnunetv2.evaluation.evaluate_predictions import key_to_label_or_region

    assert class_labels(key) == labels
    theirs = key_to_label_or_region(key)
    assert labels == (theirs if isinstance(theirs, tuple) else (theirs,))


@pytest.mark.parametrize(
    ("written", "own"),
    [
        ("1", "1"),
        ("1.0", "1"),
        ("(1,)", "1"),
        ("np.float32(1.0)", "1"),
        ("(1, 2)", "(1, 2)"),
        ("(2, 1)", "(1, 2)"),
        ("[1, 2]", "(1, 2)"),
        ("1,2", "(1, 2)"),
        ("(np.int64(1), np.int64(2))", "(1, 2)"),
        ("(numpy.uint8(12), np.int64(10))", "(10, 12)"),
        ("whole", "(1, 2)"),
        ("core", "2"),
        ("2", "2"),  # the label value, though a class is named so
    ],
)
def test_every_spelling_is_one_key(written: str, own: str) -> None:
    assert own_key(written, NAMES) == own
    assert class_key(class_labels(own)) == own


@pytest.mark.parametrize("key", ["liver", "", "()", "(1.5,)", "-1", "label_1"])
def test_what_names_no_class(key: str) -> None:
    with pytest.raises(ValueError, match="names no label values"):
        own_key(key, NAMES)


def summary(file: Path, *keys: str) -> Path:
    metrics = {key: {"Dice": 1.0, "TP": number, "FP": 0, "FN": 0} for number, key in enumerate(keys)}
    row = {"metrics": metrics, "prediction_file": "p/a.nii.gz", "reference_file": "r/a.nii.gz"}
    file.write_text(json.dumps({"metric_per_case": [row]}))
    return file


def test_a_summary_of_another_script(tmp_path: Path) -> None:
    file = summary(tmp_path / "s.json", "background", "(np.int64(1), np.int64(2))", "core")
    labels = {"labels": {"background": 0, "whole": [1, 2], "core": 2}}
    (case,) = read_summary(file, "0", labels)
    assert {key: result.true_positives for key, result in case.classes.items()} == {"(1, 2)": 1, "2": 2}


def test_keys_that_cannot_be_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="class 'liver' names no label values"):
        read_summary(summary(tmp_path / "s.json", "liver"), "0")
    with pytest.raises(UserError, match="case a holds class 1 twice"):
        read_summary(summary(tmp_path / "s.json", "1", "(1,)"), "0")
