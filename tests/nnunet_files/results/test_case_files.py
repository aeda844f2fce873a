"""References and images of test sets whose cases have the names of training cases, here and on other machines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.results.case_files import find_case_files
from nnunetv2_dale.nnunet_files.results.result_folder import ResultFolder, read_result_folder

DATASET = "Dataset777_Ellipsoids"


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """nnU-Net's folders with training and test cases of the same names; empty files, for nothing is opened."""
    for variable, inside in (("raw", "labelsTr labelsTs imagesTr imagesTs"), ("preprocessed", "gt_segmentations")):
        monkeypatch.setenv(f"nnUNet_{variable}", str(tmp_path / variable))
        for name in inside.split():
            folder = tmp_path / variable / DATASET / name
            folder.mkdir(parents=True)
            for case in ("c0", "c1"):
                (folder / (f"{case}_0000.nii.gz" if name.startswith("images") else f"{case}.nii.gz")).touch()
    return tmp_path


def predicted(folder: Path, references: str) -> ResultFolder:
    """A folder of predictions whose summary names that place of the references."""
    folder.mkdir(parents=True)
    rows = []
    for case in ("c0", "c1"):
        (folder / f"{case}.nii.gz").touch()
        metrics = {"1": {"Dice": 1.0, "TP": 1, "FP": 0, "FN": 0}}
        names = {"prediction_file": f"p/{case}.nii.gz", "reference_file": f"{references}{case}.nii.gz"}
        rows.append({"metrics": metrics, **names})
    (folder / "summary.json").write_text(json.dumps({"metric_per_case": rows}))
    (folder / "plans.json").write_text(json.dumps({"dataset_name": DATASET}))
    return read_result_folder(folder)


@pytest.mark.parametrize(
    ("said", "references", "images"),
    [
        ("{root}/raw/DATASET/labelsTs/", "raw/DATASET/labelsTs", "imagesTs"),
        ("{root}/raw/DATASET/labelsTr/", "raw/DATASET/labelsTr", "imagesTr"),
        ("{root}/preprocessed/DATASET/gt_segmentations/", "preprocessed/DATASET/gt_segmentations", "imagesTr"),
        # written elsewhere: the folder's name says which cases they are
        ("/cluster/raw/DATASET/labelsTs/", "raw/DATASET/labelsTs", "imagesTs"),
        ("D:\\raw\\DATASET\\labelsTs\\", "raw/DATASET/labelsTs", "imagesTs"),
        ("/cluster/gt_segmentations/", "preprocessed/DATASET/gt_segmentations", "imagesTr"),
    ],
)
def test_the_files_that_the_summary_names(roots: Path, said: str, references: str, images: str) -> None:
    folder = predicted(roots / "a", said.format(root=roots).replace("DATASET", DATASET))
    files, missing = find_case_files([folder], ["c0", "c1"])
    assert [item.reference for item in files] == [
        roots / references.replace("DATASET", DATASET) / f"{case}.nii.gz" for case in ("c0", "c1")
    ]
    assert [item.images for item in files] == [
        (roots / "raw" / DATASET / images / f"{case}_0000.nii.gz",) for case in ("c0", "c1")
    ]
    assert missing == []


def test_a_folder_that_is_not_there_is_not_replaced_by_another(roots: Path) -> None:
    folder = predicted(roots / "a", "/cluster/readers/second/")
    files, missing = find_case_files([folder], ["c0", "c1"])
    assert files == []
    assert "reference masks were not found (give --references" in missing[0]


def test_images_belong_to_the_references_that_were_named(roots: Path) -> None:
    folder = predicted(roots / "a", "/cluster/labelsTr/")
    files, _ = find_case_files([folder], ["c0", "c1"], roots / "raw" / DATASET / "labelsTs")
    assert files[0].images == (roots / "raw" / DATASET / "imagesTs" / "c0_0000.nii.gz",)
    elsewhere = roots / "gold"
    elsewhere.mkdir()
    for case in ("c0", "c1"):
        (elsewhere / f"{case}.nii.gz").touch()
    files, missing = find_case_files([folder], ["c0", "c1"], elsewhere)
    assert files[0].images == ()
    assert f"images that belong to {elsewhere} were not found (give --images" in missing[0]
    files, _ = find_case_files([folder], ["c0", "c1"], elsewhere, roots / "raw" / DATASET / "imagesTr")
    assert files[0].images == (roots / "raw" / DATASET / "imagesTr" / "c0_0000.nii.gz",)


def test_the_clean_labels_of_a_corrupted_copy_have_its_images(roots: Path) -> None:
    clean = roots / "raw" / DATASET / "labelsTr_clean"
    clean.mkdir()
    for case in ("c0", "c1"):
        (clean / f"{case}.nii.gz").touch()
    files, _ = find_case_files([predicted(roots / "a", f"{clean}/")], ["c0", "c1"])
    assert files[1].images == (roots / "raw" / DATASET / "imagesTr" / "c1_0000.nii.gz",)


def test_a_reference_that_is_missing_among_others(roots: Path) -> None:
    folder = predicted(roots / "a", "/cluster/labelsTs/")
    (roots / "raw" / DATASET / "labelsTs" / "c0.nii.gz").unlink()
    with pytest.raises(UserError, match=r"labelsTs/c0\.nii\.gz is missing: the reference"):
        find_case_files([folder], ["c0", "c1"])
