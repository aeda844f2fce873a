"""The tables of docs/settings.md, from the configurations in the code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, fields
from typing import Any

from nnunetv2_dale.case_trust.config import CaseTrustConfig
from nnunetv2_dale.dk_uxnet.config import DkNetConfig, DkUxnetConfig
from nnunetv2_dale.rivals.config import AbstainingDiceConfig, CoTrainingConfig, MetaWeightConfig
from nnunetv2_dale.svl_drl.config import SvlDrlConfig
from nnunetv2_dale.trainer.config import AS_PRINTED, DEFAULT


def table(columns: Mapping[str, Any]) -> str:
    """The settings of one configuration as Markdown.

    Each column of values has its configuration: all of one dataclass whose fields carry `meaning`, and either `choices`
    or `low` and `high`, as metadata.
    """
    first, *others = columns.values()
    assert all(type(other) is type(first) for other in others)
    titles = ["setting", *columns, "range", "meaning"]
    rows = [
        [f"`{spec.name}`", *(_value(getattr(each, spec.name)) for each in columns.values()), _range(spec), _cell(spec)]
        for spec in fields(first)
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in [titles, ["---"] * len(titles), *rows])


def settings_tables() -> str:
    """Every method's settings, a section each."""
    sections = (
        ("DALE", "dale", {"`nnUNetTrainerDALE`": DEFAULT, "`_asPrinted`": AS_PRINTED}),
        ("The trust of cases", "case_trust", {"`nnUNetTrainerCaseTrust`, `nnUNetTrainerDALE`": CaseTrustConfig()}),
        ("SVL-DRL", "svl_drl", {"`nnUNetTrainerSVLDRL`": SvlDrlConfig()}),
        ("DKNet", "dknet", {"`nnUNetTrainerDKNet`": DkNetConfig()}),
        ("DK-UXNet", "dk_uxnet", {"`nnUNetTrainerDKUXNet`": DkUxnetConfig()}),
        ("Meta-Weight-Net", "mwnet", {"`nnUNetTrainerMWNet`": MetaWeightConfig()}),
        ("BECO", "beco", {"`nnUNetTrainerBECO`": CoTrainingConfig()}),
        ("ADS", "ads", {"`nnUNetTrainerADS`": AbstainingDiceConfig()}),
    )
    return "\n\n".join(f'## {title}: `"{key}"`\n\n{table(columns)}' for title, key, columns in sections)


def _value(value: object) -> str:
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def _range(spec: Field[Any]) -> str:
    if "choices" in spec.metadata:
        return ", ".join(f'`"{choice}"`' for choice in spec.metadata["choices"])
    low, high = (
        f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"
        for bound in (spec.metadata["low"], spec.metadata["high"])
    )
    return f"{low} to {high}"


def _cell(spec: Field[Any]) -> str:
    return str(spec.metadata["meaning"]).replace("|", "\\|")
