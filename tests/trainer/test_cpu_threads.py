"""A training on the CPU takes the threads that the environment allows."""

from __future__ import annotations

import pytest
import torch

from nnunetv2_dale.trainer.case_trust import nnUNetTrainerCaseTrust
from nnunetv2_dale.trainer.cpu_threads import THREADS_VARIABLE, take_allowed_threads
from tests.trainer.fixtures import make_trainer


@pytest.mark.parametrize(
    ("value", "threads"), [("3", 3), (" 2 ,1", 2), ("", None), ("0", None), ("-1", None), ("many", None), (None, None)]
)
def test_the_variable_decides_where_it_is_a_number(value: str | None, threads: int | None, monkeypatch) -> None:
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(THREADS_VARIABLE, value)
    torch.set_num_threads(5)
    assert take_allowed_threads() == threads
    assert torch.get_num_threads() == (threads or 5)


@pytest.mark.usefixtures("nnunet")
def test_a_trainer_takes_back_what_nnunet_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """nnU-Net sets the threads to the machine's cores before it makes the trainer."""
    monkeypatch.setenv(THREADS_VARIABLE, "2")
    torch.set_num_threads(7)
    make_trainer(nnUNetTrainerCaseTrust).initialize()
    assert torch.get_num_threads() == 2
