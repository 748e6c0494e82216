"""Calls with a time limit, in processes of ours: one that hangs is killed together with its process."""

from __future__ import annotations

import pickle
import threading
import weakref
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from ..answers import Refused, Unanswered, reason, words
from .child import begin_child
from .process import TOP_LEVEL, CannotStart, Process, end_all

__all__ = ["CannotStart", "TimedCalls"]

_serving: list[bool] = []  # in a process of ours: what its function's module makes starts no further ones


class TimedCalls:
    """``calls(*args)`` is ``function(*args)``, computed in a process of ours within ``limit`` seconds.

    A process is started at the first call, used again by the later ones, and killed with all that it started where a
    call takes longer. Calls from several threads get a process each. It can be pickled; processes are not.
    """

    def __init__(self, function: Callable[..., Any], limit: float, whose: str) -> None:
        """
        Raises:
            ValueError: the function cannot be sent to another process.
        """
        try:
            self._pickled = pickle.dumps(function)
        except Exception as error:
            raise ValueError(
                f"with a time limit {whose} runs in a process of its own, to which it cannot be sent "
                f"({words(error)}): {TOP_LEVEL}"
            ) from None
        self.limit, self._whose, self._function = limit, whose, function
        self._prepare()

    def _prepare(self) -> None:
        self._idle: list[Process] = []
        self._lock = threading.Lock()
        self._end = weakref.finalize(self, end_all, self._idle)

    def __getstate__(self) -> dict[str, Any]:
        return {"_pickled": self._pickled, "limit": self.limit, "_whose": self._whose}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._function = pickle.loads(self._pickled)
        self._prepare()

    def __call__(self, *args: Any) -> Any:
        """
        Raises:
            Unanswered: no answer within the limit, the process ended, or the function raised.
            Refused: the function did.
            CannotStart: there is no process that could be asked.
        """
        if _serving:  # a problem at the top level of the function's own module, made anew by importing that
            return self._function(*args)
        with self._lock:
            process = self._idle.pop() if self._idle else None
        if process is None:
            process = Process(_serve, (self._pickled,), self._whose)
        try:
            process.wait_until_ready()
            kind, answer = process.ask(args, self.limit)
        except BaseException:  # what it is busy with is not known: also after an interruption
            process.end()
            raise
        with self._lock:
            self._idle.append(process)
        if kind == "answered":
            return answer
        raise (Refused if kind == "refused" else Unanswered)(answer)


def _serve(pickled: bytes, pipe: Connection) -> None:
    """What runs in the process: one answer a question, until the other end is closed."""
    begin_child()
    _serving.append(True)
    try:
        function = pickle.loads(pickled)
    except BaseException as error:
        pipe.send(("closed", words(error)))
        return
    pipe.send(("ready", ""))
    while True:
        try:
            args = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(_answer(function, args))


def _answer(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[str, Any]:
    try:
        return "answered", function(*args)
    except BaseException as error:  # sys.exit of foreign code as well
        return "refused" if isinstance(error, Refused) else "failed", reason(error)
