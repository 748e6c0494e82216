"""--workers: solves in processes of their own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Annotated

import typer

from ..solvers.processes.child import begin_child

Workers = Annotated[
    int | None, typer.Option("--workers", min=1, metavar="N", help="Solve in N processes at a time; here if left out.")
]


@contextmanager
def pool(workers: int | None) -> Iterator[Executor | None]:
    """An executor of so many processes; None for none. Where its work is given up they are stopped, busy or not."""
    if workers is None:
        yield None
        return
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=begin_child)
    try:
        yield executor
    except BaseException:
        processes = list((executor._processes or {}).values())
        executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()
        raise
    executor.shutdown()
