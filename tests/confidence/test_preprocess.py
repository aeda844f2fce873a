"""Maps on the grids of preprocessed cases: as the image went there, and as SimpleITK resamples."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import blosc2
import numpy as np
import pytest
import SimpleITK
import tifffile
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.confidence.cli import main
from nnunetv2_dale.confidence.preprocess import resampled
from nnunetv2_dale.nnunet_files.json_files import write_json
from nnunetv2_dale.nnunet_files.preprocessed_confidence import PreprocessedConfidence, read_preprocessed_confidence
from tests.confidence.fixtures import Study
from tests.datasets import CASES, SPACING_MM, change_description, tiny_plans

LOW, HIGH, MEAN, STD = -150.0, 300.0, 110.0, 60.0  # of CTNormalization in the tiny plans
PLACES = {"2d": "nnUNetPlans_2d", "3d_fullres": "nnUNetPlans_3d_fullres", "3d_lowres": "nnUNetPlans_3d_lowres"}


def read_again(study: Study, place: str = PLACES["2d"]) -> PreprocessedConfidence | None:
    labels = json.loads((study.raw / "dataset.json").read_text())["labels"]
    return read_preprocessed_confidence(study.preprocessed, place, labels)


def test_a_map_goes_where_its_image_went(study: Study) -> None:
    """The map is a function of the image, and still is on every configuration's grid, which is cropped and coarser."""
    case = CASES[0]
    study.write("confidenceTr", (np.clip(study.read("imagesTr"), LOW, HIGH) - LOW).astype(np.float32) / (HIGH - LOW))
    (study.raw / "confidence.csv").write_text(f"case,weight,lesion\n{CASES[1]},0.5,0\n")
    assert main(["preprocess", "-d", "950"]) == 0
    for place in PLACES.values():
        found = read_again(study, place)
        image = blosc2.open(str(study.preprocessed / place / f"{case}.b2nd"))[:]
        assert found is not None
        file = found.map_file(case)
        assert file is not None
        confidence = blosc2.open(str(file))[:]
        assert image.shape[2] < 40
        np.testing.assert_allclose(confidence, (image * STD + MEAN - LOW) / (HIGH - LOW), atol=1e-5)
        assert found.map_file(CASES[1]) is None
        assert (found.table.weight(CASES[1]), found.table.not_annotated(CASES[1])) == (0.5, ("lesion",))
        assert found.readers == ()


@pytest.mark.parametrize("spacing_mm", [SPACING_MM, None, (4.0, 2.0, 1.0)])
def test_maps_of_3d_tiffs(spacing_mm: tuple[float, ...] | None, study: Study, capfd) -> None:
    """The voxel size lies in a file beside; without it, the map says none and lies where its label does."""
    for file in sorted(study.raw.glob("*/*.nii.gz")):
        case = file.name.removesuffix(".nii.gz")
        tifffile.imwrite(file.with_name(f"{case}.tif"), SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file))))
        write_json(file.with_name(case.removesuffix("_0000") + ".json"), {"spacing": SPACING_MM})
        file.unlink()
    change_description(study.raw, file_ending=".tif")
    place, map_file = PLACES["3d_lowres"], study.raw / "confidenceTr" / f"{CASES[0]}.tif"
    map_file.parent.mkdir()
    confidence = tifffile.imread(study.raw / "imagesTr" / f"{CASES[0]}_0000.tif").clip(LOW, HIGH) - LOW
    tifffile.imwrite(map_file, (confidence / (HIGH - LOW)).astype(np.float32))
    if spacing_mm is not None:
        write_json(map_file.with_suffix(".json"), {"spacing": spacing_mm})
    fits = spacing_mm in (None, SPACING_MM)
    assert main(["preprocess", "-d", "950", "-np", "1", "-c", "3d_lowres"]) == (0 if fits else 2)
    assert "Traceback" not in capfd.readouterr().err  # nnU-Net tries its reader of pictures first
    if fits:
        image = blosc2.open(str(study.preprocessed / place / f"{CASES[0]}.b2nd"))[:]
        found = blosc2.open(str(study.preprocessed / f"{place}_confidence" / f"{CASES[0]}.b2nd"))[:]
        np.testing.assert_allclose(found, (image * STD + MEAN - LOW) / (HIGH - LOW), atol=1e-5)


