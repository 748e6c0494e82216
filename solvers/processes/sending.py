"""Tasks on an executor: few at a time, what is done is kept first, and a worker that is lost is told of its task."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any, Generic, TypeVar

TRIES = 3  # workers that one task may take along
KEPT = "What was solved until then is kept where there is a file"
COUNTED = 5.0  # seconds after which they are counted again: a cluster grows
UNKNOWN = 32  # workers of an executor that does not say how many it has
Label = TypeVar("Label")


class Lost(RuntimeError):
    """The worker that was busy with a task is no more: how it ended, in words that follow "the solver"."""


def check_executor(executor: Executor | None) -> None:
    """Check that what is given runs tasks, and that its processes can run JAX.

    Raises:
        ValueError: no executor; processes made by a fork, which hang at their first solve once JAX has run in this one.
    """
    if executor is None:
        return
    if not callable(getattr(executor, "submit", None)):
        raise ValueError(f"executor= is a concurrent.futures.Executor, such as WorkerProcesses(2), not {executor!r}")
    if callable(getattr(executor, "get_executor", None)):  # it has a submit of its own, with futures of its own
        raise ValueError("executor= is a concurrent.futures.Executor: of a Dask client client.get_executor(pure=False)")
    context: Any = getattr(executor, "_mp_context", None)
    if isinstance(executor, concurrent.futures.ProcessPoolExecutor) and context.get_start_method() == "fork":
        raise ValueError(
            "these processes are started by a fork, which JAX does not survive: they would hang. Make them with "
            "ProcessPoolExecutor(..., mp_context=multiprocessing.get_context('spawn'))"
        )


def workers_of(executor: Executor) -> int:
    """How many tasks it runs at a time, where that is known."""
    client = getattr(executor, "_client", None)  # of Dask
    if client is not None:
        return max(1, sum(client.ncores().values()))
    return int(getattr(executor, "_max_workers", UNKNOWN))


class Sent(Generic[Label]):
    """Tasks that an executor was given, each with a label; two for every worker, so that none waits for the next."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.workers, self._counted = workers_of(executor), time.monotonic()
        self._running: dict[Future[Any], Label] = {}

    def __len__(self) -> int:
        return len(self._running)

    @property
    def room(self) -> bool:
        if time.monotonic() > self._counted + COUNTED:
            self.workers, self._counted = workers_of(self._executor), time.monotonic()
        return len(self._running) < 2 * self.workers

    def send(self, label: Label, fn: Callable[..., Any], *args: Any) -> None:
        try:
            self._running[self._executor.submit(fn, *args)] = label
        except BrokenExecutor as error:
            raise _broken(error) from error

    def ready(self) -> Iterator[tuple[Label, Any]]:
        """Waits for some: their labels and results, or how a worker was ``Lost``. An error comes last."""
        done = concurrent.futures.wait(self._running, return_when=concurrent.futures.FIRST_COMPLETED).done
        for future in sorted(done, key=_failed):
            if future.cancelled():
                raise ConnectionError(f"the executor gave up its tasks: it, or its scheduler, was shut down. {KEPT}")
            error = future.exception()
            if isinstance(error, BrokenExecutor):
                raise _broken(error) from error
            label = self._running.pop(future)
            lost = None if error is None else _lost(error)
            yield label, future.result() if lost is None else lost

    def done(self) -> Iterator[tuple[Label, Any]]:
        """What is there without waiting."""
        for future in [f for f in self._running if f.done() and not _failed(f)]:
            yield self._running.pop(future), future.result()

    def cancel(self) -> None:
        for future in self._running:
            future.cancel()


def _failed(future: Future[Any]) -> bool:
    return future.cancelled() or future.exception() is not None


def _lost(error: BaseException) -> Lost | None:
    if isinstance(error, Lost):
        return error
    if type(error).__name__ == "KilledWorker":  # Dask has tried it on several by then
        return Lost("ended its workers, as many as the cluster gives it")
    return None


def _broken(error: BrokenExecutor) -> BrokenExecutor:
    return type(error)(
        f"a worker of the executor ended, and it takes no further tasks ({' '.join(str(error).split())}). {KEPT}; "
        "assay.WorkerProcesses(N) replaces a process that ends, and has its rows solved again"
    )
