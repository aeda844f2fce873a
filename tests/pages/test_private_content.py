"""Paths are left out of texts, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunetv2_dale.pages.private_content import without_paths


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/data/study/a.nii.gz is cut off", "a.nii.gz is cut off"),
        ("give it with --references '/mnt/big disk/labels'", "give it with --references 'labels'"),
        ('in (/data/study), with "/x/y z", and =/data/study/b', 'in (study), with "y z", and =b'),
        (r"C:\Users\me\case_1.nii.gz", "case_1.nii.gz"),
        ("s / epoch, and/or, 3/4, https://host/page, ../results/a, a/x/y z/b, overlays/00_a.png", None),
        ("nnUNetv2_train 4 3d_fullres 0 --val", None),
    ],
)
def test_of_a_path_the_name_is_left(text: str, left: str | None) -> None:
    folders = [Path("/mnt/big disk/labels"), Path("/x/y z"), Path("/")]
    assert without_paths(text, folders) == (text if left is None else left)


def test_all_texts_of_a_json_value() -> None:
    value = {"a": ["/x/y", 1, None, True], "b": {"c": ("/x/z", 0.5)}}
    assert without_paths(value, []) == {"a": ["y", 1, None, True], "b": {"c": ("z", 0.5)}}
