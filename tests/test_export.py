"""`nnUNetv2_dale_export`: what plain nnU-Net makes of an exported model, what is in it, and what is refused."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_dale.command_line import UserError
from nnunetv2_dale.export import main
from nnunetv2_dale.stock_model import stock_trainer

DATASET = "Dataset997_Exported"
STOCK = "nnUNetTrainer__nnUNetPlans__2d"
PATIENT = "patient_jane_doe"
IMAGE = np.random.default_rng(0).normal(size=(1, 3, 20, 26)).astype(np.float32)
PROPERTIES = {"spacing": [2.0, 1.0, 1.0]}
LABELS = {"background": 0, "organ": 1, "lesion": 2}
REGIONS = {"background": 0, "whole": [1, 2], "lesion": 2}


def plans(**settings: Any) -> dict[str, Any]:
    """The plans of a tiny 2d network, as nnU-Net writes them."""
    resampling = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    layer = "torch.nn.modules.{}2d".format
    configuration = {
        "data_identifier": "nnUNetPlans_2d",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [16, 16],
        "median_image_size_in_voxels": [20.0, 26.0],
        "spacing": [1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling,
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_seg_kwargs": resampling | {"is_seg": True},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": resampling,
        "batch_dice": True,
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": {
                "n_stages": 3,
                "features_per_stage": [4, 6, 8],
                "conv_op": layer("conv.Conv"),
                "kernel_sizes": [[3, 3]] * 3,
                "strides": [[1, 1], [2, 2], [2, 2]],
                "n_conv_per_stage": [1, 1, 1],
                "n_conv_per_stage_decoder": [1, 1],
                "conv_bias": True,
                "norm_op": layer("instancenorm.InstanceNorm"),
                "norm_op_kwargs": {"eps": 1e-5, "affine": True},
                "dropout_op": None,
                "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU",
                "nonlin_kwargs": {"inplace": True},
            },
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }
    return {
        "dataset_name": DATASET,
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {"mean": 0.0, "std": 1.0}},
        "configurations": {
            "2d": configuration | settings,
            "3d_cascade_fullres": {"inherits_from": "2d", "previous_stage": "3d_lowres"},
        },
    }


def dataset_json(labels: dict[str, Any]) -> dict[str, Any]:
    cases = {PATIENT: {"images": [f"/data/{PATIENT}_0000.nii.gz"], "label": f"/data/{PATIENT}.nii.gz"}}
    regions = {"regions_class_order": [1, 2]} if labels is REGIONS else {}
    channels = {"channel_names": {"0": "MR"}, "labels": labels, "file_ending": ".nii.gz", "numTraining": 1}
    return channels | regions | {"dataset": cases, "training": [PATIENT], "test": [PATIENT]}


def make_model(
    results: Path,
    trainer: str = "nnUNetTrainerDALE",
    configuration: str = "2d",
    folds: tuple[int | str, ...] = (0,),
    labels: dict[str, Any] = LABELS,
    axes: tuple[int, ...] = (0, 1),
) -> Path:
    """A trained model folder with everything that nnU-Net leaves in one; the weights are random."""
    content, dataset = plans(dale={"tau": 0.9}), dataset_json(labels)
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
        with torch.no_grad():  # large logits, so that many voxels are of each class
            network.decoder.seg_layers[-1].weight.normal_(std=3)
        checkpoint = {
            "network_weights": network.state_dict(),
            "optimizer_state": {"state": {0: {"momentum_buffer": torch.zeros(5)}}},
            "grad_scaler_state": None,
            "logging": {"mean_fg_dice": [np.float64(0.5)], "dale_loss": [np.float32(1)]},
            "_best_ema": np.float64(0.5),
            "current_epoch": 7,
            "init_args": {
                "plans": content,
                "configuration": configuration,
                "fold": fold,
                "dataset_json": dataset,
                "device": torch.device("cuda"),
            },
            "trainer_name": trainer,
            "inference_allowed_mirroring_axes": axes,
        }
        (folder / f"fold_{fold}" / "validation").mkdir(parents=True)
        torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_final.pth")
        (folder / f"fold_{fold}" / "validation" / "summary.json").write_text(f'{{"metric_per_case": "{PATIENT}"}}')
        (folder / f"fold_{fold}" / "debug.json").write_text(f'"{PATIENT}"')
        (folder / f"fold_{fold}" / "training_log_1.txt").write_text(PATIENT)
    postprocessing = folder / f"crossval_results_folds_{'_'.join(str(fold) for fold in folds)}"
    postprocessing.mkdir()
    (postprocessing / "postprocessing.pkl").write_bytes(pickle.dumps(([], [])))
    (postprocessing / "summary.json").write_text(PATIENT)
    (folder / "plans.json").write_text(json.dumps(content))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    (folder / "dataset_fingerprint.json").write_text(json.dumps({"spacings": [[2.0, 1.0, 1.0]]}))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "results")


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


# --- plain nnU-Net predicts the same ----------------------------------------------------------------------------------

PLAIN_NNUNET = """
import sys
from pathlib import Path
import numpy as np, torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.model_sharing.model_import import install_model_from_zip_file

