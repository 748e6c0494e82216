"""Processes as an executor: one that is lost takes its own task along and nothing else, and is replaced."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize
from types import TracebackType
from typing import Any, TypeVar

from ..answers import Unanswered, words
from .child import begin_child
from .process import Process, end_all
from .sending import Lost

T = TypeVar("T")


class WorkerProcesses(Executor):
    """``with WorkerProcesses(2) as workers: sample(problem, 200, executor=workers)``.

    A ``concurrent.futures.ProcessPoolExecutor`` is broken for good when one of its processes ends; here that is told of
    the one task that the process was busy with (``Lost``), and another takes its place. Left by an error, busy
    processes are killed with all that they started.
    """

    def __init__(self, count: int) -> None:
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"the number of processes is a whole number of at least 1, not {count!r}")
        self._max_workers = count  # by the name that the executors of the standard library have
        self._threads = ThreadPoolExecutor(count)  # each waits for the process that has its task
        self._idle: list[Process] = []
        self._all: list[Process] = []
        self._lock = threading.Lock()
        self._ended = False
        self._end = Finalize(self, end_all, (self._all,), exitpriority=10)  # before they are waited for at exit

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        with self._lock:
            if not self._idle and len(self._all) < self._max_workers and not self._ended:
                self._idle.append(self._started())  # it imports while the task is on its way
        return self._threads.submit(self._run, (fn, args, kwargs))

    def _started(self) -> Process:
        """Another process; the lock is held."""
        process = Process(_serve, (), "a worker's process", daemon=False)  # a solver may start its own
        self._all.append(process)
        return process

    def _run(self, task: tuple[Any, ...]) -> Any:
        with self._lock:
            if self._ended:
                raise Lost("was stopped")
            process = self._idle.pop() if self._idle else self._started()
        try:
            process.wait_until_ready()
            kind, answer, where = process.ask(task)
        except BaseException as error:
            with self._lock:
                if process in self._all:
                    self._all.remove(process)
            process.end()
            if isinstance(error, Unanswered):
                raise Lost(str(error)) from None
            raise
        with self._lock:
            self._idle.append(process)
        if kind == "answered":
            return answer
        if isinstance(answer, ValueError) and where.split(".")[0] != "assay":  # no mistake that its message mends
            raise RuntimeError(words(answer)) from answer
        raise answer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)
        if wait:
            with self._lock:
                self._ended = True
                self._idle.clear()
                end_all(self._all)

    def kill(self) -> None:
        """Stop all processes, busy or not; what they were busy with is lost."""
        with self._lock:
            self._ended = True
            for process in self._all:
                process.kill()
        self.shutdown(cancel_futures=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.shutdown()
        else:
            self.kill()


def _serve(pipe: Connection) -> None:
    """What runs in the process: one task at a time, until the other end is closed."""
    begin_child()
    pipe.send(("ready", ""))
    while True:
        try:
            fn, args, kwargs = pipe.recv()
        except (EOFError, OSError):
            return
        except Exception as error:  # it cannot be opened here
            pipe.send(("raised", ValueError(f"a worker's process cannot open its task ({words(error)})"), "assay"))
            continue
        try:
            answer: tuple[str, Any, str] = "answered", fn(*args, **kwargs), ""
        except BaseException as error:  # sys.exit of foreign code as well
            answer = "raised", *_told(error)
        try:
            pipe.send(answer)
        except (EOFError, OSError):
            return
        except Exception as error:  # what cannot be pickled
            pipe.send(("raised", RuntimeError(f"{words(error)}; the answer was {answer[1]!r}"[:1000]), ""))


def _told(error: BaseException) -> tuple[BaseException, str]:
    """An error as it can be sent, with where it came from as a note, and the module that raised it."""
    *_, (last, _) = traceback.walk_tb(error.__traceback__)
    error.add_note("in a worker's process:\n" + "".join(traceback.format_tb(error.__traceback__)))
    where = str(last.f_globals.get("__name__", ""))
    return error, "" if where == __name__ else where  # called from here and written in C
