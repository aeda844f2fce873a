"""Models as nnU-Net's trainings leave them, for the tests of the export."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from tests.datasets import tiny_plans

DATASET = "Dataset997_Exported"
STOCK = "nnUNetTrainer__nnUNetPlans_from_DALE__2d"
PATIENT = "patient_jane_doe"
IMAGE = np.random.default_rng(0).normal(110, 60, size=(1, 3, 20, 26)).astype(np.float32)
PROPERTIES = {"spacing": [4.0, 2.0, 2.0]}
LABELS = {"background": 0, "organ": 1, "lesion": 2}
REGIONS = {"background": 0, "whole": [1, 2], "lesion": 2}


def dataset_json(labels: dict[str, Any]) -> dict[str, Any]:
    cases = {PATIENT: {"images": [f"/data/{PATIENT}_0000.nii.gz"], "label": f"/data/{PATIENT}.nii.gz"}}
    regions = {"regions_class_order": [1, 2]} if any(isinstance(value, list) for value in labels.values()) else {}
    channels = {"channel_names": {"0": "MR"}, "labels": labels, "file_ending": ".nii.gz", "numTraining": 1}
    free = {"cohort": {"site": [PATIENT]}, "converted_by": f"script.py /home/me/{PATIENT}", "description": PATIENT}
    kept = {"name": "Exported", "licence": "CC-BY 4.0", "reference": "a paper"}
    return channels | regions | kept | free | {"dataset": cases, "training": [PATIENT], "test": [PATIENT]}


def make_model(
    results: Path,
    trainer: str = "nnUNetTrainerDALE",
    configuration: str = "2d",
    folds: tuple[int | str, ...] = (0,),
    labels: dict[str, Any] = LABELS,
    axes: tuple[int, ...] = (0, 1),
) -> Path:
    """A trained model folder with everything that nnU-Net leaves in one; the weights are random."""
    content, dataset = tiny_plans(DATASET), dataset_json(labels)
    content["configurations"]["2d"]["dale"] = {"tau": 0.9}
    folder = results / DATASET / f"{trainer}__nnUNetPlans__{configuration}"
    for fold in folds:
        manager = PlansManager(content)
        architecture = manager.get_configuration(configuration)
        network = nnUNetTrainer.build_network_architecture(
            manager,
            architecture,
            determine_num_input_channels(manager, architecture, dataset),
            manager.get_label_manager(dataset).num_segmentation_heads,
            "noDeepSupervision" not in trainer,
        )
        with torch.no_grad():  # large logits of mean 0, so that many voxels are of each class
            head = network.decoder.seg_layers[-1]
            head.weight.normal_(std=3)
            head.weight -= head.weight.mean(dim=1, keepdim=True)
            head.bias.zero_()
        init = {"plans": content, "configuration": configuration, "fold": fold, "dataset_json": dataset}
        checkpoint = {
            "network_weights": network.state_dict(),
            "optimizer_state": {"state": {0: {"momentum_buffer": torch.zeros(5)}}},
            "grad_scaler_state": None,
            "logging": {"mean_fg_dice": [np.float64(0.5)], "dale_loss": [np.float32(1)]},
            "_best_ema": np.float64(0.5),
            "current_epoch": 7,
            "init_args": {**init, "device": torch.device("cuda")},
            "trainer_name": trainer,
            "inference_allowed_mirroring_axes": axes,
        }
        of_fold = folder / f"fold_{fold}"
        (of_fold / "validation").mkdir(parents=True)
        torch.save(checkpoint, of_fold / "checkpoint_final.pth")
        (of_fold / "validation" / "summary.json").write_text(f'{{"metric_per_case": "{PATIENT}"}}')
        (of_fold / "debug.json").write_text(f'"{PATIENT}"')
        (of_fold / "training_log_1.txt").write_text(PATIENT)
    postprocessing = folder / f"crossval_results_folds_{'_'.join(str(fold) for fold in folds)}"
    postprocessing.mkdir()
    (postprocessing / "postprocessing.pkl").write_bytes(pickle.dumps(([], [])))
    (postprocessing / "summary.json").write_text(PATIENT)
    (folder / "plans.json").write_text(json.dumps(content))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    (folder / "dataset_fingerprint.json").write_text(json.dumps({"spacings": [[2.0, 1.0, 1.0]]}))
    return folder


def predict(folder: Path) -> np.ndarray[Any, Any]:
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder), folds_in(folder))
    segmentation = predictor.predict_single_npy_array(IMAGE, PROPERTIES)
    assert isinstance(segmentation, np.ndarray)
    return segmentation


def folds_in(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name.removeprefix("fold_") for path in folder.glob("fold_*")))


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
