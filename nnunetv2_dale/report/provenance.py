"""What made a run and this report: versions, plans, DALE's settings, the seed, as far as the folders tell."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from nnunetv2_dale import __version__
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.json_files import read_json_object
from nnunetv2_dale.nnunet_files.results.result_folder import ResultFolder
from nnunetv2_dale.nnunet_files.results.training_logs import training_logs
from nnunetv2_dale.report.sides import REPEAT

_SETTINGS_LINE = re.compile("dale settings:", re.IGNORECASE)  # "DALE" in logs of the first version
_PACKAGES = ("nnunetv2", "torch", "scipy", "statsmodels", "numpy", "matplotlib")


def versions() -> dict[str, str]:
    """Versions of what computed this report."""
    packages = {package: importlib.metadata.version(package) for package in _PACKAGES}
    return {"Python": platform.python_version(), "nnunetv2-dale": __version__, **packages}


def run_facts(folder: ResultFolder) -> dict[str, str]:
    """Name → value of a run's plans and of the machine it was trained on, in the order to be shown."""
    configuration = resolved_configuration(folder.plans, folder.configuration)
    architecture = configuration.get("architecture", {})
    facts = {
        "trainer": folder.trainer,
        "plans": folder.plans_name,
        "configuration": folder.configuration,
        "network": str(architecture.get("network_class_name", "")).rsplit(".", 1)[-1],
        "patch size": _product(configuration.get("patch_size")),
        "batch size": configuration.get("batch_size"),
        "spacing": _product(configuration.get("spacing"), " mm"),
        "batch Dice": configuration.get("batch_dice"),
    }
    debug = _debug_of(folder)
    facts |= {
        "PyTorch in training": debug.get("torch_version"),
        "device": debug.get("gpu_name") or debug.get("device"),
        "epochs planned": debug.get("num_epochs"),
        "initial learning rate": debug.get("initial_lr"),
    }
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}


def dale_settings(folder: ResultFolder) -> dict[str, Any] | None:
    """DALE's hyperparameters: the trainer's own, from the start of its log, overridden by the plans' `dale` object.

    None for a trainer without any.
    """
    in_plans = resolved_configuration(folder.plans, folder.configuration).get("dale")
    in_training = _settings_in_log(folder)
    if in_plans is None and not in_training:
        return None
    return {**in_training, **(in_plans if isinstance(in_plans, dict) else {})}


def seed_of(folder: ResultFolder, dale: Mapping[str, Any] | None) -> str | None:
    """Return the seed of the training: the benchmark's where it is repeated; plain nnU-Net fixes none."""
    if repeat := REPEAT.search(folder.name):
        return repeat[1]
    debug = _debug_of(folder)
    for value in (debug.get("seed"), debug.get("random_seed"), (dale or {}).get("seed")):
        if value not in (None, "None", ""):
            return str(value)
    return None


def resolved_configuration(plans: Mapping[str, Any], configuration: str | None) -> dict[str, Any]:
    """Return a configuration of the plans with what it inherits; empty where the plans lack it."""
    configurations = plans.get("configurations", {})
    own = configurations.get(configuration)
    if not isinstance(own, dict):
        return {}
    parent = own.get("inherits_from")
    inherited = resolved_configuration(plans, parent) if parent and parent != configuration else {}
    return {**inherited, **own}


def _debug_of(folder: ResultFolder) -> dict[str, Any]:
    for fold in folder.folds:
        file = folder.fold_folder(fold) / "debug.json"
        if file.is_file():
            try:
                return read_json_object(file)
            except UserError:
                continue
    return {}


def _settings_in_log(folder: ResultFolder) -> dict[str, Any]:
    """What the trainer writes into its log at the start, `dale settings: {…}`; empty where no log has such a line."""
    for fold in folder.folds:
        for file in training_logs(folder.fold_folder(fold)):
            with file.open(encoding="utf-8", errors="replace") as log:
                lines = [line for line in islice(log, 200) if _SETTINGS_LINE.search(line)]
            if lines:
                with suppress(ValueError, TypeError):
                    return dict(json.loads(_SETTINGS_LINE.split(lines[0], maxsplit=1)[1]))
    return {}


def _product(values: Sequence[float] | None, unit: str = "") -> str:
    return " × ".join(f"{value:g}" for value in values) + unit if values else ""
