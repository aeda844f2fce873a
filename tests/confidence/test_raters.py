"""Several readers: their consensus by hand and by SimpleITK, how they compare, and the dataset that is made of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nnunetv2_dale.confidence.cli import main
from nnunetv2_dale.readers.consensus import agreement_with, consensus_of
from tests.confidence.fixtures import Study
from tests.datasets import CASES, read_volume, rows_of, write_raw_dataset

NEW = "Dataset951_Known"


def new(study: Study, place: str, case: str) -> np.ndarray:
    return read_volume(study.raw.parent / NEW / place / f"{case}.nii.gz")


def write_readers(study: Study) -> list[str]:
    """Anna draws as it is, ben one voxel wider in x (2 mm), carl as anna, but of the first case no lesion."""
    for case in CASES:
        label = study.read("labelsTr", case)
        wide = np.maximum(label, (np.roll(label, 1, 2) > 0) & (label == 0)).astype(np.uint8)
        study.write("readers/anna", label, case)
        study.write("readers/ben", wide, case)
        study.write("readers/carl", np.where((label == 4) & (case == CASES[0]), 0, label).astype(np.uint8), case)
    return [str(study.raw / "readers" / name) for name in ("anna", "ben", "carl")]


@pytest.mark.parametrize("target", ["majority", "staple"])
def test_a_dataset_of_three_readers(study: Study, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    readers = write_readers(study)
    (study.raw / "confidence.csv").write_text(f"case,weight\n{CASES[1]},0.5\n")
    study.write("confidenceTr", np.ones((8, 40, 40), np.float32))  # of the label that is replaced
    assert main(["raters", "-i", *readers, "-d", "950", "--new_id", "951", "--target", target, "-np", "2"]) == 0
    folder = study.raw.parent / NEW
    for case in CASES:
        drawn = [study.read(f"readers/{name}", case).astype(np.int16) for name in ("anna", "ben", "carl")]
        expected, _ = consensus_of(drawn, target)
        label = new(study, "labelsTr", case)
        np.testing.assert_array_equal(label, expected)
        np.testing.assert_allclose(new(study, "confidenceTr", case), agreement_with(expected, drawn), atol=1e-6)
        if target == "majority":
            np.testing.assert_array_equal(label, drawn[0])
    assert (folder / "confidence.csv").read_bytes() == (study.raw / "confidence.csv").read_bytes()
    assert json.loads((folder / "readers.json").read_text())["readers"] == ["anna", "ben", "carl"]
    assert "5 cases of 3 readers" in capsys.readouterr().out
    assert main(["check", "-d", "951", "-np", "1"]) == 0
    rows = rows_of(folder / "readers.csv")
    assert {
        row["is_far"]
        for row in rows
        if {row["first"], row["second"]} == {"anna", "carl"}
        and row["class_name"] == "lesion"
        and row["case"] == CASES[0]
    } == {"True"}
    wider = [
        float(row["distance_mm"])
        for row in rows
        if (row["first"], row["second"], row["class_name"]) == ("anna", "ben", "liver")
    ]
    assert wider
    assert max(wider) < 0  # anna draws narrower than ben
    page = (folder / "readers.html").read_text()
    assert page.count("carl") > 3
    assert 'src="http' not in page


def test_every_reader_is_kept_for_random(study: Study) -> None:
    readers = write_readers(study)
    command = ["raters", "-i", *readers, "-d", "950", "--new_id", "951", "--target", "random", "-np", "1"]
    assert main(command) == 0
    folder = study.raw.parent / NEW
    assert not (folder / "confidenceTr").exists()
    for name in ("anna", "ben", "carl"):
        np.testing.assert_array_equal(new(study, f"ratersTr/{name}", CASES[0]), study.read(f"readers/{name}"))
    np.testing.assert_array_equal(new(study, "labelsTr", CASES[2]), study.read("readers/anna", CASES[2]))
    assert main(command) == 2  # it is there
    assert main([*command, "--overwrite"]) == 0
    assert main(["raters", "-d", "951", "--new_id", "952", "-np", "1"]) == 0  # the readers that it holds
    other = folder.with_name("Dataset952_Known")
    assert (other / "confidenceTr").is_dir()
    assert not (other / "ratersTr").exists()


def test_a_picture_has_no_mm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = {case: np.tri(16, k=number, dtype=np.uint8) for number, case in enumerate(("a 1", "b 2"))}
    images = {case: [label * 200] for case, label in labels.items()}
    folder, classes = tmp_path / "raw" / "Dataset950_Known", {"background": 0, "nodule": 1}
    raw = write_raw_dataset(folder, labels, images, labels=classes, file_ending=".png")
    for reader in ("anna", "ben"):
        shutil.copytree(raw / "labelsTr", tmp_path / reader)
    monkeypatch.setenv("nnUNet_raw", str(raw.parent))
    folders = [str(tmp_path / reader) for reader in ("anna", "ben")]
    assert main(["raters", "-i", *folders, "-d", "950", "--new_id", "951", "-np", "1"]) == 0
    page = (raw.parent / NEW / "readers.html").read_text()
    assert ("distance, px" in page, "distance, mm" in page) == (True, False)


def test_cases_that_no_reader_has_keep_their_label(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    readers = [Path(each) for each in write_readers(study)]
    for place in readers:
        (place / f"{CASES[4]}.nii.gz").unlink()
    assert main(["raters", "-i", *map(str, readers), "-d", "950", "--new_id", "951", "-np", "1"]) == 0
    np.testing.assert_array_equal(new(study, "labelsTr", CASES[4]), study.read("labelsTr", CASES[4]))
    assert "1 that no reader has keeps its label" in capsys.readouterr().out


def test_the_labels_of_several_datasets_are_readers(study: Study) -> None:
    write_readers(study)
    folders = []
    for name in ("anna", "ben"):
        folders.append(study.raw.parent / f"Dataset96{len(folders)}_{name}" / "labelsTr")
        shutil.copytree(study.raw / "readers" / name, folders[-1])
    assert main(["raters", "-i", *map(str, folders), "-d", "950", "--new_id", "951", "-np", "1"]) == 0
    made = json.loads((study.raw.parent / NEW / "readers.json").read_text())
    assert made["readers"] == ["Dataset960_anna", "Dataset961_ben"]


def one_reader(places: list[Path], study: Study) -> None:
    del places[1:]


def other_cases(places: list[Path], study: Study) -> None:
    (places[1] / f"{CASES[2]}.nii.gz").unlink()


def other_classes(places: list[Path], study: Study) -> None:
    for case in CASES:
        label = study.read("readers/carl", case)
        study.write("readers/carl", np.where(label == 2, 0, label).astype(np.uint8), case)


def other_voxels(places: list[Path], study: Study) -> None:
    study.write("readers/ben", study.read("readers/ben"), spacing=1.0)


def unknown_case(places: list[Path], study: Study) -> None:
    (places[0] / f"{CASES[0]}.nii.gz").rename(places[0] / "stranger.nii.gz")


def empty_folder(places: list[Path], study: Study) -> None:
    for path in places[2].iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (one_reader, "expected folders of at least two readers with different names"),
        (other_cases, f"lacks 1 case that another reader has ({CASES[2]})"),
        (other_classes, "has no spleen, which another reader drew"),
        (other_voxels, "readers draw on the same voxels"),
        (unknown_case, "is of no case of Dataset950_Known"),
        (empty_folder, "holds no label; expected files like"),
    ],
)
def test_readers_that_are_refused(study: Study, damage, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    places = [Path(each) for each in write_readers(study)]
    damage(places, study)
    assert main(["raters", "-i", *map(str, places), "-d", "950", "--new_id", "951", "-np", "1"]) == 2
    assert message in capsys.readouterr().err
    assert not (study.raw.parent / NEW).exists()


def test_without_any_reader(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["raters", "-d", "950", "--new_id", "951"]) == 2
    assert "has no ratersTr; give the folder of each reader with -i" in capsys.readouterr().err
