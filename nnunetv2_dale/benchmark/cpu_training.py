"""nnU-Net's ``nnUNetv2_train`` with fewer CPU threads than the machine has cores.

``nnUNetv2_train -device cpu`` takes a thread for each core of the machine, so that trainings side by side slow each
other down. No variable holds it back: ``OMP_NUM_THREADS`` is overruled, and ``OMP_THREAD_LIMIT`` makes training wait
for ever for threads that it does not get. So its question for the number of cores is answered with this worker's share.
"""

from __future__ import annotations

import multiprocessing
import os

THREADS_VARIABLE = "OMP_NUM_THREADS"


def main() -> None:
    """Train with the arguments of ``nnUNetv2_train`` on as many threads as ``OMP_NUM_THREADS`` says."""
    threads = int(os.environ[THREADS_VARIABLE])
    from nnunetv2.run.run_training import run_training_entry

    multiprocessing.cpu_count = lambda: threads
    run_training_entry()


if __name__ == "__main__":
    main()