torch.set_num_threads(1)
try:
    import nnunetv2_dale
except ModuleNotFoundError:
    pass
else:
    sys.exit("the package can be imported")
exports, image, properties = Path(sys.argv[1]), np.load(sys.argv[2]), {"spacing": [2.0, 1.0, 1.0]}
for archive in exports.glob("*.zip"):
    install_model_from_zip_file(str(archive))
for folder in exports.glob("*/Dataset*/*"):
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    folds = sorted(path.name.removeprefix("fold_") for path in folder.glob("fold_*"))
    predictor.initialize_from_trained_model_folder(str(folder), folds)
    np.save(exports / (folder.parts[-3] + ".npy"), predictor.predict_single_npy_array(image, properties))
"""


def test_plain_nnunet_predicts_the_same_without_this_package(tmp_path, capsys):
    models = {
        "dale": make_model(tmp_path / "dale", folds=(0, 1, 3)),
        "length, all, one axis": make_model(tmp_path / "l", "nnUNetTrainerDALE_5epochs", folds=("all",), axes=(0,)),
        "no deep supervision": make_model(tmp_path / "n", "nnUNetTrainerDALE_noDeepSupervision"),
        "regions": make_model(tmp_path / "r", labels=REGIONS),
        "installed": make_model(tmp_path / "i", "nnUNetTrainerDALE_maskedLoss", folds=(2,)),
    }
    exports = tmp_path / "exports"
    for name, folder in models.items():
        output = exports / ("zipped.zip" if name == "installed" else name)
        assert main(["-i", str(folder), "-o", str(output)]) == 0
    assert "nnUNetv2_install_pretrained_model_from_zip" in capsys.readouterr().out
    # a module that is None in sys.modules cannot be imported, in this process and in all it starts
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['nnunetv2_dale'] = None\n")
    np.save(tmp_path / "image.npy", IMAGE)
    variables = dict(os.environ, PYTHONPATH=str(tmp_path), NNUNETV2_DALE_NO_AUTODISCOVERY="1")
    variables["nnUNet_results"] = str(exports / "installed")
    command = [sys.executable, "-c", PLAIN_NNUNET, str(exports), str(tmp_path / "image.npy")]
    run = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    for name, folder in models.items():
        expected = predict(folder)
        assert len(np.unique(expected)) > 1
        np.testing.assert_array_equal(np.load(exports / f"{name}.npy"), expected)


# --- what is in an export ---------------------------------------------------------------------------------------------


def test_export_holds_what_prediction_needs_and_names_no_case(model, tmp_path):
    output = tmp_path / "handed on"
    assert main(["-i", str(model), "-o", str(output)]) == 0
    place = output / DATASET / STOCK
    assert files(place) == {
        "plans.json",
        "dataset.json",
        "dataset_fingerprint.json",
        "fold_0/checkpoint_final.pth",
        "crossval_results_folds_0/postprocessing.pkl",
        "exported_from.json",
    }
    assert not [path for path in files(output) if PATIENT.encode() in (output / path).read_bytes()]
    assert json.loads((place / "plans.json").read_text()) == plans(dale={"tau": 0.9})
    origin = json.loads((place / "exported_from.json").read_text())
    assert origin["trained_with"] == "nnUNetTrainerDALE"
    assert origin["epochs"] == {"fold_0/checkpoint_final.pth": 7}


def test_exported_checkpoint_is_of_a_stock_trainer_and_safe_to_load(model, tmp_path):
    assert main(["-i", str(model), "-o", str(tmp_path / "out")]) == 0
    path = "fold_0/checkpoint_final.pth"
    exported = torch.load(tmp_path / "out" / DATASET / STOCK / path, weights_only=True)
    original = torch.load(model / path, weights_only=False)
    assert exported.keys() == {
        "network_weights",
        "trainer_name",
        "init_args",
        "inference_allowed_mirroring_axes",
        "current_epoch",
    }
    assert exported["trainer_name"] == "nnUNetTrainer"
    assert exported["init_args"]["configuration"] == "2d"
    assert exported["inference_allowed_mirroring_axes"] == (0, 1)
    assert exported["network_weights"].keys() == original["network_weights"].keys()
    for name, weights in original["network_weights"].items():
        torch.testing.assert_close(exported["network_weights"][name], weights, rtol=0, atol=0)


def test_models_named_as_nnunet_names_them_in_one_zip(tmp_path, monkeypatch, capsys):
    for configuration in ("2d", "3d_cascade_fullres"):
        make_model(tmp_path / "results", configuration=configuration, folds=(0, 1))
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "results"))
    arguments = ["-d", "997", "-c", "2d", "3d_cascade_fullres", "-f", "1", "-o", str(tmp_path / "model"), "--zip"]
    assert main(arguments) == 0
    with zipfile.ZipFile(tmp_path / "model") as archive:
        checkpoints = {name for name in archive.namelist() if name.endswith(".pth")}
    assert checkpoints == {
        f"{DATASET}/nnUNetTrainer__nnUNetPlans__{configuration}/fold_1/checkpoint_final.pth"
        for configuration in ("2d", "3d_cascade_fullres")
    }
    assert "3d_cascade_fullres needs the predictions of 3d_lowres" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"results", "model"}


def test_trainers_of_nnunet_keep_the_network_they_build():
    assert stock_trainer("nnUNetTrainerDALE_noDeepSupervision") is nnUNetTrainer
    assert stock_trainer("nnUNetTrainerBN").__name__ == "nnUNetTrainerBN"


# --- what is refused --------------------------------------------------------------------------------------------------


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run the command, which has to end with one sentence on stderr; returns the sentence."""
    assert main([str(argument) for argument in arguments]) == 2
    message = capsys.readouterr().err
    assert message.startswith("nnUNetv2_dale_export: ")
    assert message.count("\n") == 1
    return message


