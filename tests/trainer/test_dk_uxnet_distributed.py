"""Distributed training of DK-UXNet where ranks have different numbers of labelled samples."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.trainer.distributed import RANKS, run_ranks
from tests.trainer.distributed_dk_uxnet import run_rank


@pytest.mark.usefixtures("nnunet")
def test_ranks_stay_equal_whichever_of_them_have_labels(tmp_path: Path) -> None:
    """No rank waits for a gradient or a sum that another leaves out."""
    run_ranks(run_rank, tmp_path)
    for trained in (False, True, "dknet"):
        first, second = (torch.load(tmp_path / f"weights_{trained}_{rank}.pth") for rank in range(RANKS))
        assert all(torch.equal(weight, second[name]) for name, weight in first.items())
        assert all(weight.isfinite().all() for weight in first.values())