def test_a_cascade_shares_the_maps_of_its_full_resolution(study: Study) -> None:
    study.write("confidenceTr", np.full((8, 40, 40), 0.5, np.float32))
    assert main(["preprocess", "-d", "950", "-c", "3d_cascade_fullres", "3d_fullres"]) == 0
    assert [path.name for path in study.preprocessed.glob("*_confidence")] == ["nnUNetPlans_3d_fullres_confidence"]


def test_a_further_configuration_leaves_those_before_it(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    file = study.write("confidenceTr", np.full((8, 40, 40), 0.5, np.float32))
    assert main(["preprocess", "-d", "950", "-c", "2d"]) == 0
    made = study.preprocessed / f"{PLACES['2d']}_confidence"
    before = made.stat().st_ino
    assert main(["preprocess", "-d", "950"]) == 0
    assert {path.name for path in study.preprocessed.glob("*_confidence")} == {
        f"{p}_confidence" for p in PLACES.values()
    }
    assert made.stat().st_ino == before
    shutil.rmtree(study.preprocessed / f"{PLACES['3d_lowres']}_confidence")
    study.write("confidenceTr", np.full((8, 40, 40), 0.25, np.float32), file.name.removesuffix(".nii.gz"))
    capsys.readouterr()
    assert main(["preprocess", "-d", "950"]) == 2  # those before are of other maps
    assert "already exists" in capsys.readouterr().err


@pytest.mark.parametrize("np_", ["1", "2"])
def test_readers_labels_are_preprocessed_as_labels_are(study: Study, np_: str, capsys) -> None:
    for case in CASES:
        study.write("ratersTr/anna", study.read("labelsTr", case), case)
        # wherever the case lies, in its image's empty rim too, is one class; a third case has them all
        ben = np.ones((8, 40, 40), np.uint8) if case == CASES[0] else study.read("labelsTr", case)
        study.write("ratersTr/ben", ben, case)
    assert main(["preprocess", "-d", "950", "-c", "3d_lowres", "-np", np_]) == 0
    assert "0 maps, labels of 2 readers\n" in capsys.readouterr().out
    found = read_again(study, PLACES["3d_lowres"])
    assert found is not None
    assert found.readers == ("anna", "ben")
    anna, ben = (blosc2.open(str(file))[:] for file in found.reader_files(CASES[0]))
    cases = study.preprocessed / PLACES["3d_lowres"]
    np.testing.assert_array_equal(anna, blosc2.open(str(cases / f"{CASES[0]}_seg.b2nd"))[:])
    assert set(np.unique(ben)) == {1}  # −1, nothing there, stands only where a label is background
    assert ben.dtype == anna.dtype == np.int16


@pytest.mark.parametrize(
    ("transpose", "spacing_mm", "target_mm", "corner"),
    [
        ([0, 1, 2], (2.0, 1.0, 1.5), (1.3, 1.6, 1.5), 0),
        ([2, 0, 1], (2.0, 1.0, 1.5), (1.0, 2.5, 1.1), 3),
        ([0, 1, 2], (6.0, 1.0, 1.0), (6.0, 1.7, 1.4), 2),  # thick slices: in their planes alone
        ([0, 1, 2], (6.0, 1.0, 1.0), (4.0, 1.7, 1.4), 2),  # and the nearest of them
        ([1, 0, 2], (1.0, 1.2, 1.0), (1.2, 1.0, 1.0), 1),
    ],
)
def test_as_simpleitk_resamples(transpose: list[int], spacing_mm: Any, target_mm: Any, corner: int) -> None:
    raw = np.random.default_rng(0).random((14, 18, 16)).astype(np.float32)
    plans = PlansManager({**tiny_plans("Dataset950_Known"), "transpose_forward": transpose})
    configuration = plans.get_configuration("3d_fullres")
    configuration.configuration["spacing"] = list(target_mm)
    turned = np.transpose(raw, transpose)
    box = [[corner, size - corner] for size in turned.shape]
    properties = {"spacing": spacing_mm, "shape_before_cropping": turned.shape, "bbox_used_for_cropping": box}
    found = resampled(raw, properties, plans, configuration)[0]

    here = turned[tuple(slice(*each) for each in box)]
    before = np.array([spacing_mm[axis] for axis in transpose])
    thick, shape = before[0] > 3 * before[1], list(found.shape)
    if thick:
        shape[0] = len(here)
    after = before * here.shape / shape  # the edges of both grids are the same
    image = SimpleITK.GetImageFromArray(here)
    image.SetSpacing(before[::-1].tolist())
    grid = SimpleITK.ResampleImageFilter()
    grid.SetSize(shape[::-1])
    grid.SetOutputSpacing(after[::-1].tolist())
    grid.SetOutputOrigin(((after - before) / 2)[::-1].tolist())
    grid.SetInterpolator(SimpleITK.sitkLinear)
    grid.SetDefaultPixelValue(-1)
    expected = SimpleITK.GetArrayFromImage(grid.Execute(image))
    if thick:
        expected = expected[(np.arange(0.5, len(found)) * len(here) / len(found)).astype(int)]
    inside = expected >= 0
    assert inside.mean() > 0.4
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-4)