def test_existing_output_is_refused_and_other_models_in_it_survive(model, tmp_path, capsys):
    output = tmp_path / "out"
    output.mkdir()
    assert "already exists" in refused(capsys, "-i", model, "-o", output)
    trained = make_model(output, "nnUNetTrainer")
    before = files(trained)
    assert "is no export" in refused(capsys, "-i", model, "-o", output, "--overwrite")
    assert "is no export" in refused(capsys, "-i", trained, "-o", output, "--overwrite")
    assert files(trained) == before
    trained.rename(trained.with_name("nnUNetTrainer__other__2d"))
    for _ in range(2):
        assert main(["-i", str(model), "-o", str(output), "--overwrite"]) == 0
    assert {path.name for path in (output / DATASET).iterdir()} == {"nnUNetTrainer__other__2d", STOCK}


def test_zip_and_folder_are_not_mistaken_for_each_other(model, tmp_path, capsys):
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "file").touch()
    assert "should be a zip file" in refused(capsys, "-i", model, "-o", tmp_path / "folder.zip", "--overwrite")
    assert "should be a folder" in refused(capsys, "-i", model, "-o", tmp_path / "file", "--overwrite")


def test_how_the_model_is_given_is_checked(model, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("nnUNet_results", raising=False)
    output = ["-o", tmp_path / "out"]
    assert "either as -i FOLDER or as -d" in refused(capsys, *output)
    assert "either as -i FOLDER or as -d" in refused(capsys, "-i", model, "-d", 997, *output)
    assert "-c 3d_fullres" in refused(capsys, "-d", 997, *output)
    assert "nnUNet_results is not set" in refused(capsys, "-d", 997, "-c", "2d", *output)
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "results"))
    assert "dataset 996 was not found" in refused(capsys, "-d", 996, "-c", "2d", *output)
    assert "no trained model at" in refused(capsys, "-d", 997, "-c", "3d_fullres", *output)
    assert "plans.json is not there" in refused(capsys, "-i", model / "fold_0", *output)
    assert not (tmp_path / "out").exists()


