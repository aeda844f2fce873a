"""Tiny datasets as nnU-Net's folders hold them, raw and preprocessed, and plans for networks of a few thousand weights.

The cases are phantoms. Plans are written by hand, since nnU-Net's planner takes seconds; preprocessing is nnU-Net's own
function for one case, without its worker processes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import SimpleITK
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from benchmarks.plans_file import architecture as unet
from benchmarks.plans_file import configuration, plans_file
from nnunetv2_dale.demo.anatomy import LABELS
from nnunetv2_dale.demo.phantom import write_phantom_dataset

SHAPE, SPACING_MM = (8, 40, 40), (4.0, 2.0, 2.0)  # of the phantoms
CASES = [f"phantom_{number:03d}" for number in range(5)]  # fold k validates case k
WITHOUT_LABELS = {CASES[1], CASES[3]}  # in the kind Unlabelled, whose fold 1 validates a case without labels
IGNORE = 5
REGIONS: dict[str, Any] = {"background": 0, "body": [1, 2, 3, 4], "lesion": [4]}
LABEL_KINDS: dict[str, dict[str, Any]] = {
    "Labels": {"labels": LABELS},
    "Regions": {"labels": REGIONS, "regions_class_order": [1, 4]},
    "Ignore": {"labels": {**LABELS, "ignore": IGNORE}},
    "RegionsIgnore": {"labels": {**REGIONS, "ignore": IGNORE}, "regions_class_order": [1, 4]},
    "Unlabelled": {"labels": {**LABELS, "ignore": IGNORE}},
}
DATASETS = {kind: f"Dataset{number}_{kind}" for number, kind in enumerate(LABEL_KINDS, start=901)}


@dataclass(frozen=True)
class NnunetFolders:
    """Where nnU-Net's three folders are; `environment` is what nnU-Net reads them from."""

    root: Path

    @property
    def raw(self) -> Path:
        return self.root / "raw"

    @property
    def preprocessed(self) -> Path:
        return self.root / "preprocessed"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "nnUNet_raw": str(self.raw),
            "nnUNet_preprocessed": str(self.preprocessed),
            "nnUNet_results": str(self.root / "results"),
            "nnUNet_n_proc_DA": "0",
            "nnUNet_def_n_proc": "1",
        }


def write_datasets(folders: NnunetFolders) -> None:
    """Raw and preprocessed datasets of every kind of label; 3D configurations of two of them."""
    for kind, labels in LABEL_KINDS.items():
        dataset = write_phantoms(folders, DATASETS[kind])
        maps = sorted((dataset / "labelsTr").iterdir())
        if kind == "Unlabelled":
            ignore((path for path in maps if path.name.split(".")[0] in WITHOUT_LABELS), slice(None))
        elif "ignore" in labels["labels"]:  # sparse annotation: the first and last two slices of every case
            ignore(maps, [0, 1, -2, -1])
        dataset_json = {**json.loads((dataset / "dataset.json").read_text()), **labels}
        (dataset / "dataset.json").write_text(json.dumps(dataset_json))
        all_axes = kind in ("Labels", "Unlabelled")
        preprocess(folders, dataset.name, ("2d", "3d_fullres", "3d_lowres") if all_axes else ("2d",))


def write_phantoms(folders: NnunetFolders, name: str, test_cases: int = 0) -> Path:
    """A raw dataset of the tiny phantoms, called for instance `Dataset901_Labels`; its folder."""
    number, _, title = name.removeprefix("Dataset").partition("_")
    return write_phantom_dataset(
        folders.raw,
        dataset_id=int(number),
        name=title,
        training_cases=len(CASES),
        test_cases=test_cases,
        shape=SHAPE,
        spacing_mm=SPACING_MM,
    )


def ignore(label_maps: Iterable[Path], slices: Any) -> None:
    """Give these slices of label maps the ignore label."""
    for path in label_maps:
        image = SimpleITK.ReadImage(str(path))
        array = SimpleITK.GetArrayFromImage(image)
        array[slices] = IGNORE
        changed = SimpleITK.GetImageFromArray(array)
        changed.CopyInformation(image)
        SimpleITK.WriteImage(changed, str(path), useCompression=True)


def preprocess(folders: NnunetFolders, dataset_name: str, configurations: tuple[str, ...]) -> None:
    """What `nnUNetv2_plan_and_preprocess` leaves behind, with `tiny_plans`."""
    raw, target = folders.raw / dataset_name, folders.preprocessed / dataset_name
    target.mkdir(parents=True)
    dataset_json, plans = json.loads((raw / "dataset.json").read_text()), tiny_plans(dataset_name)
    shutil.copy(raw / "dataset.json", target)
    shutil.copytree(raw / "labelsTr", target / "gt_segmentations")
    cases = get_filenames_of_train_images_and_targets(str(raw), dataset_json)
    splits = [{"train": [other for other in cases if other != case], "val": [case]} for case in cases]
    documents = {"nnUNetPlans": plans, "dataset_fingerprint": {}, "splits_final": splits}
    for name, document in documents.items():
        (target / f"{name}.json").write_text(json.dumps(document))
    manager = PlansManager(plans)
    for name in configurations:
        configuration = manager.get_configuration(name)
        folder = target / configuration.data_identifier
        folder.mkdir()
        for case, files in cases.items():
            DefaultPreprocessor(verbose=False).run_case_save(
                str(folder / case), files["images"], files["label"], manager, configuration, dataset_json
            )


def tiny_plans(dataset_name: str) -> dict[str, Any]:
    """Plans of all four configurations, as preprocessing reads them; 3d_lowres has half the in-plane resolution."""
    low_spacing = [SPACING_MM[0], 2 * SPACING_MM[1], 2 * SPACING_MM[2]]
    low_resolution = _configuration("3d_lowres", [8, 16, 16], low_spacing)
    hounsfield = {"max": 400.0, "mean": 110.0, "median": 110.0, "min": -200.0, "std": 60.0}
    configurations = {
        "2d": _configuration("2d", [32, 32], list(SPACING_MM[1:])),
        "3d_fullres": _configuration("3d_fullres", [8, 32, 32], list(SPACING_MM)),
        "3d_lowres": {**low_resolution, "next_stage": "3d_cascade_fullres"},
        "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
    }
    return {
        **plans_file(dataset_name, "nnUNetPlans", configurations),
        "original_median_spacing_after_transp": list(SPACING_MM),
        "original_median_shape_after_transp": list(SHAPE),
        "experiment_planner_used": "ExperimentPlanner",
        "foreground_intensity_properties_per_channel": {
            "0": {**hounsfield, "percentile_00_5": -150.0, "percentile_99_5": 300.0}
        },
    }


def _configuration(name: str, patch_size: list[int], spacing_mm: list[float]) -> dict[str, Any]:
    resampling = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    return {
        **configuration(patch_size, 2, spacing_mm, "CTNormalization", architecture(len(patch_size))),
        "data_identifier": f"nnUNetPlans_{name}",
        "median_image_size_in_voxels": list(SHAPE[-len(patch_size) :]),
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling,
        "resampling_fn_seg_kwargs": {**resampling, "is_seg": True},
        "resampling_fn_probabilities_kwargs": resampling,
    }


def architecture(dimensions: int, residual: bool = False) -> dict[str, Any]:
    """A U-Net (residual: ResEnc) of three stages; 3D ones keep the depth in the first pooling."""
    strides = [[1] * dimensions, [2] * dimensions if dimensions == 2 else [1, 2, 2], [2] * dimensions]
    return unet([4, 6, 8], strides, [1, 2, 2] if residual else [1, 1, 1], decoder_convolutions=1, residual=residual)
