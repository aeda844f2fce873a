"""The random draws of a forward (dropout), for another forward that is to differ in its weights alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

SameDraws = Callable[[], AbstractContextManager[object]]


def draws_from_here(device: torch.device) -> SameDraws:
    """Make contexts in which the generators draw what they draw next; after each they go on as if it had not been.

    Args:
        device: of the forward; the processor's generator is replayed too.
    """
    of_device = getattr(torch, device.type, None)  # torch.cuda, torch.mps; there is none for "meta"
    generators: list[Any] = [each for each in (torch, of_device) if hasattr(each, "get_rng_state")]
    kept = [each.get_rng_state() for each in generators]

    def set_all(states: list[Any]) -> None:
        for each, state in zip(generators, states, strict=True):
            each.set_rng_state(state)

    @contextmanager
    def again() -> Iterator[None]:
        now = [each.get_rng_state() for each in generators]
        set_all(kept)
        try:
            yield
        finally:
            set_all(now)

    return again
