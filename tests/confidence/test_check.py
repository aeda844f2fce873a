"""What `check` tells, and what it refuses: one sentence each, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from nnunetv2_dale.confidence.cli import main
from nnunetv2_dale.confidence.given import check_confidence
from nnunetv2_dale.demo.anatomy import LABELS
from nnunetv2_dale.nnunet_files.raw_dataset import read_dataset
from tests.confidence.fixtures import Study
from tests.datasets import CASES

SHAPE = (8, 40, 40)


def half(value: float = 0.5) -> np.ndarray:
    return np.full(SHAPE, value, np.float32)


def with_nan() -> np.ndarray:
    array = half()
    array[3, 4, 5] = np.nan
    return array


def test_what_is_known_of_each_class(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    confidence = half(1)
    confidence[:, :20] = 0.25
    study.write("confidenceTr", confidence)
    (study.raw / "confidence.csv").write_text(f"case,weight,lesion\n{CASES[0]},0.5,1\n{CASES[1]},0,0\n{CASES[2]},,0\n")
    _, classes = check_confidence(read_dataset(study.raw), 1)
    labels = {case: study.read("labelsTr", case) for case in CASES}
    known = {each.name: each for each in classes}
    assert list(known) == list(LABELS)
    for name, value in (("background", 0), ("lesion", 4)):
        counted = [case for case in CASES if name != "lesion" or case not in CASES[1:3]]
        voxels = sum(np.count_nonzero(labels[case] == value) for case in counted)
        doubted = np.count_nonzero(labels[CASES[0]][:, :20] == value)
        assert known[name].doubted == pytest.approx(doubted / voxels)
        assert known[name].mean == pytest.approx(1 - 0.75 * doubted / voxels)
        assert known[name].not_annotated == (2 if name == "lesion" else 0)
    assert main(["check", "-d", "950", "-np", "2"]) == 0
    assert "5 cases, 1 with a map, 0 readers\nweight below 1: 2 cases; of them 0: 1" in capsys.readouterr().out


def write_map(array: np.ndarray, **how: float) -> Callable[[Study], object]:
    return lambda study: study.write("confidenceTr", array, **how)


def write_table(content: str) -> Callable[[Study], object]:
    return lambda study: (study.raw / "confidence.csv").write_text(content)


def foreign_map(study: Study) -> None:
    study.write("confidenceTr", half()).rename(study.raw / "confidenceTr" / "stranger.nii.gz")


def stored_as(change: Callable[[np.ndarray], np.ndarray], x_mm: float = 0.0) -> Callable[[Study], object]:
    """A map with changed voxels, or that lies so far away."""

    def damage(study: Study) -> None:
        path = study.write("confidenceTr", half())
        stored: Any = nibabel.load(path)
        voxels = change(stored.get_fdata()).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(voxels, stored.affine + np.eye(4, k=3) * x_mm), path)

    return damage


def cut(study: Study) -> None:
    path = study.write("confidenceTr", half())
    path.write_bytes(path.read_bytes()[:-40])


def of_another_ending(study: Study) -> None:
    path = study.write("confidenceTr", half())
    path.rename(path.with_name(f"{CASES[0]}.nii"))


def readers(study: Study) -> None:
    study.write("ratersTr/anna", half(1).astype(np.uint8))
    study.write("ratersTr/ben", half(1).astype(np.uint8), CASES[1])


def reader_without_a_class(study: Study) -> None:
    for case in CASES:
        label = study.read("labelsTr", case)
        study.write("ratersTr/anna", label, case)
        study.write("ratersTr/ben", np.where(label == 1, 0, label).astype(label.dtype), case)


def no_class(study: Study) -> None:
    names = [name for name in read_dataset(study.raw).dataset_json["labels"] if name != "background"]
    (study.raw / "confidence.csv").write_text(f"case,{','.join(names)}\n{CASES[0]}{',0' * len(names)}\n")


def reader_of_an_unknown_label(study: Study) -> None:
    study.write("ratersTr/anna", half(77).astype(np.uint8))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (write_map(half(-0.5)), "holds values from -0.5 to -0.5; a confidence lies between 0 and 1"),
        (write_map(half(2)), "holds values from 2 to 2"),
        (write_map(with_nan()), "holds NaN or infinite values"),
        (write_map(half() + np.inf), "holds NaN or infinite values"),
        (write_map(half(), spacing=1.0), "has a voxel size in mm of"),
        (stored_as(lambda voxels: voxels[:20]), "has shape"),
        (stored_as(lambda voxels: voxels, 9.0), "has another origin than"),
        (cut, "is damaged"),
        (foreign_map, "stranger.nii.gz: belongs to no case of the dataset"),
        (of_another_ending, f"{CASES[0]}.nii: belongs to no case of the dataset; expected a name like"),
        (write_table(f"case,pancreas\n{CASES[0]},1\n"), "has a column 'pancreas'"),
        (write_table("case,weight\nnobody,1\n"), "names the case nobody"),
        (write_table(f"case,weight\n{CASES[0]},1\n{CASES[0]},1\n"), "twice"),
        (write_table(f"case,weight\n{CASES[0]},-1\n"), "expected a weight from 0 to 1, got '-1'"),
        (readers, "lacks 1 case that another reader has"),
        (reader_without_a_class, "ratersTr/ben: has no "),
        (reader_of_an_unknown_label, "holds the label 77"),
        (no_class, f"case {CASES[0]}: no class is annotated"),
    ],
)
@pytest.mark.parametrize("command", ["check", "preprocess"])
def test_what_is_refused(study: Study, damage: Callable[[Study], object], message: str, command: str, capsys) -> None:
    damage(study)
    before = sorted(study.folders.root.rglob("*"))
    assert main([command, "-d", "950", "-np", "1"]) == 2
    assert message in capsys.readouterr().err
    assert sorted(study.folders.root.rglob("*")) == before


def test_files_that_are_no_maps_do_no_harm(study: Study) -> None:
    study.write("confidenceTr", half())
    (study.raw / "confidenceTr" / ".DS_Store").write_text("")
    given, _ = check_confidence(read_dataset(study.raw), 1)
    assert {case: Path(path).name for case, path in given.maps.items()} == {CASES[0]: f"{CASES[0]}.nii.gz"}
