"""Run one function over the cases of a dataset, in one process or several; results keep the order of the cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.worker_pool import worker_pool

Job = TypeVar("Job")
Result = TypeVar("Result")


class CaseRunner:
    """Calls a function for every job; made by `case_runner`."""

    def __init__(self, executor: ProcessPoolExecutor | None) -> None:
        self._executor = executor

    def run(self, function: Callable[[Job], Result], jobs: Sequence[Job], description: str) -> list[Result]:
        """The results in the order of `jobs`; with several processes, function and jobs must pickle.

        Raises:
            UserError: a worker process was killed.
        """
        results = map(function, jobs) if self._executor is None else self._executor.map(function, jobs)
        try:
            return list(tqdm(results, total=len(jobs), desc=description, unit="case", leave=False, disable=None))
        except BrokenProcessPool as error:
            raise UserError("a worker process was killed, most likely for lack of memory; try a smaller -np") from error


@contextmanager
def case_runner(processes: int) -> Iterator[CaseRunner]:
    """Workers that are started once and end with the block; 1 process works in this one."""
    if processes == 1:
        yield CaseRunner(None)
        return
    with worker_pool(processes, _one_thread_each) as executor:
        yield CaseRunner(executor)


def _one_thread_each() -> None:
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
