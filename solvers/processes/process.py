"""A process of ours and the pipe to it: begun, asked, and killed together with all that it started."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..answers import Unanswered, words

START = 300.0  # seconds in which a process must be there: it imports what is asked of it
TOP_LEVEL = "define it at the top level of a module"


class CannotStart(ValueError):
    """A process of ours does not come up, whatever the input: no failed solve, but a mistake to be mended."""


class Process:
    """Started at once; ready, which takes the seconds of its imports, after ``wait_until_ready``."""

    def __init__(self, target: Callable[..., None], args: tuple[Any, ...], whose: str, daemon: bool = True) -> None:
        """
        Args:
            target: what runs there, ``target(*args, pipe)``: it says ("ready", "") first, or ("closed", why).
            whose: the words that a message calls it by.
            daemon: it starts no processes itself, and ends with this one.
        """
        context = multiprocessing.get_context("spawn")  # JAX does not survive a fork
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=target, args=(*args, theirs), daemon=daemon)
        self._whose, self._ready = whose, False
        try:
            with _deaf():
                self._process.start()
        except Exception as error:
            raise CannotStart(f"no process could be started for {whose}: {words(error)}") from error
        theirs.close()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def wait_until_ready(self) -> None:
        """
        Raises:
            CannotStart: it does not come up; it was ended.
        """
        if self._ready:
            return
        try:
            kind, said = self._received(START)
        except Unanswered as error:
            self.end()
            raise CannotStart(
                f"{self._whose} {error} before it was asked anything: that process imports your script again, which is "
                'to make the problem and to run it under if __name__ == "__main__": alone'
            ) from None
        if kind != "ready":
            self.end()
            raise CannotStart(f"{self._whose} cannot be opened in a process of its own ({said}): {TOP_LEVEL}")
        self._ready = True

    def ask(self, question: Any, limit: float | None = None) -> Any:
        """Its answer.

        Raises:
            Unanswered: there was none within ``limit`` seconds, or the process ended.
        """
        try:
            self._pipe.send(question)
        except OSError:  # it ended between two calls
            raise Unanswered(self._how_it_ended()) from None
        return self._received(limit)

    def _received(self, limit: float | None) -> Any:
        try:
            if not self._pipe.poll(limit):
                raise Unanswered(f"did not answer within {limit:g} s")
            return self._pipe.recv()
        except (EOFError, OSError):
            raise Unanswered(self._how_it_ended()) from None

    def _how_it_ended(self) -> str:
        self._process.join(5)
        code = self._process.exitcode
        if code is not None and code < 0:
            return f"ended its process by {signal.Signals(-code).name}"
        return f"ended its process (exit code {code})"

    def kill(self) -> None:
        """Kill it, and what it started; who waits for its answer is told."""
        if self._process.pid is not None and self._process.exitcode is None:
            try:
                if os.getpgid(self._process.pid) == self._process.pid:  # else it has not come to begin_child yet
                    os.killpg(self._process.pid, signal.SIGKILL)
            except (AttributeError, OSError):  # Windows has no groups; or it ended just now
                pass
            self._process.kill()

    def end(self) -> None:
        """Kill it, and what it started, where nobody waits for an answer."""
        self._pipe.close()
        self.kill()
        self._process.join(5)


def end_all(processes: list[Process]) -> None:
    """End them, and leave the list empty."""
    while processes:
        processes.pop().end()


@contextmanager
def _deaf() -> Iterator[None]:
    """What is started here is deaf to Ctrl-C from its first line on: a terminal sends it to all."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
