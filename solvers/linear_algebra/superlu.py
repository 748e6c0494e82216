"""SuperLU's factors, made and freed by the same thread.

SciPy books the memory of factors with the thread that made them, and a thread that drops the factors of another frees
nothing (scipy issue 15921, SciPy 1.17 still): compiled code calls back from whichever thread is free, so that a
thousand solves of the cavity held 13 GB. Here a few threads of this module make all factors, and each drops its own.
"""

from __future__ import annotations

import atexit
import itertools
import os
import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

MOST = 4  # threads


class _Worker:
    """A thread that does what is put into its queue, one after the other. ``put`` of a SimpleQueue may be called by a
    garbage collection at any moment, in the middle of another ``put`` too.
    """

    def __init__(self, number: int) -> None:
        self.busy = threading.Lock()
        self.queue: SimpleQueue[Any] = SimpleQueue()
        self.thread = threading.Thread(target=self._work, name=f"superlu-{number}", daemon=True)
        self.thread.start()

    def _work(self) -> None:
        while True:
            job = self.queue.get()
            if job is None:
                return
            if callable(job):
                job()
            else:
                job.clear()  # factors that were handed over to be dropped are dropped here
            del job

    def result(self, make: Callable[[], Any]) -> Any:
        """What ``make`` returns or raises."""
        done = threading.Event()
        found: list[Any] = []

        def job() -> None:
            try:
                found.append((make(), None))
            except BaseException as error:
                found.append((None, error))
            done.set()

        self.queue.put(job)
        done.wait()
        value, error = found.pop()  # nothing of it stays with the job
        if error is not None:
            raise error
        return value


class _Workers:
    """The threads of this process; a forked one makes its own."""

    def __init__(self) -> None:
        self.lock, self.all = threading.Lock(), list[_Worker]()
        self.process, self.turn = os.getpid(), itertools.count()

    def take(self) -> _Worker:
        """A thread that has nothing to do, if there may be one; its ``busy`` is held by the caller."""
        with self.lock:
            if self.process != os.getpid():
                self.all, self.process = [], os.getpid()
            for worker in self.all:
                if worker.busy.acquire(blocking=False):
                    return worker
            if len(self.all) < MOST:
                self.all.append(_Worker(len(self.all)))
                self.all[-1].busy.acquire()
                return self.all[-1]
            worker = self.all[next(self.turn) % MOST]
        worker.busy.acquire()
        return worker


_WORKERS = _Workers()
_ALIVE: weakref.WeakSet[Factors] = weakref.WeakSet()


@atexit.register
def _drop_all() -> None:
    """Before Python ends: where a thread is left that owns memory, SciPy's bookkeeping fails while standard output is
    flushed, what was printed last is lost, and the exit code is 120.
    """
    if _WORKERS.process != os.getpid():
        return
    for factors in list(_ALIVE):
        factors.__del__()
    workers, _WORKERS.all = _WORKERS.all, []
    for worker in workers:
        worker.queue.put(None)
        worker.thread.join(1)


class Factors:
    """``scipy.sparse.linalg.splu(matrix, **options)``; ``solve`` and the factors as there.

    Raises:
        RuntimeError: the matrix is exactly singular.
    """

    def __init__(self, matrix: sp.csc_matrix, **options: Any) -> None:
        worker = _WORKERS.take()
        try:
            self._factors: Any = worker.result(lambda: spla.splu(matrix, **options))
        finally:
            worker.busy.release()
        self._worker = worker
        _ALIVE.add(self)

    def solve(self, b: np.ndarray, trans: str = "N") -> np.ndarray:
        """A^-1 b, or A'^-1 b for ``trans`` = "T", of [n] or [n, k]."""
        found: np.ndarray = self._factors.solve(b, trans)
        return found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._factors, name)

    def __del__(self) -> None:
        if "_factors" in self.__dict__:
            # in a list: who hands over an object holds it until the call returns, perhaps longer than the worker does,
            # and would be the one that drops it
            self._worker.queue.put([self.__dict__.pop("_factors")])


def symmetric_lu(matrix: sp.spmatrix, pivot_threshold: float = 0.0) -> Factors:
    """Factors of a matrix of symmetric pattern: a diagonal pivot is taken unless it is smaller than ``pivot_threshold``
    times the largest of its column.

    Raises:
        RuntimeError: the matrix is exactly singular.
    """
    return Factors(
        matrix.tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=pivot_threshold,
        options={"SymmetricMode": True},
    )
