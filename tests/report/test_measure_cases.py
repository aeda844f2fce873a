"""Masks of regions, with an ignore label and in 2D; DALE's settings from where the trainer leaves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from nnunetv2.evaluation.evaluate_predictions import compute_metrics, save_summary_json
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from numpy.typing import NDArray
from scipy import ndimage

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.masks.voxel_surface import measures_of, surface_distances
from nnunetv2_dale.nnunet_files.geometry import GridDifference
from nnunetv2_dale.nnunet_files.results.case_files import CaseFiles
from nnunetv2_dale.nnunet_files.results.result_folder import read_result_folder
from nnunetv2_dale.nnunet_files.results.summary_file import read_summary
from nnunetv2_dale.report.fuzzy_region import fuzzy_region
from nnunetv2_dale.report.measure_cases import MeasuredCase, MeasureSettings, measure_case
from nnunetv2_dale.report.provenance import dale_settings, seed_of
from nnunetv2_dale.report.report_data import LesionTotal
from nnunetv2_dale.report.volumes import MaskReader
from tests.datasets import SPACING_ZYX, ellipsoids, write_volume


def measured(
    folder: Path, keys: dict[str, Any], ignore: int | None = None, kind: type = SimpleITKIO, ending: str = ".nii.gz"
) -> MeasuredCase:
    """A prediction `case`, its reference `ref` and its image, where there is one; the keys with nnU-Net's labels."""
    reference, prediction, image = (folder / f"{name}{ending}" for name in ("ref", "case", "case_0000"))
    metrics = compute_metrics(str(reference), str(prediction), kind(), list(keys.values()), ignore)
    for values in metrics["metrics"].values():
        values.update({key: value.item() for key, value in values.items() if hasattr(value, "item")})
    save_summary_json({"metric_per_case": [metrics], "mean": {}}, str(folder / "summary.json"))
    settings = MeasureSettings(tuple(keys), ignore, 2.0, 0.9, 16, MaskReader(kind(), None))
    files = CaseFiles("case", reference, (prediction,), (image,) if image.exists() else ())
    return measure_case(files, [read_summary(folder / "summary.json", "0")[0]], settings)


def test_regions_and_the_ignore_label(tmp_path: Path) -> None:
    reference, prediction = ellipsoids(1), np.roll(ellipsoids(1), 2, axis=1)
    reference[:, :, 30:] = 3  # not annotated
    write_volume(reference, tmp_path / "ref.nii.gz")
    write_volume(prediction, tmp_path / "case.nii.gz")
    measures = measured(tmp_path, {"(1, 2)": (1, 2), "2": (2,)}, 3).runs[0].measures

    def counted(labels: NDArray[np.uint8], region: tuple[int, ...]) -> NDArray[np.bool_]:
        return np.isin(labels, region) & (reference != 3)

    for key, region in (("(1, 2)", (1, 2)), ("2", (2,))):
        masks = counted(prediction, region), counted(reference, region)
        whole = measures_of(*masks, surface_distances(*masks, SPACING_ZYX), 2.0)
        for metric in ("HD95", "ASD", "Surface Dice"):
            assert measures[metric][key] == pytest.approx(whole[metric])


def test_images_of_one_slice_are_2d(tmp_path: Path) -> None:
    reference = np.zeros((1, 40, 40), np.uint8)
    reference[0, 10:30, 10:30] = 1
    writer = NaturalImage2DIO()
    writer.write_seg(reference, str(tmp_path / "ref.png"), {})
    writer.write_seg(np.roll(reference, 3, axis=2), str(tmp_path / "case.png"), {})
    measures = measured(tmp_path, {"1": 1}, kind=NaturalImage2DIO, ending=".png").runs[0].measures
    # The outline is 76 pixels: the far side 18 · 3, the near side 14 · 3 + 2 · (1 + 2), the corners 2 · (1 + 2 + 3).
    # Were every pixel of the slice surface, as in a one-slice volume, both numbers would be smaller.
    assert measures["HD95"]["1"] == 3.0
    assert measures["ASD"]["1"] == pytest.approx((54 + 48 + 12) / 76)


def nearest(of: NDArray[np.bool_], to: NDArray[np.bool_], spacing: tuple[float, float]) -> NDArray[np.float64]:
    """Distance of every outline voxel of a mask to the nearest one of the other, all pairs looked at."""
    outlines = [np.argwhere(mask & ~ndimage.binary_erosion(mask)) * spacing for mask in (of, to)]
    return np.array([min(np.hypot(*(a - b)) for b in outlines[1]) for a in outlines[0]])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_is_a_slice_whichever_way_it_is_stored(axis: int, tmp_path: Path) -> None:
    spacing = (1.0, 1.5)
    reference = np.zeros((40, 44), np.uint8)
    reference[8:24, 9:30] = 1
    reference[14:18, 15:19] = 2
    prediction = np.roll(reference, 3, axis=0)
    prediction[11:27, 30:33] = 1  # voxels were added
    image = (reference * 50 + np.random.default_rng(0).normal(0, 5, reference.shape)).astype(np.float32)
    stored_spacing = list(spacing)
    stored_spacing.insert(axis, 5.0)
    for name, content in (("ref", reference), ("case", prediction), ("case_0000", image)):
        write_volume(np.expand_dims(content, axis), tmp_path / f"{name}.nii.gz", stored_spacing)
    case = measured(tmp_path, {"1": 1, "2": 2})
    measures = case.runs[0].measures
    for label in (1, 2):
        masks = prediction == label, reference == label
        sides = nearest(*masks, spacing), nearest(*masks[::-1], spacing)
        both = np.concatenate(sides)
        assert measures["HD95"][str(label)] == pytest.approx(max(np.percentile(side, 95) for side in sides))
        assert measures["ASD"][str(label)] == pytest.approx(both.mean())
        assert measures["Surface Dice"][str(label)] == pytest.approx((both <= 2).mean())
    assert measures["HD95"]["1"] == 4.5  # three columns of 1.5 mm were added
    # the region is the one of the picture, in patches of 16 x 16
    region, _ = fuzzy_region(image[None], reference, spacing)
    inside = [(mask == 1) & region for mask in (prediction, reference)]
    assert region.any()
    assert not region.all()
    dice = 2 * (inside[0] & inside[1]).sum() / (inside[0].sum() + inside[1].sum())
    assert measures["Dice (fuzzy region)"]["1"] == pytest.approx(dice)
    assert case.image_grid is None
    assert case.runs[0].grid is None


