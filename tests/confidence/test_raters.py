"""Several readers: their consensus by hand and by SimpleITK, how they compare, and the dataset that is made of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nnunetv2_dale.confidence.cli import main
from nnunetv2_dale.confidence.consensus import agreement_with, comparisons, consensus_of
from tests.confidence.fixtures import Study
from tests.datasets import CASES, read_volume, rows_of, write_raw_dataset

ROW = np.array([[[0, 1, 1, 2, 2, 0]], [[0, 1, 2, 2, 1, 0]], [[0, 1, 1, 0, 0, 0]]], np.int16)[
    :, None
]  # of three readers
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


def test_a_vote_by_hand() -> None:
    label, ties = consensus_of(list(ROW), "majority")
    np.testing.assert_array_equal(label, [[[0, 1, 1, 2, 0, 0]]])  # 2, 1 and 0 are a tie
    assert ties == 1
    np.testing.assert_allclose(agreement_with(label, list(ROW)), [[[1, 1, 2 / 3, 2 / 3, 1 / 3, 1]]])


def test_two_readers_that_differ_agree_on_background() -> None:
    label, ties = consensus_of(list(ROW[:2]), "majority")
    np.testing.assert_array_equal(label, [[[0, 1, 0, 2, 0, 0]]])
    assert ties == 2
    np.testing.assert_allclose(agreement_with(label, list(ROW[:2])), [[[1, 1, 0, 1, 0, 1]]])


def test_staple_against_its_equations() -> None:
    """Three readers, one of them careless; expectation and maximisation written out (Warfield et al. 2004)."""
    random = np.random.default_rng(0)
    truth = np.repeat(np.arange(3), [300, 200, 100])
    readers = []
    for wrong in (0.05, 0.1, 0.5):
        drawn = truth.copy()
        at = random.random(truth.size) < wrong
        drawn[at] = random.integers(0, 3, at.sum())
        readers.append(drawn)
    prior = np.bincount(np.concatenate(readers), minlength=3) / (3 * truth.size)
    votes = np.array([[(each == value) for value in range(3)] for each in readers]).astype(float)  # (R, K, N)
    chance = votes.sum(0) / 3
    for _ in range(200):
        confusion = np.einsum("rkn,tn->rkt", votes, chance) / chance.sum(1)
        likely = prior[:, None] * np.prod(np.einsum("rkn,rkt->rtn", votes, confusion), axis=0)
        chance = likely / likely.sum(0)
    maps = [each.astype(np.int16)[None, None] for each in readers]
    label, _ = consensus_of(maps, "staple")
    np.testing.assert_array_equal(label.ravel(), chance.argmax(0))
    assert np.any(label != consensus_of(maps, "majority")[0])


def test_the_signed_distance_of_two_boxes_by_hand() -> None:
    """A box of 4 x 4 x 4 mm in one of 8 x 8 x 8 mm: every face of both lies 2 mm from the other or further."""
    anna, ben = np.zeros((1, 12, 12), np.int16), np.zeros((1, 12, 12), np.int16)
    anna[0, 2:10, 2:10], ben[0, 4:8, 4:8] = 1, 1
    carl = np.zeros_like(anna)
    found = list(
        comparisons("c", {"anna": anna, "ben": ben, "carl": carl}, ben, {"organ": (1,), "other": (2,)}, (5, 1, 1))
    )
    assert [(each.first, each.second) for each in found] == [
        *(("anna", "ben"), ("anna", "carl"), ("ben", "carl")),
        *(("anna", "consensus"), ("ben", "consensus"), ("carl", "consensus")),
    ]
    first = found[0]
    assert first.dice == pytest.approx(2 * 16 / (64 + 16))
    assert first.distance_mm is not None
    assert 2 < first.distance_mm < 2 * np.sqrt(2)
    assert (first.is_far, found[4].is_far, found[4].distance_mm) == (True, False, 0)
    assert (found[1].dice, found[1].distance_mm, found[1].is_far) == (0, None, True)


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