def test_missing_folds_and_checkpoints_are_named(model, tmp_path, capsys):
    output = ["-o", tmp_path / "out"]
    message = refused(capsys, "-i", model, "-f", 0, 3, *output)
    assert "for fold 3" in message
    assert "folds there: 0;" in message
    message = refused(capsys, "-i", model, "-chk", "checkpoint_best.pth", *output)
    assert "no checkpoint_best.pth" in message
    assert "checkpoints there: checkpoint_final.pth" in message


def change_checkpoint(model: Path, **changes: object) -> None:
    path = model / "fold_0" / "checkpoint_final.pth"
    checkpoint = torch.load(path, weights_only=False)
    torch.save(checkpoint | changes, path)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (
            lambda model: (model / "fold_0/checkpoint_final.pth").write_bytes(b"PK not"),
            "cannot be read as a checkpoint",
        ),
        (lambda model: torch.save([1], model / "fold_0/checkpoint_final.pth"), "is not a checkpoint of nnU-Net"),
        (lambda model: change_checkpoint(model, network_weights={"a": torch.ones(1)}), "do not fit the network"),
        (lambda model: change_checkpoint(model, trainer_name="nnUNetTrainerElsewhere"), "was not found here"),
        (lambda model: change_checkpoint(model, init_args={"configuration": "3d"}), "of configuration 3d, which"),
        (lambda model: (model / "plans.json").write_text("{"), "is not readable as JSON"),
        (lambda model: (model / "plans.json").write_text("{}"), "is not a plans file"),
        (lambda model: (model / "dataset.json").unlink(), "dataset.json is not there"),
    ],
)
def test_damaged_models_are_refused_before_anything_is_written(model, tmp_path, capsys, damage, sentence):
    damage(model)
    assert sentence in refused(capsys, "-i", model, "-o", tmp_path / "out.zip")
    assert {path.name for path in tmp_path.iterdir()} == {"results"}


def test_folds_of_different_trainings_are_refused(tmp_path, capsys):
    model = make_model(tmp_path / "results", folds=(0, 1))
    change_checkpoint(model, trainer_name="nnUNetTrainerDALE_maskedLoss")
    assert "not of one training" in refused(capsys, "-i", model, "-o", tmp_path / "out")


def test_a_trainer_with_a_network_of_its_own_is_refused(tmp_path, monkeypatch):
    (tmp_path / "trainer_with_a_network.py").write_text(
        "from nnunetv2_dale.trainer import nnUNetTrainerDALE\n"
        "class nnUNetTrainerOwnNetwork(nnUNetTrainerDALE):\n"
        "    @staticmethod\n"
        "    def build_network_architecture(*arguments): return None\n"
    )
    monkeypatch.setenv("nnUNet_extTrainer", str(tmp_path))
    with pytest.raises(UserError, match="builds its network itself"):
        stock_trainer("nnUNetTrainerOwnNetwork")


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("[enforce fail] unexpected pos")]
)
def test_an_export_that_cannot_be_written_leaves_nothing(model, tmp_path, monkeypatch, capsys, error):
    def full_disk(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(torch, "save", full_disk)
    for output in ("out", "out.zip"):
        assert "could not be written" in refused(capsys, "-i", model, "-o", tmp_path / output)
    assert {path.name for path in tmp_path.iterdir()} == {"results"}
