"""The numbers of an iteration, and what an epoch's log says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from nnunetv2_dale.dale.alternating_step import StepRecord

SCALARS = tuple(spec.name for spec in fields(StepRecord) if spec.name != "confidence_histogram")


def numbers_of(record: StepRecord) -> Tensor:
    """The scalars in the order of `SCALARS`, then the histogram; one tensor on the device."""
    scalars = torch.stack([getattr(record, name).float() for name in SCALARS])
    return torch.cat([scalars, record.confidence_histogram])


def numbers_of_epoch(outputs: Sequence[dict[str, Any]], over_ranks: bool) -> tuple[dict[str, float], list[float]]:
    """Means over an epoch's iterations (and ranks); of `non_finite` the count. And the mean histogram.

    Args:
        outputs: of the trainer's iterations, with the array of `numbers_of` under "dale".
        over_ranks: average over the ranks of the default process group.
    """
    values = np.mean([output["dale"] for output in outputs], axis=0)
    if over_ranks:
        gathered: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(gathered, values)
        values = np.mean(gathered, axis=0)
    numbers = dict(zip(SCALARS, values.tolist(), strict=False))
    numbers["non_finite"] = round(numbers["non_finite"] * len(outputs), 3)
    return numbers, [round(part, 3) for part in values[len(SCALARS) :].tolist()]
