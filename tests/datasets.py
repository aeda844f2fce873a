"""The one place that makes nnU-Net's folders for tests: raw datasets, predictions, result folders, preprocessed data.

`write_raw_dataset` takes any arrays, `write_results` adds what nnU-Net leaves after a cross-validation; `ellipsoids`
has labels for both. `write_datasets` makes what a training reads, from phantoms. Plans for networks of a few thousand
weights are written by hand, since nnU-Net's planner takes seconds; preprocessing is nnU-Net's own function for one
case, without its worker processes.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from nnunetv2.evaluation.evaluate_predictions import compute_metrics, save_summary_json
from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets
from numpy.typing import NDArray

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
ELLIPSOIDS = "Dataset777_Ellipsoids"
CLASSES = {"background": 0, "large": 1, "small": 2}  # of `ellipsoids`
SPACING_ZYX = (3.0, 1.0, 1.0)
STRAIGHT = (1, 0, 0, 0, 1, 0, 0, 0, 1)
Array = NDArray[Any]


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
    def results(self) -> Path:
        return self.root / "results"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "nnUNet_raw": str(self.raw),
            "nnUNet_preprocessed": str(self.preprocessed),
            "nnUNet_results": str(self.results),
            "nnUNet_n_proc_DA": "0",
            "nnUNet_def_n_proc": "1",
        }


def write_volume(
    array: Array,
    file: Path,
    spacing_zyx: Sequence[float] = SPACING_ZYX,
    origin: Sequence[float] = (-10.0, 5.0, 2.0),
    direction: Sequence[float] = STRAIGHT,
) -> Path:
    """Write an array as an image with that geometry (pictures have none), and the folders above it; the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(array)
    if array.ndim == 3:
        image.SetSpacing([float(value) for value in spacing_zyx[::-1]])
        image.SetOrigin(origin)
        image.SetDirection(direction)
    SimpleITK.WriteImage(image, str(file), useCompression=True)
    return file


def read_volume(file: Path) -> Array:
    """The voxels of an image."""
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file)))


def rows_of(table: Path) -> list[dict[str, str]]:
    """The lines of a CSV file."""
    with table.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def files_in(folder: Path) -> dict[str, bytes]:
    """The content of every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def ellipsoids(case: int, shape: Sequence[int] = (14, 48, 48)) -> NDArray[np.uint8]:
    """A large ellipsoid of label 1 with a small one of label 2 beside it; sizes vary with the case."""
    z, y, x = np.meshgrid(*(np.arange(size) - size / 2 for size in shape), indexing="ij")
    labels = np.zeros(shape, np.uint8)
    labels[(z / 4) ** 2 + ((y + 4) / (9 + case % 3)) ** 2 + (x / 10) ** 2 <= 1] = 1
    labels[(z / 3) ** 2 + ((y - 14) / 5) ** 2 + ((x - case % 4) / 5) ** 2 <= 1] = 2
    return labels


def write_raw_dataset(
    folder: Path,
    label_maps: Mapping[str, Array | None],
    images: Mapping[str, Sequence[Array]] | None = None,
    geometry: Mapping[str, Sequence[float]] | None = None,
    **description: Any,
) -> Path:
    """A raw dataset; its folder.

    Args:
        label_maps: of each case; None is a case without.
        images: the channels of each case; without, one that holds the labels.
        geometry: for `write_volume`.
        description: what `dataset.json` says beside or instead of what `ellipsoids` needs.
    """
    described = {"labels": CLASSES, "channel_names": {"0": "MRI"}, "file_ending": ".nii.gz", **description}
    ending = described["file_ending"]
    for case, label in label_maps.items():
        channels = images[case] if images is not None else [] if label is None else [label.astype(np.float32)]
        for number, channel in enumerate(channels):
            write_volume(channel, folder / f"imagesTr/{case}_{number:04d}{ending}", **(geometry or {}))
        if label is not None:
            write_volume(label, folder / f"labelsTr/{case}{ending}", **(geometry or {}))
    (folder / "dataset.json").write_text(json.dumps({"numTraining": len(label_maps), **described}))
    return folder


def write_ellipsoids(root: Path, cases: int, name: str = ELLIPSOIDS) -> Path:
    """A raw dataset of `ellipsoids` called `case_00` and so on, with one noisy channel; its folder."""
    rng = np.random.default_rng(0)
    labels = {f"case_{case:02d}": ellipsoids(case) for case in range(cases)}
    noisy = {case: [(label * 40 + rng.normal(0, 10, label.shape)).astype(np.float32)] for case, label in labels.items()}
    return write_raw_dataset(root / name, labels, noisy)


def change_description(*folders: Path, **changes: Any) -> None:
    """Let the `dataset.json` of these folders say something else."""
    for folder in folders:
        described = json.loads((folder / "dataset.json").read_text())
        (folder / "dataset.json").write_text(json.dumps(described | changes))


def write_results(
    folder: Path,
    raw: Path,
    predictions: Mapping[str, Array | int],
    folds: int = 2,
    plans: Mapping[str, Any] | None = None,
    regions: Sequence[Any] = (1, 2),
) -> Path:
    """A result folder as a cross-validation leaves it; the folder.

    Args:
        predictions: of each case; a number is the reference, shifted by that many voxels along x.
        folds: cases go to them in turn.
        plans, regions: see `finish_results`.
    """
    ending = json.loads((raw / "dataset.json").read_text())["file_ending"]
    for number, (case, drawn) in enumerate(predictions.items()):
        if isinstance(drawn, int):
            drawn = np.roll(read_volume(raw / f"labelsTr/{case}{ending}"), drawn, axis=2)
        write_volume(drawn, folder / f"fold_{number % folds}/validation/{case}{ending}")
    finish_results(folder, raw, regions, plans)
    return folder


def finish_results(
    folder: Path, raw: Path, regions: Sequence[Any] = (1, 2), plans: Mapping[str, Any] | None = None
) -> None:
    """Write the summaries, plans and description that nnU-Net leaves in a result folder with predictions.

    Args:
        regions: classes or regions that the summaries are about.
        plans: without, the shortest that name the dataset.
    """
    for validation in sorted(folder.glob("fold_*/validation")):
        write_summary(validation, raw, regions)
    content = plans or {"dataset_name": raw.name, "plans_name": "nnUNetPlans", "configurations": {}}
    (folder / "plans.json").write_text(json.dumps(content))
    shutil.copy(raw / "dataset.json", folder)


def write_summary(validation: Path, raw: Path, regions: Sequence[Any] = (1, 2), labels: str = "labelsTr") -> None:
    """The `summary.json` that nnU-Net itself would write, made by its functions."""
    described = json.loads((raw / "dataset.json").read_text())
    files = sorted(validation.glob(f"*{described['file_ending']}"))
    reader = determine_reader_writer_from_dataset_json(described, str(files[0]), verbose=False)()
    cases = [compute_metrics(str(raw / labels / file.name), str(file), reader, list(regions)) for file in files]
    for case in cases:
        for metrics in case["metrics"].values():
            metrics.update({key: value.item() for key, value in metrics.items() if hasattr(value, "item")})
    save_summary_json({"metric_per_case": cases, "mean": {}, "foreground_mean": {}}, str(validation / "summary.json"))


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
