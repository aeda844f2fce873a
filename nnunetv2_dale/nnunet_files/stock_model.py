"""A trained model in the form that nnU-Net loads where this package is not installed.

DALE trains nnU-Net's own networks, so nothing has to be converted: the checkpoints name a trainer that stock nnU-Net
has, and the folder is called after it. Its plans get a name of their own: else the model would replace the plain one of
the same dataset. What only training needs (optimizer, curves) stays behind, as does what may name patients.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.file_path_utilities import convert_trainer_plans_config_to_identifier, folds_tuple_to_string
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_dale import __version__
from nnunetv2_dale.commands.command_line import UserError, one_line
from nnunetv2_dale.nnunet_files.json_files import write_json
from nnunetv2_dale.nnunet_files.trained_model import Json, TrainedModel

EXPORTED_KEYS = (
    *("channel_names", "modality", "labels", "regions_class_order", "file_ending", "overwrite_image_reader_writer"),
    *("numTraining", "name", "licence", "license", "reference"),
)
"""What an export takes of dataset.json: what prediction reads, and whose data it is. Others may name cases or paths."""
ORIGIN_FILE = "exported_from.json"


def stock_trainer(trainer_name: str) -> type[nnUNetTrainer]:
    """Find the most general trainer of stock nnU-Net that builds the same network as `trainer_name`.

    Raises:
        UserError: the trainer is not found, or builds its network with code that stock nnU-Net does not have.
    """
    try:
        # the search tells about every folder it looks into, and imports trainers whose libraries warn
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            trainer = recursive_find_trainer_class_by_name(trainer_name)
    except RuntimeError:
        raise UserError(
            f"the model was trained with {trainer_name}, which was not found here, so how it builds its network is not "
            "known; put the folder that holds this trainer on nnUNet_extTrainer"
        ) from None
    build = trainer.build_network_architecture
    same_network = [
        ancestor
        for ancestor in trainer.__mro__
        if ancestor.__module__.startswith("nnunetv2.")
        and getattr(ancestor, "build_network_architecture", None) is build
    ]
    if not same_network:
        instead = "share the trainer together with the model instead"
        if build.__module__.startswith("nnunetv2_dale."):
            instead = "install nnunetv2-dale where the model is used instead, and share its folder as it is"
        raise UserError(
            f"{trainer_name} builds its network itself ({build.__module__}), so stock nnU-Net cannot load the model; "
            f"{instead}"
        )
    found: type[nnUNetTrainer] = same_network[-1]
    return found


@dataclass(frozen=True)
class StockModel:
    """A model as stock nnU-Net shall find it."""

    model: TrainedModel  # with the name of its plans in the export
    trainer: type[nnUNetTrainer]  # of stock nnU-Net
    trained_plans: str  # the name of the plans it was trained with

    @property
    def place(self) -> Path:
        """Where it belongs below `nnUNet_results`: `DATASET/TRAINER__PLANS__CONFIGURATION`."""
        parts = self.trainer.__name__, self.model.plans_name, self.model.configuration
        return Path(self.model.dataset_name) / str(convert_trainer_plans_config_to_identifier(*parts))


def for_export(model: TrainedModel, plans_name: str | None = None) -> StockModel:
    """Return the model under stock nnU-Net's trainer and a name of plans of its own.

    None is `nnUNetPlans_from_DALE` for `nnUNetPlans` and `nnUNetTrainerDALE`. Stock nnU-Net builds the folder's name
    from -tr and -p, and reads the name inside `plans.json` for no prediction.
    """
    trainer = stock_trainer(model.trainer_name)
    origin = model.trainer_name.removeprefix("nnUNetTrainer") or model.trainer_name
    name = plans_name or f"{model.plans_name}_from_{origin.strip('_')}"
    return StockModel(replace(model, plans={**model.plans, "plans_name": name}), trainer, model.plans_name)


def check_weights(stock: StockModel) -> None:
    """Load every checkpoint into the network that stock nnU-Net builds from the plans, without memory for it."""
    model, trainer = stock.model, stock.trainer
    plans = PlansManager(model.plans)
    configuration = plans.get_configuration(model.configuration)
    inputs = determine_num_input_channels(plans, configuration, model.dataset)
    outputs = plans.get_label_manager(model.dataset).num_segmentation_heads
    for path, checkpoint in model.checkpoints.items():
        with torch.device("meta"):
            network = trainer.build_network_architecture(plans, configuration, inputs, outputs, False)
        try:
            network.load_state_dict(checkpoint["network_weights"], assign=True)
        except RuntimeError as error:
            raise UserError(
                f"the weights in {model.folder / path} do not fit the network that {trainer.__name__} builds from its "
                f"plans.json: {one_line(error)}"
            ) from None


def prediction_checkpoint(
    checkpoint: Mapping[str, Any], trainer_name: str, plans: Json, dataset: Json
) -> dict[str, object]:
    """Keep of a checkpoint what prediction and `-pretrained_weights` read, in plain types.

    The result can be loaded with `torch.load(..., weights_only=True)`.
    """
    mirroring_axes = checkpoint.get("inference_allowed_mirroring_axes")
    fold = checkpoint["init_args"].get("fold")
    return {
        "network_weights": dict(checkpoint["network_weights"]),
        "trainer_name": trainer_name,
        "init_args": {
            "plans": plans,
            "configuration": str(checkpoint["init_args"]["configuration"]),
            "fold": fold if fold is None or isinstance(fold, str) else int(fold),
            "dataset_json": dataset,
        },
        "inference_allowed_mirroring_axes": None if mirroring_axes is None else tuple(int(a) for a in mirroring_axes),
        "current_epoch": int(checkpoint.get("current_epoch", 0)),
    }


def write_stock_model(stock: StockModel, target: Path) -> None:
    """Write the model into the empty folder `target`, which has to get the name of `StockModel.place`.

    Written are `plans.json`, `dataset.json` (its `EXPORTED_KEYS`), `dataset_fingerprint.json`, the folds'
    checkpoints, the postprocessing that `nnUNetv2_find_best_configuration` determined for these folds, and
    `exported_from.json`.
    """
    model, trainer = stock.model, stock.trainer
    dataset = {key: value for key, value in model.dataset.items() if key in EXPORTED_KEYS}
    write_json(target / "plans.json", model.plans)
    write_json(target / "dataset.json", dataset)
    for path, checkpoint in model.checkpoints.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        torch.save(prediction_checkpoint(checkpoint, trainer.__name__, model.plans, dataset), target / path)
    results = f"crossval_results_folds_{folds_tuple_to_string(model.folds)}"
    for name in ("dataset_fingerprint.json", f"{results}/postprocessing.pkl", f"{results}/postprocessing.json"):
        if (model.folder / name).is_file():
            (target / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(model.folder / name, target / name)
    write_json(target / ORIGIN_FILE, _origin(stock))


def _origin(stock: StockModel) -> Json:
    epochs = {path: int(checkpoint.get("current_epoch", 0)) for path, checkpoint in stock.model.checkpoints.items()}
    versions = {name: importlib.metadata.version(name) for name in ("nnunetv2", "torch")}
    versions["nnunetv2-dale"] = __version__  # also right in a checkout that is not installed
    trained = {"trained_with": stock.model.trainer_name, "plans": stock.trained_plans}
    return {**trained, "epochs": epochs, "exported_with": versions}
