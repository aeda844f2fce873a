"""One loop over the cases of a dataset: in this process or in workers, with a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from typing import Any, TypeVar

from tqdm import tqdm

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.worker_pool import worker_pool

Result = TypeVar("Result")
Job = tuple[str, tuple[Any, ...]]
"""The name of a case, and what its work is called with."""


def run_cases(
    work: Callable[..., Result], jobs: Sequence[Job], processes: int, what: str
) -> Iterator[tuple[str, Result]]:
    """Do `work(*arguments)` for every case; names and results come in the order of the jobs, whatever `processes` is.

    An error of `work` comes in its case's turn. A loop that ends early (Ctrl-C, an error) ends the workers at once.

    Args:
        work: a function of a module; in workers, what it takes and returns is pickled.
        processes: cases at once; 1 works in this process, more in workers that use one thread each.
        what: is done, beside the bar.
    Raises:
        UserError: a worker was killed; the sentence names the cases that were in work.
    """
    processes = min(processes, len(jobs))
    alone = ((case, work(*arguments)) for case, arguments in jobs)
    results = alone if processes <= 1 else _in_workers(work, jobs, processes)
    with closing(results), tqdm(total=len(jobs), desc=what, unit="case", leave=False, disable=None) as bar:
        for case, result in results:
            bar.update()
            yield case, result


def _in_workers(
    work: Callable[..., Result], jobs: Sequence[Job], processes: int
) -> Generator[tuple[str, Result], None, None]:
    futures: list[tuple[str, Future[Result]]] = []
    try:
        with worker_pool(processes, _one_thread_each, (work,), preload=[work.__module__]) as pool:
            for case, arguments in jobs:
                futures.append((case, pool.submit(work, *arguments)))
            for case, future in futures:
                yield case, future.result()
    except BrokenProcessPool as error:
        # Cases start in order: those in work are the first of those without a result.
        cut_off = [case for case, future in futures if isinstance(future.exception(), BrokenProcessPool)]
        raise UserError(
            f"a worker process was killed at case {' or '.join(cut_off[:processes])}, most likely for lack of memory; "
            "try a smaller -np"
        ) from error


def _one_thread_each(work: Callable[..., object]) -> None:
    """As the worker starts, when the module of `work` is imported."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
