"""Writes docs/settings.md from the configurations in the code: `python docs/settings_page.py`.

A test holds the page to what this gives (tests/docs/test_settings.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from nnunetv2_dale.case_trust.config import CaseTrustConfig
from nnunetv2_dale.dale.config import ADAPTED, PRINTED
from nnunetv2_dale.dk_uxnet.config import DkUxnetConfig
from nnunetv2_dale.rivals.config import AbstainingDiceConfig, CoTrainingConfig, MetaWeightConfig
from nnunetv2_dale.svl_drl.config import SvlDrlConfig

PAGE = Path(__file__).resolve().parent / "settings.md"
INTRODUCTION = """# Settings

Each method has its settings. A trainer has values for them, and the plans of a dataset can change them.
This page is written from the code by `python docs/settings_page.py`.

## How to change one

Open the plans file, `nnUNet_preprocessed/DATASET/nnUNetPlans.json`. Add an object to the configuration that you train:

    "configurations": {"2d": {"dale": {"patch_size": 8, "view": "masked_loss"}, ...}}

Every training with these plans then uses the values. They are stored with the model. A name or a value that does not
exist stops the training at its start, and the message lists the valid ones.

To keep the old plans, copy the file to another name and train with `-p`:

    cp nnUNetPlans.json nnUNetPlansSmallPatches.json     # and set "plans_name" in it to the same name
    nnUNetv2_train 4 2d 0 -tr nnUNetTrainerDALE -p nnUNetPlansSmallPatches
"""


def table(columns: Mapping[str, Any]) -> str:
    """The settings of one configuration as Markdown.

    Args:
        columns: the heading of each column of values and the configuration that has them, all of one dataclass whose
            fields carry `meaning`, and either `choices` or `low` and `high`, as metadata.
    """
    first, *others = columns.values()
    assert all(type(other) is type(first) for other in others)
    titles = ["setting", *columns, "range", "meaning"]
    rows = [
        [f"`{spec.name}`", *(_value(getattr(each, spec.name)) for each in columns.values()), _range(spec), _cell(spec)]
        for spec in fields(first)
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in [titles, ["---"] * len(titles), *rows])


def page() -> str:
    """The whole of docs/settings.md."""
    sections = (
        ("DALE", "dale", {"`nnUNetTrainerDALE`": ADAPTED, "`_asPrinted`": PRINTED}),
        ("The trust of cases", "case_trust", {"`nnUNetTrainerCaseTrust`, `nnUNetTrainerDALE`": CaseTrustConfig()}),
        ("SVL-DRL", "svl_drl", {"`nnUNetTrainerSVLDRL`": SvlDrlConfig()}),
        ("DK-UXNet", "dk_uxnet", {"`nnUNetTrainerDKUXNet`": DkUxnetConfig()}),
        ("Meta-Weight-Net", "mwnet", {"`nnUNetTrainerMWNet`": MetaWeightConfig()}),
        ("BECO", "beco", {"`nnUNetTrainerBECO`": CoTrainingConfig()}),
        ("ADS", "ads", {"`nnUNetTrainerADS`": AbstainingDiceConfig()}),
    )
    tables = [f'## {title}: `"{key}"`\n\n{table(columns)}\n' for title, key, columns in sections]
    return "\n".join([INTRODUCTION, *tables])


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


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
