"""Everything that can be known to be wrong before the first training starts, said in one sentence."""

from __future__ import annotations

import contextlib
import io
import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_dale.benchmark.runs import repeated_plans
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.atomic_output import new_file
from nnunetv2_dale.nnunet_files.folders import Variable, dataset_folder, known_folder
from nnunetv2_dale.nnunet_files.json_files import read_json_object

_AGAIN = "plan and preprocess again"  # nnU-Net's own commands end in a traceback where a file is damaged


@dataclass(frozen=True)
class Folders:
    """nnU-Net's folders and the dataset in them."""

    dataset: str  # the dataset's full name
    preprocessed: Path  # what ``nnUNet_preprocessed`` and ``nnUNet_results`` say
    results: Path

    @property
    def of_dataset(self) -> Path:
        """Its plans, split and preprocessed cases."""
        return self.preprocessed / self.dataset

    @property
    def of_benchmark(self) -> Path:
        """What this command writes beside the dataset's results."""
        return self.results / self.dataset / "benchmark"


def find_dataset(name_or_id: str) -> Folders:
    """Return the dataset's full name and nnU-Net's folders.

    Raises:
        UserError: a variable is not set, there is no such preprocessed dataset, or its dataset.json is damaged.
    """
    preprocessed, results = _folder_variable("nnUNet_preprocessed"), _folder_variable("nnUNet_results")
    try:
        folder = dataset_folder(preprocessed, name_or_id)
    except UserError as error:
        raise UserError(f"{error}, or run nnUNetv2_plan_and_preprocess first") from error
    described = folder / "dataset.json"
    if not described.is_file():
        raise UserError(
            f"{folder.name} is not preprocessed: there is no {described}; run nnUNetv2_plan_and_preprocess first"
        )
    read_json_object(described, _AGAIN)
    return Folders(folder.name, preprocessed, results)


def check_plans(
    folders: Folders, plans: Sequence[str], configurations: Sequence[str], num_gpus: int
) -> dict[tuple[str, str], str]:
    """Check that plans and configurations exist and are preprocessed, and that every GPU gets a sample of each batch.

    Returns:
        for each (plans, configuration) that is a cascade's second stage, its first stage.
    Raises:
        UserError: no such plans, or damaged ones or ones of another name, no such configuration, its preprocessed
            data are missing, or a batch that is smaller than the number of GPUs (nnU-Net refuses it in the first job).
    """
    previous: dict[tuple[str, str], str] = {}
    folder = folders.of_dataset
    for name in plans:
        file = folder / f"{name}.json"
        if not file.is_file():
            not_plans = {"dataset", "dataset_fingerprint", "splits_final"}
            known = sorted(p.stem for p in folder.glob("*.json") if p.stem not in not_plans)
            raise UserError(f"{folders.dataset} has no plans {name}; it has {listed(known)}")
        written = read_json_object(file, _AGAIN).get("plans_name")
        if written != name:
            raise UserError(
                f'{file} has the "plans_name" {json.dumps(written)}, under which nnU-Net keeps the results, where this '
                f'command and other plans of that name would replace each other\'s; set it to "{name}"'
            )
        manager = PlansManager(str(file))
        wanted = list(configurations)
        for configuration in wanted:
            if configuration not in manager.available_configurations:
                known = manager.available_configurations
                raise UserError(f"plans {name} have no configuration {configuration}; they have {listed(known)}")
            details = manager.get_configuration(configuration)
            data = folder / details.data_identifier
            if not data.is_dir() or not any(data.iterdir()):
                raise UserError(
                    f"{configuration} of plans {name} is not preprocessed: {data} holds nothing; "
                    f"run nnUNetv2_preprocess -d {folders.dataset} -plans_name {name} -c {configuration}"
                )
            if configuration in configurations and details.batch_size < num_gpus:
                raise UserError(
                    f"-num_gpus {num_gpus} is more than the batch of {configuration} in plans {name} has samples "
                    f"({details.batch_size}); use at most {details.batch_size} GPUs for one training"
                )
            if details.previous_stage_name is not None:
                previous[name, configuration] = details.previous_stage_name
                if details.previous_stage_name not in wanted:
                    wanted.append(details.previous_stage_name)
    return previous


def write_repeated_plans(folders: Folders, plans: Sequence[str], repeats: int) -> None:
    """Write the plans of every training: copies that differ in the name alone and share the preprocessed data.

    Raises:
        UserError: such plans are there and say something else.
    """
    for name in plans if repeats > 1 else ():
        content = read_json_object(folders.of_dataset / f"{name}.json")
        for own in repeated_plans([name], repeats):
            file, wanted = folders.of_dataset / f"{own}.json", {**content, "plans_name": own}
            if not file.exists():
                with new_file(file) as unfinished:
                    unfinished.write_text(json.dumps(wanted, indent=4))
            elif read_json_object(file) != wanted:
                raise UserError(
                    f"{file} differs from {name}.json in more than its name; remove it, or take other plans"
                )


def check_trainers(trainers: Sequence[str]) -> None:
    """Check that nnU-Net finds every trainer, with its own search.

    Raises:
        UserError: a trainer that nnU-Net does not find or cannot import.
    """
    for trainer in trainers:
        printed = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
            warnings.simplefilter("ignore")  # of the trainers that the search imports on its way
            try:
                recursive_find_trainer_class_by_name(trainer)
            except (RuntimeError, AssertionError, ImportError, SyntaxError) as error:
                where = os.environ.get("nnUNet_extTrainer", "not set")  # noqa: SIM112 (nnU-Net's name)
                raise UserError(
                    f"nnU-Net finds no trainer {trainer}; check the spelling and nnUNet_extTrainer ({where})"
                ) from error


def visible_gpus(device: str, num_gpus: int) -> list[str]:
    """GPUs of this machine that a training may use, as ``CUDA_VISIBLE_DEVICES`` names them.

    Raises:
        UserError: `device` is cuda and there are fewer than `num_gpus`.
    """
    if device != "cuda":
        return []
    import torch

    number = torch.cuda.device_count()
    if number < num_gpus:
        raise UserError(
            f"one training needs {num_gpus} GPU{'s' * (num_gpus > 1)} and this machine has {number} to offer; "
            "use -device cpu, or a cluster with --executor"
        )
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return chosen.split(",")[:number] if chosen else [str(index) for index in range(number)]


def _folder_variable(name: Variable) -> Path:
    folder = known_folder(name)
    if folder is None:
        raise UserError(f"the environment variable {name} is not set; nnU-Net's documentation says what it is for")
    return folder.absolute()


def listed(names: Sequence[str]) -> str:
    """Names as a sentence lists them."""
    return ", ".join(names) or "none"
