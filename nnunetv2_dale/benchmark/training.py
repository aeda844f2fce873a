"""``python -m nnunetv2_dale.benchmark.training SEED …``: ``nnUNetv2_train …`` with a seed and on few CPU threads.

SEED is a number, or ``none``. Seeded are the first weights and, of each process that loads, the choice of cases and
patches and their augmentation. With several such processes, or on a GPU, two trainings of one seed still differ; those
of two seeds differ as any two. With several GPUs the processes that train draw their own seeds.

``nnUNetv2_train -device cpu`` takes a thread for each core of the machine, so that trainings side by side slow each
other down. No variable holds it back: ``OMP_NUM_THREADS`` is overruled, and ``OMP_THREAD_LIMIT`` makes training wait
for ever for threads that it does not get. So its question for the number of cores is answered with this worker's share.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
from typing import Any

import numpy as np
import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter


def seed_everything(seed: int) -> None:
    """Seed this process and the loaders that it will start."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    draws = np.random.default_rng(seed)
    begin: Any = NonDetMultiThreadedAugmenter.__init__

    def begin_seeded(self: Any, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        self.seeds = [int(draws.integers(2**31)) for _ in self.seeds]  # nnU-Net leaves them to chance

    NonDetMultiThreadedAugmenter.__init__ = begin_seeded


def main() -> None:
    """Train with the arguments of ``nnUNetv2_train`` that follow the seed."""
    seed = sys.argv.pop(1)
    if seed != "none":
        seed_everything(int(seed))
    from nnunetv2.run.run_training import run_training_entry

    if "cpu" in sys.argv:
        threads = int(os.environ["OMP_NUM_THREADS"])
        multiprocessing.cpu_count = lambda: threads
    run_training_entry()


if __name__ == "__main__":
    main()
