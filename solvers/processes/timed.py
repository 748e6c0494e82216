"""Calls with a time limit, in processes of ours: one that hangs is killed together with its process."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import weakref
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from ..answers import Refused, Unanswered, reason, words
from .child import begin_child

START = 300.0  # seconds in which a process must be there: it imports what the function's module imports
TOP_LEVEL = "define it at the top level of a module"


class CannotStart(ValueError):
    """A process of ours does not come up, whatever the input: no failed solve, but a mistake to be mended."""


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
        self._idle: list[_Process] = []
        self._lock = threading.Lock()
        self._end = weakref.finalize(self, _end_all, self._idle)

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
            process = _Process(self._pickled, self._whose)
        try:
            kind, answer = process.ask(args, self.limit)
        except BaseException:  # what it is busy with is not known: also after an interruption
            process.end()
            raise
        with self._lock:
            self._idle.append(process)
        if kind == "answered":
            return answer
        raise (Refused if kind == "refused" else Unanswered)(answer)


class _Process:
    """One process, and the pipe to it."""

    def __init__(self, pickled: bytes, whose: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(pickled, theirs), daemon=True)
        try:
            self._process.start()
        except Exception as error:
            raise CannotStart(f"no process could be started for {whose}: {words(error)}") from error
        theirs.close()
        try:
            kind, said = self._received(START)
        except Unanswered as error:
            self.end()
            raise CannotStart(
                f"{whose} {error} before it was asked anything: that process imports your script again, which is "
                'to make the problem and to run it under if __name__ == "__main__": alone'
            ) from None
        if kind != "ready":
            self.end()
            raise CannotStart(f"{whose} cannot be opened in a process of its own ({said}): {TOP_LEVEL}")

    def ask(self, args: tuple[Any, ...], limit: float) -> tuple[str, Any]:
        try:
            self._pipe.send(args)
        except OSError:  # it ended between two calls
            raise Unanswered(self._how_it_ended()) from None
        return self._received(limit)

    def _received(self, limit: float) -> tuple[str, Any]:
        try:
            if not self._pipe.poll(limit):
                raise Unanswered(f"did not answer within {limit:g} s")
            found: tuple[str, Any] = self._pipe.recv()
            return found
        except (EOFError, OSError):
            raise Unanswered(self._how_it_ended()) from None

    def _how_it_ended(self) -> str:
        self._process.join(5)
        code = self._process.exitcode
        if code is not None and code < 0:
            return f"ended its process by {signal.Signals(-code).name}"
        return f"ended its process (exit code {code})"

    def end(self) -> None:
        """Kill it, and what it started."""
        self._pipe.close()
        if self._process.pid is not None and self._process.exitcode is None:
            try:
                if os.getpgid(self._process.pid) == self._process.pid:  # else it has not come to begin_child yet
                    os.killpg(self._process.pid, signal.SIGKILL)
            except (AttributeError, OSError):  # Windows has no groups; or it ended just now
                pass
            self._process.kill()
        self._process.join(5)


def _end_all(processes: list[_Process]) -> None:
    while processes:
        processes.pop().end()


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