def test_a_slice_is_not_compared_with_one_of_another_axis(tmp_path: Path) -> None:
    mask = np.ones((6, 6), np.uint8)
    write_volume(mask[None], tmp_path / "ref.nii.gz")
    write_volume(mask[:, :, None], tmp_path / "case.nii.gz")
    reader = MaskReader(SimpleITKIO(), None)
    reference = reader.label(tmp_path / "ref.nii.gz")
    with pytest.raises(UserError, match=r"case\.nii\.gz has shape \(6, 6, 1\), but .*ref\.nii\.gz has \(1, 6, 6\)"):
        reader.prediction(tmp_path / "case.nii.gz", reference)


def test_a_flipped_prediction_is_told_and_compared_voxel_by_voxel(tmp_path: Path) -> None:
    reference = ellipsoids(1)
    write_volume(reference, tmp_path / "ref.nii.gz")
    stored = SimpleITK.ReadImage(str(tmp_path / "ref.nii.gz"))
    SimpleITK.WriteImage(SimpleITK.Flip(stored, [False, True, False]), str(tmp_path / "case.nii.gz"))
    write_volume(np.zeros(reference.shape, np.float32), tmp_path / "case_0000.nii.gz")
    moved = SimpleITK.ReadImage(str(tmp_path / "case_0000.nii.gz"))
    moved.SetOrigin(moved.TransformContinuousIndexToPhysicalPoint([0, 0, 6 / moved.GetSpacing()[2]]))
    SimpleITK.WriteImage(moved, str(tmp_path / "case_0000.nii.gz"))
    case = measured(tmp_path, {"1": 1, "2": 2})
    assert case.runs[0].grid == GridDifference(("origin", "direction"), 47.0)
    assert case.image_grid == GridDifference(("origin",), 6.0)
    masks = reference[:, ::-1] == 2, reference == 2
    assert case.runs[0].measures["HD95"]["2"] == pytest.approx(
        measures_of(*masks, surface_distances(*masks, SPACING_ZYX), 2.0)["HD95"]
    )


def test_lesions_of_regions_outside_the_ignore_label(tmp_path: Path) -> None:
    reference, prediction = np.zeros((2, 3, 20, 20), np.uint8)
    reference[1, 2:5, 2:5] = 1  # one lesion of two classes
    reference[1, 5:7, 2:5] = 2
    reference[1, 12:15, 2:5] = 2  # a lesion of class 2 alone, missed
    reference[:, :, 15:] = 3  # not annotated
    prediction[1, 2:5, 2:5] = 1
    prediction[1, 12:15, 16:19] = 2  # where nothing was annotated: no false lesion
    prediction[1, 9:11, 9:11] = 1  # a false one
    write_volume(reference, tmp_path / "ref.nii.gz")
    write_volume(prediction, tmp_path / "case.nii.gz")
    run = measured(tmp_path, {"(1, 2)": (1, 2), "2": 2}, 3).runs[0]
    assert run.lesions == {"(1, 2)": LesionTotal("(1, 2)", 2, 2, 1), "2": LesionTotal("2", 2, 0, 0)}
    assert run.measures["Lesion F1"] == {"(1, 2)": 0.5, "2": 0.0}


@pytest.mark.parametrize("title", ["dale", "DALE"])
def test_settings_in_the_log(tmp_path: Path, title: str) -> None:
    row = {"metrics": {"1": {"Dice": 1.0, "TP": 1, "FP": 0, "FN": 0}}, "prediction_file": "a", "reference_file": "a"}
    fold = tmp_path / "nnUNetTrainerDALE__p__2d" / "fold_0"
    (fold / "validation").mkdir(parents=True)
    (fold / "validation" / "summary.json").write_text(json.dumps({"metric_per_case": [row]}))
    folder = read_result_folder(fold.parent)
    assert dale_settings(folder) is None
    (fold / "training_log_1.txt").write_text(f'2025-01-01 00:00:00.1: {title} settings: {{"tau": 0.8, "seed": 5}} \n')
    assert dale_settings(folder) == {"tau": 0.8, "seed": 5}
    assert seed_of(folder, dale_settings(folder)) == "5"