def test_a_picture_keeps_the_distance_of_its_slices() -> None:
    raw = np.random.default_rng(1).random((1, 12, 16)).astype(np.float32)
    plans = PlansManager(tiny_plans("Dataset950_Known"))
    properties = {"spacing": (999, 1, 1), "shape_before_cropping": raw.shape}
    properties["bbox_used_for_cropping"] = [[0, 1], [0, 12], [0, 16]]
    found = resampled(raw, properties, plans, plans.get_configuration("2d"))  # of 2 mm
    assert found.shape == (1, 1, 6, 8)
    np.testing.assert_allclose(found[0, 0], raw[0].reshape(6, 2, 8, 2).mean((1, 3)), atol=1e-6)


def test_a_table_of_a_spreadsheet_reaches_the_training(study: Study) -> None:
    """Which made 7 of 007: the copy that a training reads has the case's own name."""
    for file in [*study.raw.rglob(f"{CASES[0]}*"), *study.preprocessed.rglob(f"{CASES[0]}*")]:
        file.rename(file.with_name(file.name.replace(CASES[0], "007")))
    (study.raw / "confidence.csv").write_text("case;weight;lesion\n7;0,5;0\n")
    assert main(["preprocess", "-d", "950", "-c", "2d"]) == 0
    found = read_again(study)
    assert found is not None
    assert (found.table.weight("007"), found.table.not_annotated("007")) == (0.5, ("lesion",))


