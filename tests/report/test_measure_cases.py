"""Masks of regions, with an ignore label and in 2D; DALE's settings from where the trainer leaves them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from nnunetv2.evaluation.evaluate_predictions import compute_metrics, save_summary_json
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from numpy.typing import NDArray

from nnunetv2_dale.report.case_files import CaseFiles
from nnunetv2_dale.report.measure_cases import MeasureSettings, measure_case
from nnunetv2_dale.report.provenance import dale_settings, seed_of
from nnunetv2_dale.report.result_folder import CaseResult, read_result_folder, read_summary
from nnunetv2_dale.report.surface_metrics import measures_of, surface_distances
from tests.report.fixtures import SPACING_ZYX, label_map, write_volume


def settings_of(keys: tuple[str, ...], reader: type, ignore_label: int | None = None) -> MeasureSettings:
    return MeasureSettings(keys, ignore_label, 2.0, 0.9, 16, reader)


def summary_of(folder: Path, reader: object, labels: list[object], ignore: int | None, ending: str) -> CaseResult:
    metrics = compute_metrics(str(folder / f"ref{ending}"), str(folder / f"case{ending}"), reader, labels, ignore)
    for values in metrics["metrics"].values():
        values.update({key: value.item() for key, value in values.items() if hasattr(value, "item")})
    save_summary_json({"metric_per_case": [metrics], "mean": {}}, str(folder / "summary.json"))
    return read_summary(folder / "summary.json", "0")[0]


def test_regions_and_the_ignore_label(tmp_path: Path) -> None:
    reference, prediction = label_map(1), np.roll(label_map(1), 2, axis=1)
    reference[:, :, 30:] = 3  # not annotated
    write_volume(reference, tmp_path / "ref.nii.gz")
    write_volume(prediction, tmp_path / "case.nii.gz")
    result = summary_of(tmp_path, SimpleITKIO(), [(1, 2), (2,)], 3, ".nii.gz")
    files = CaseFiles("case", tmp_path / "ref.nii.gz", (tmp_path / "case.nii.gz",), ())
    measures = measure_case(files, [result], settings_of(("(1, 2)", "(2,)"), SimpleITKIO, 3))[0]

    def counted(labels: NDArray[np.uint8], region: tuple[int, ...]) -> NDArray[np.bool_]:
        return np.isin(labels, region) & (reference != 3)

    for key, region in (("(1, 2)", (1, 2)), ("(2,)", (2,))):
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
    result = summary_of(tmp_path, writer, [1], None, ".png")
    files = CaseFiles("case", tmp_path / "ref.png", (tmp_path / "case.png",), ())
    measures = measure_case(files, [result], settings_of(("1",), NaturalImage2DIO))[0]
    # The outline is 76 pixels: the far side 18 · 3, the near side 14 · 3 + 2 · (1 + 2), the corners 2 · (1 + 2 + 3).
    # Were every pixel of the slice surface, as in a one-slice volume, both numbers would be smaller.
    assert measures["HD95"]["1"] == 3.0
    assert measures["ASD"]["1"] == pytest.approx((54 + 48 + 12) / 76)


def test_settings_in_debug_json_or_the_log(tmp_path: Path) -> None:
    row = {"metrics": {"1": {"Dice": 1.0, "TP": 1, "FP": 0, "FN": 0}}, "prediction_file": "a", "reference_file": "a"}
    fold = tmp_path / "nnUNetTrainerDALE__p__2d" / "fold_0"
    (fold / "validation").mkdir(parents=True)
    (fold / "validation" / "summary.json").write_text(json.dumps({"metric_per_case": [row]}))
    folder = read_result_folder(fold.parent)
    assert dale_settings(folder) is None
    (fold / "training_log_1.txt").write_text('2025-01-01 00:00:00.1: DALE settings: {"tau": 0.8, "seed": 5} \n')
    assert dale_settings(folder) == {"tau": 0.8, "seed": 5}
    assert seed_of(folder, dale_settings(folder)) == "5"
    (fold / "debug.json").write_text(json.dumps({"dale": "DaleConfig(tau=0.7, view='masked_loss')"}))
    assert dale_settings(folder) == {"tau": 0.7, "view": "masked_loss"}
