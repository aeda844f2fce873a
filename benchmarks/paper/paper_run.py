"""What tells one training of the paper's setting from another."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class PaperRun:
    """One training. A seed is the network's first weights, the order of the images and their augmentation."""

    data: str  # polyps or nodules
    labels: str  # clean, or the noise of the training labels
    network: str
    arm: str
    epochs: int
    seed: int = 1

    @property
    def key(self) -> str:
        return "/".join(str(each) for each in vars(self).values())

    @property
    def file_name(self) -> str:
        """Of the checkpoint, the same for every length."""
        parts = [self.data, self.labels, self.network, self.arm, f"seed{self.seed}"]
        return re.sub(r"[^A-Za-z0-9+]+", "_", "_".join(parts))