def test_before_nnunets_own_preprocessing(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    study.write("confidenceTr", np.ones((8, 40, 40), np.float32))
    (study.preprocessed / PLACES["2d"] / f"{CASES[3]}.pkl").unlink()
    assert main(["preprocess", "-d", "950"]) == 2
    assert f"lacks 1 case, such as {CASES[3]}; run nnUNetv2_preprocess first" in capsys.readouterr().err
    shutil.rmtree(study.preprocessed)
    study.preprocessed.mkdir()
    assert main(["preprocess", "-d", "950"]) == 2
    assert "run nnUNetv2_plan_and_preprocess first" in capsys.readouterr().err
    assert list(study.preprocessed.iterdir()) == []


def test_nothing_is_written_where_a_map_is_refused(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    study.write("confidenceTr", np.full((8, 40, 40), 1.5, np.float32), CASES[1])
    study.write("confidenceTr", np.full((8, 40, 40), 0.5, np.float32))
    assert main(["preprocess", "-d", "950"]) == 2
    assert f"{CASES[1]}.nii.gz: holds values from 1.5 to 1.5" in capsys.readouterr().err
    assert list(study.preprocessed.glob("*confidence*")) == []


def test_a_full_disk(study: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Of which blosc2 says no more than that it has failed."""
    study.write("confidenceTr", np.full((8, 40, 40), 0.5, np.float32))
    failing = Mock(side_effect=RuntimeError("Error while creating the NDArray"))
    monkeypatch.setattr(nnUNetDatasetBlosc2, "save_seg", failing)
    monkeypatch.setattr("nnunetv2_dale.confidence.preprocess.disk_usage", lambda _: SimpleNamespace(free=100))
    assert main(["preprocess", "-d", "950", "-np", "1"]) == 2
    assert "_confidence: No space left on device" in capsys.readouterr().err
    failing.assert_called_once()
    assert list(study.preprocessed.glob("*confidence*")) == []


def test_a_training_is_told_of_what_is_missing_or_stale(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_again(study) is None
    study.write("confidenceTr", np.full((8, 40, 40), 0.5, np.float32))
    command = "run: nnUNetv2_dale_confidence preprocess -d 950"
    with pytest.raises(UserError, match=f"has confidence .* not in .*_confidence yet; {command}"):
        read_again(study)
    assert main(["preprocess", "-d", "950"]) == 0
    assert read_again(study) is not None
    assert main(["preprocess", "-d", "950"]) == 2  # nothing is replaced unasked
    study.write("confidenceTr", np.full((8, 40, 40), 0.25, np.float32))
    with pytest.raises(UserError, match=f"was not made from what .* holds now; {command} --overwrite"):
        read_again(study)
    assert main(["preprocess", "-d", "950", "--overwrite"]) == 0
    assert read_again(study) is not None
    (study.raw / "confidence.csv").write_text("case,weight\n")
    with pytest.raises(UserError, match="was not made from"):
        read_again(study)
    monkeypatch.delenv("nnUNet_raw")  # a training machine without the raw dataset
    assert read_again(study) is not None


def preprocess_anew(study: Study, spacing: list[float] | None = None) -> None:
    """The first case, by nnU-Net, in 2D."""
    plans = PlansManager(tiny_plans(study.raw.name))
    configuration = plans.get_configuration("2d")
    if spacing is not None:
        configuration.configuration["spacing"] = spacing
    for file in (study.preprocessed / PLACES["2d"]).glob(f"{CASES[0]}*"):
        file.unlink()
    DefaultPreprocessor(verbose=False).run_case_save(
        str(study.preprocessed / PLACES["2d"] / CASES[0]),
        [str(study.raw / "imagesTr" / f"{CASES[0]}_0000.nii.gz")],
        str(study.raw / "labelsTr" / f"{CASES[0]}.nii.gz"),
        plans,
        configuration,
        json.loads((study.raw / "dataset.json").read_text()),
    )


def test_cases_that_were_preprocessed_anew_to_another_shape(study: Study) -> None:
    study.write("confidenceTr", np.full((8, 40, 40), 0.5, np.float32))
    assert main(["preprocess", "-d", "950", "-c", "2d"]) == 0
    preprocess_anew(study, [3.0, 3.0])
    with pytest.raises(UserError, match="preprocessed anew; run: nnUNetv2_dale_confidence preprocess -d 950"):
        read_again(study)


def test_cases_that_were_preprocessed_anew_and_cropped_elsewhere(study: Study) -> None:
    """The empty rim of the image is on the other side now; its shape is what it was."""
    study.write("confidenceTr", np.full((8, 40, 40), 0.5, np.float32))
    assert main(["preprocess", "-d", "950", "-c", "2d"]) == 0
    assert read_again(study) is not None
    study.write_image(study.read("imagesTr")[:, ::-1].copy())
    preprocess_anew(study)
    with pytest.raises(UserError, match="was preprocessed anew, and cropped elsewhere"):
        read_again(study)


def test_a_dataset_without_anything_known(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preprocess", "-d", "950"]) == main(["check", "-d", "950"]) == 2
    assert "has neither confidence.csv nor confidenceTr nor ratersTr" in capsys.readouterr().err


def test_a_folder_where_a_table_belongs_and_a_file_where_maps_do(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    (study.raw / "confidence.csv").mkdir()
    assert main(["check", "-d", "950"]) == 2
    assert "confidence.csv is a folder; expected a table" in capsys.readouterr().err
    (study.raw / "confidence.csv").rmdir()
    (study.raw / "confidenceTr").touch()
    assert main(["preprocess", "-d", "950"]) == 2
    assert "confidenceTr is a file; expected a folder" in capsys.readouterr().err
    with pytest.raises(UserError, match="expected a folder"):
        read_again(study)
