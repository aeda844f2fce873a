"""What is odd about a dataset.json is said in a sentence that is true."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.dataset_description import read_description
from nnunetv2_dale.nnunet_files.json_files import read_json_object

GOOD = {
    "channel_names": {"0": "MRI"},
    "labels": {"background": 0, "whole": [1, 2], "core": 2},
    "file_ending": ".nii.gz",
}


def _write(tmp_path: Path, **changes: object) -> Path:
    (tmp_path / "dataset.json").write_text(json.dumps({**GOOD, **changes}))
    return tmp_path / "dataset.json"


def test_what_nnunet_reads_is_returned_as_it_is(tmp_path: Path) -> None:
    assert read_description(_write(tmp_path)) == GOOD
    old = {key: value for key, value in GOOD.items() if key != "channel_names"} | {"modality": {"0": "CT"}}
    (tmp_path / "dataset.json").write_text(json.dumps(old))
    assert read_description(tmp_path / "dataset.json") == old


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"labels": {"0": "background", "1": "tumour"}}, "the way nnU-Net 1 did, number first; labels are written as"),
        ({"labels": ["background", "tumour"]}, "gives its labels as a list; labels are written as"),
        ({"labels": {"background": 0, "tumour": "1"}}, "gives the label tumour the value '1'"),
        ({"labels": {"background": 0, "tumour": 1.5}}, "gives the label tumour the value 1.5"),
        ({"labels": {"background": 0, "tumour": None}}, "gives the label tumour the value None"),
        ({"labels": {"background": 0, "tumour": []}}, r"gives the label tumour the value \[\]"),
        ({"labels": {"background": 0, "tumour": [1, True]}}, "gives the label tumour"),
        ({"labels": {"background": 0, "tumour": -1}}, "labels lie between 0 and 32767"),
        ({"labels": {"background": 0, "tumour": 40000}}, "labels lie between 0 and 32767"),
        ({"channel_names": ["MRI"]}, "gives channel_names as a list; channel_names is written as"),
        ({"channel_names": {"MRI": 0}}, "gives channel_names the wrong way round"),
        ({"channel_names": "MRI"}, "gives channel_names as a str"),
        ({"file_ending": "nii.gz"}, "should have a file_ending like \".nii.gz\", and has 'nii.gz'"),
    ],
)
def test_odd_descriptions(tmp_path: Path, changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        read_description(_write(tmp_path, **changes))


@pytest.mark.parametrize("read", [read_description, read_json_object])
def test_a_key_that_stands_twice_is_named(tmp_path: Path, read: Callable[[Path], object]) -> None:
    """nnU-Net issue 2884: a reader of JSON keeps the last of two in silence."""
    path = _write(tmp_path, labels={"background": 0, "ignore": 1, "a": 2, "other": 3})
    path.write_text(path.read_text().replace("other", "ignore"))
    with pytest.raises(UserError, match=r"dataset\.json has the key 'ignore' twice"):
        read(path)


def test_files_that_are_not_json_for_nnunet(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    with pytest.raises(UserError, match="there is no such file"):
        read_description(path)
    path.write_text('{"labels": { # the classes\n "background": 0}}')
    with pytest.raises(UserError, match=r"is not valid JSON \(.*line 1, column 14\); JSON knows no comments"):
        read_description(path)
    path.write_text('{"labels": {"background": 0,}}')
    with pytest.raises(UserError, match=r"is not valid JSON \([^;]*$"):
        read_description(path)
    path.write_text("[1, 2]")
    with pytest.raises(UserError, match=r"should hold a JSON object, \{\.\.\.\}, and holds a list"):
        read_description(path)
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(UserError, match="is not UTF-8 text"):
        read_description(path)


def test_a_byte_order_mark_is_read_but_not_accepted_where_nnunet_reads_the_file_next(tmp_path: Path) -> None:
    path = _write(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_json_object(path) == GOOD
    with pytest.raises(UserError, match="begins with a byte order mark, which nnU-Net cannot read"):
        read_description(path)
