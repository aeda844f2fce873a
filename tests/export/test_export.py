"""`nnUNetv2_dale_export`: what plain nnU-Net makes of an exported model, and what is in it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch
from nnunetv2.model_sharing.model_import import install_model_from_zip_file
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dale.export.cli import main
from nnunetv2_dale.nnunet_files.stock_model import stock_trainer
from tests.export.fixtures import DATASET, IMAGE, PATIENT, REGIONS, STOCK, files, make_model, predict


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "results")


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
exports, image, properties = Path(sys.argv[1]), np.load(sys.argv[2]), {"spacing": [4.0, 2.0, 2.0]}
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


def test_the_printed_command_runs_as_printed(tmp_path, capsys):
    checkpoint = "checkpoint_best.pth"
    folder = make_model(tmp_path / "results of mine", folds=(1,))
    (folder / "fold_1/checkpoint_final.pth").rename(folder / "fold_1" / checkpoint)
    assert main(["-i", str(folder), "-o", str(tmp_path / "handed on"), "-chk", checkpoint]) == 0
    (printed,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("predict with: ")]
    images, output = tmp_path / "images", tmp_path / "output"
    images.mkdir()
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(IMAGE[0]), str(images / "a_0000.nii.gz"))
    command = shlex.split(printed.removeprefix("predict with: "))
    assert command[0] == "nnUNetv2_predict_from_modelfolder"
    places = {"IMAGES": str(images), "OUTPUT": str(output)}
    arguments = [places.get(part, part) for part in command[1:]] + ["-device", "cpu", "-npp", "1", "-nps", "1"]
    run = "from nnunetv2.inference.predict_from_raw_data import predict_entry_point_modelfolder as run; run()"
    done = subprocess.run([sys.executable, "-c", run, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (output / "a.nii.gz").is_file()


def test_the_ending_of_images_is_kept_and_told(tmp_path, capsys):
    model = make_model(tmp_path / "results")
    described = json.loads((model / "dataset.json").read_text())
    (model / "dataset.json").write_text(json.dumps({**described, "file_ending": ".nrrd"}))
    assert main(["-i", str(model), "-o", str(tmp_path / "handed on")]) == 0
    assert "CASE_0000.nrrd" in capsys.readouterr().out
    exported = json.loads((tmp_path / "handed on" / DATASET / STOCK / "dataset.json").read_text())
    assert exported["file_ending"] == ".nrrd"


def test_the_printed_command_names_only_what_nnunet_would_not_find_itself(tmp_path, capsys):
    all_five = make_model(tmp_path / "five", folds=(0, 1, 2, 3, 4))
    assert main(["-i", str(all_five), "-o", str(tmp_path / "a")]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(STOCK)
    assert main(["-i", str(all_five), "-o", str(tmp_path / "b.zip"), "-f", "3"]) == 0
    assert f"nnUNetv2_predict -i IMAGES -o OUTPUT -d {DATASET} -tr nnUNetTrainer" in (said := capsys.readouterr().out)
    assert said.splitlines()[-1].endswith("-c 2d -f 3")


# --- what is in an export ---------------------------------------------------------------------------------------------


def test_export_holds_what_prediction_needs_and_names_no_case(model, tmp_path, capsys):
    output = tmp_path / "handed on"
    assert main(["-i", str(model), "-o", str(output)]) == 0
    left_out = "because it may name cases or paths: cohort, converted_by, description, dataset, training, test"
    assert f"dataset.json, {left_out}" in capsys.readouterr().out
    place = output / DATASET / STOCK
    of_model = {"plans.json", "dataset.json", "dataset_fingerprint.json", "exported_from.json"}
    of_folds = {"fold_0/checkpoint_final.pth", "crossval_results_folds_0/postprocessing.pkl"}
    assert files(place) == of_model | of_folds
    assert not [path for path in files(output) if PATIENT.encode() in (output / path).read_bytes()]
    trained = json.loads((model / "plans.json").read_text())
    assert json.loads((place / "plans.json").read_text()) == {**trained, "plans_name": "nnUNetPlans_from_DALE"}
    kept = {"channel_names", "labels", "file_ending", "numTraining", "name", "licence", "reference"}
    checkpoint = torch.load(place / "fold_0/checkpoint_final.pth", weights_only=True)
    for dataset in (json.loads((place / "dataset.json").read_text()), checkpoint["init_args"]["dataset_json"]):
        assert dataset.keys() == kept
    origin = json.loads((place / "exported_from.json").read_text())
    assert (origin["trained_with"], origin["plans"]) == ("nnUNetTrainerDALE", "nnUNetPlans")
    assert origin["epochs"] == {"fold_0/checkpoint_final.pth": 7}


def test_exported_checkpoint_is_of_a_stock_trainer_and_safe_to_load(model, tmp_path):
    assert main(["-i", str(model), "-o", str(tmp_path / "out")]) == 0
    path = "fold_0/checkpoint_final.pth"
    exported = torch.load(tmp_path / "out" / DATASET / STOCK / path, weights_only=True)
    original = torch.load(model / path, weights_only=False)
    keys = "network_weights trainer_name init_args inference_allowed_mirroring_axes current_epoch"
    assert exported.keys() == set(keys.split())
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
    words = "-d 997 -c 2d 3d_cascade_fullres -tr nnUNetTrainerDALE -f 1 --zip"
    assert main([*words.split(), "-o", str(tmp_path / "model")]) == 0
    with zipfile.ZipFile(tmp_path / "model") as archive:
        checkpoints = {name for name in archive.namelist() if name.endswith(".pth")}
    assert checkpoints == {
        f"{DATASET}/nnUNetTrainer__nnUNetPlans_from_DALE__{configuration}/fold_1/checkpoint_final.pth"
        for configuration in ("2d", "3d_cascade_fullres")
    }
    assert "3d_cascade_fullres needs the predictions of 3d_lowres" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"results", "model"}


def test_exports_stand_beside_each_other_and_beside_a_plain_model(tmp_path, monkeypatch, capsys):
    """As nnU-Net installs them: one export per trainer, and one under a name that was given."""
    results = tmp_path / "there"
    plain = make_model(results, "nnUNetTrainer")
    before = {path: (plain / path).read_bytes() for path in files(plain)}
    monkeypatch.setattr("nnunetv2.model_sharing.model_import.nnUNet_results", str(results))
    trainers = ("nnUNetTrainerDALE", "nnUNetTrainerDALE_maskedLoss", "nnUNetTrainer", "nnUNetTrainer")
    for trainer, name in zip(trainers, ([], [], [], ["--name", "hospital.b"]), strict=True):
        folder = tmp_path / "here" / DATASET / f"{trainer}__nnUNetPlans__2d"
        folder = folder if folder.exists() else make_model(tmp_path / "here", trainer)
        target = tmp_path / f"{trainer}{len(name)}.zip"
        assert main(["-i", str(folder), "-o", str(target), *name]) == 0
        install_model_from_zip_file(str(target))
    of_exports = {f"nnUNetPlans_from_{name}" for name in ("DALE", "DALE_maskedLoss", "nnUNetTrainer")}
    found = {path.name.split("__")[1] for path in (results / DATASET).iterdir()}
    assert found == {"nnUNetPlans", "hospital.b", *of_exports}
    assert {path: (plain / path).read_bytes() for path in files(plain)} == before
    said = capsys.readouterr().out.splitlines()
    assert f"name of the export for plain nnU-Net: {DATASET}/nnUNetTrainer__hospital.b__2d" in said
    assert "-p hospital.b" in said[-1]


def test_trainers_of_nnunet_keep_the_network_they_build():
    assert stock_trainer("nnUNetTrainerDALE_noDeepSupervision") is nnUNetTrainer
    assert stock_trainer("nnUNetTrainerBN").__name__ == "nnUNetTrainerBN"
