"""Folds for splits_final.json, and `nnUNetv2_dale_convert splits`: no patient on both sides, nothing half-written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from nnunetv2.utilities.crossval_split import generate_crossval_split
from nnunetv2_dale.preprocessing import main

from nnunetv2_dale.convert.splits import fixed_split, folds_by_group, random_folds
from nnunetv2_dale.nnunet_files.splits import read_split_patients, shared_patient
from tests.datasets import NnunetFolders, change_description, write_raw_dataset

CASES = {f"c{number}": f"P{number // 2}" for number in range(12)}


@pytest.fixture
def dataset(nnunet_folders: NnunetFolders) -> Path:
    folder = nnunet_folders.raw / "Dataset004_Twelve"
    (folder / "imagesTr").mkdir(parents=True)
    for case in CASES:
        (folder / f"imagesTr/{case}_0000.nii.gz").touch()
    return write_raw_dataset(folder, {})


def _table(tmp_path: Path, patients: dict[str, str]) -> Path:
    lines = ["case;patient", *(f"{case};{patient}" for case, patient in patients.items())]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "table.csv"


def _split(table: Path, *flags: str) -> int:
    return main(["splits", "-d", "4", "--patients", str(table), *flags])


def test_no_patient_is_on_both_sides_of_a_fold(dataset: Path, tmp_path: Path, capsys) -> None:
    assert _split(_table(tmp_path, {**CASES, "elsewhere": "P99"})) == 0
    assert "5 folds of 6 patients with 12 cases" in (said := capsys.readouterr().out)
    assert "1 case of the table not in the dataset" in said
    splits = json.loads((dataset / "splits_final.json").read_text())
    assert sorted(case for fold in splits for case in fold["val"]) == sorted(CASES)
    for fold in splits:
        assert sorted(fold["train"] + fold["val"]) == sorted(CASES)
        assert not {CASES[case] for case in fold["train"]} & {CASES[case] for case in fold["val"]}
    assert read_split_patients([tmp_path, dataset]) == CASES


def test_numbers_that_lost_their_leading_0_are_recognised(dataset: Path, tmp_path: Path) -> None:
    """nnU-Net issue 1871: patient and time point in one number."""
    cases = {
        f"0{8 + number // 2}0{number % 2 + 1}" if number < 4 else f"{number}00": f"0{number // 2}"
        for number in range(12)
    }
    for old, new in zip(CASES, cases, strict=True):
        (dataset / f"imagesTr/{old}_0000.nii.gz").rename(dataset / f"imagesTr/{new}_0000.nii.gz")
    for names in (cases, [case.lstrip("0") for case in cases]):  # as they are, and after a spreadsheet
        table = _table(tmp_path, dict(zip(names, cases.values(), strict=True)))
        assert _split(table, "--overwrite") == 0
        assert read_split_patients([tmp_path, dataset]) == cases
    splits = json.loads((dataset / "splits_final.json").read_text())
    assert sorted(case for fold in splits for case in fold["val"]) == sorted(cases)


def test_slices_of_a_patient_stay_together(dataset: Path, tmp_path: Path) -> None:
    """nnU-Net issue 2660: 110 slices of 10 patients, as PNG."""
    change_description(dataset, file_ending=".png")
    for path in (dataset / "imagesTr").iterdir():
        path.unlink()
    slices = {f"oct{patient:02d}_{number:02d}": f"oct{patient:02d}" for patient in range(10) for number in range(11)}
    for case in slices:
        (dataset / f"imagesTr/{case}_0000.png").touch()
    assert _split(_table(tmp_path, slices)) == 0
    splits = json.loads((dataset / "splits_final.json").read_text())
    assert [len(fold["val"]) for fold in splits] == [22] * 5
    assert shared_patient(splits, slices) is None


def test_folds_in_use_are_replaced_only_when_asked(dataset: Path, tmp_path: Path) -> None:
    used = tmp_path / "preprocessed/Dataset004_Twelve/splits_final.json"
    used.parent.mkdir()
    used.write_text("[]")
    table = _table(tmp_path, CASES)
    assert _split(table) == 2
    assert used.read_text() == "[]"
    assert not (dataset / "splits_final.json").exists()
    assert _split(table, "--overwrite", "--folds", "3") == 0
    assert used.read_text() == (dataset / "splits_final.json").read_text()
    assert len(json.loads(used.read_text())) == 3
    assert read_split_patients([used.parent]) == CASES


@pytest.mark.parametrize(
    ("patients", "flags", "message"),
    [
        ({"c0": "P0"}, (), "has no patient for 11 of 12 cases, such as c1"),
        ({**CASES, "c3": ""}, (), "has no patient for 1 of 12 cases, such as c3"),
        (dict.fromkeys(CASES, "P0"), (), "5 folds need at least 5 cases or patients, found 1"),
        (CASES, ("--folds", "1"), "--folds is at least 2"),
    ],
)
def test_refusals(dataset: Path, tmp_path, patients: dict[str, str], flags: tuple[str, ...], message, capsys) -> None:
    assert _split(_table(tmp_path, patients), *flags) == 2
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in dataset.iterdir()) == ["dataset.json", "imagesTr"]


def test_a_shared_patient_is_named() -> None:
    fold = {"train": ["c0", "c2"], "val": ["c1", "c4"]}
    assert shared_patient([fold], CASES) == "fold 0 trains on c0 and validates on c1, both of patient P0"
    assert shared_patient([{"train": ["c0", "c1"], "val": ["c2", "new"]}], CASES) is None


def test_single_cases_give_nnunets_own_folds() -> None:
    names = [f"case{number:02d}" for number in range(13)]
    ours = random_folds(names)
    theirs = generate_crossval_split(names)
    assert [fold["val"] for fold in ours] == [[str(name) for name in fold["val"]] for fold in theirs]
    assert [fold["train"] for fold in ours] == [[str(name) for name in fold["train"]] for fold in theirs]


def test_a_patient_is_on_one_side_and_every_case_is_validated_once() -> None:
    group_of = {f"p{patient}_n{n}": f"p{patient}" for patient in range(11) for n in range(1 + patient % 3)}
    folds = folds_by_group(group_of)
    assert sorted(name for fold in folds for name in fold["val"]) == sorted(group_of)
    for fold in folds:
        assert sorted([*fold["train"], *fold["val"]]) == sorted(group_of)
        assert not {group_of[name] for name in fold["train"]} & {group_of[name] for name in fold["val"]}


def test_a_fixed_split_is_one_fold() -> None:
    assert fixed_split(["b", "a"], ["c"]) == [{"train": ["a", "b"], "val": ["c"]}]
