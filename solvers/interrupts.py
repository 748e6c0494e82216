"""Ctrl-C while compiled code runs: it comes out as KeyboardInterrupt where the compiled code was called.

Compiled code calls Python (``direct.callback_float64``) from inside XLA, which makes an error of its own of whatever is
raised there. So such functions are wrapped by ``deferred``: what they raise beyond ``Exception`` (Ctrl-C, sys.exit) is
kept, this call and all further ones answer NaN, and ``finished`` raises it as soon as the compiled call returns.

XLA compiles on threads of its own. Waiting for them can be interrupted, they cannot; and an interpreter that exits
meanwhile takes their client away, which ends in a segmentation fault. ``_settle`` waits for them at exit.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.monitoring
import numpy as np

COMPILED = "/jax/core/compile/backend_compile_duration"
QUIET = 0.3  # seconds without work on other threads, after which they count as done
LONGEST = 120.0  # seconds that an exit is held up

_kept: list[BaseException] = []
_left: list[threading.Thread] = []  # that compile what nobody waits for
_abandoned: list[str] = []  # compilations that were interrupted


def deferred(fn: Callable[..., np.ndarray], shape: tuple[int, ...]) -> Callable[..., np.ndarray]:
    """``fn``, of float64 arrays, for compiled code to call: answers NaN where it may not raise.

    And where its arguments arrive in single precision: JAX may hand them over in a thread of its own, which heeds the
    process's 64-bit mode, and foreign code may have switched that off meanwhile.
    """

    def call(*args: Any) -> np.ndarray:
        numbers = [np.asarray(x) for x in args]
        if not _kept and all(x.dtype == np.float64 for x in numbers):
            try:
                return np.asarray(fn(*numbers), dtype=np.float64).reshape(shape)
            except Exception:
                raise
            except BaseException as error:
                _kept.append(error)
        return np.full(shape, np.nan)

    return call


def finished(compiled: Callable[..., Any], *args: Any) -> Any:
    """``compiled(*args)``, computed; raises what Python code that it called would have raised."""
    try:
        result = jax.block_until_ready(compiled(*args))
    except jax.errors.JaxRuntimeError as error:
        raise_kept()
        if "KeyboardInterrupt" in str(error):  # it came between XLA and the function that it calls
            raise KeyboardInterrupt from None
        raise
    except BaseException:
        _kept.clear()
        raise
    raise_kept()
    return result


def raise_kept() -> None:
    """Raise what a function that compiled code called was not allowed to, if nobody has yet."""
    try:
        error = _kept.pop()
    except IndexError:
        return
    _kept.clear()
    raise error


def _note_compilation(event: str, duration_secs: float, **kwargs: str | int) -> None:
    if event == COMPILED and sys.exc_info()[0] is not None:  # the wait for it was cut short
        _abandoned.append(event)


def abandon(thread: threading.Thread) -> None:
    """Say that nobody waits any longer for the compilation that goes on in this thread."""
    _left.append(thread)


def _settle() -> None:
    """At exit: wait until compilations that nobody waits for are done, which shows in the other threads' work.

    One that takes too long ends with the process, at once: on the way out it would end it with a fault.
    """
    deadline = time.monotonic() + LONGEST
    for thread in _left:
        thread.join(max(deadline - time.monotonic(), 0.0))
    if any(thread.is_alive() for thread in _left):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(130)
    deadline = time.monotonic() + (LONGEST if _abandoned else 0.0)
    while time.monotonic() < deadline:
        before = time.process_time() - time.thread_time()
        time.sleep(QUIET)
        if time.process_time() - time.thread_time() - before < 0.01 * QUIET:
            return


jax.monitoring.register_event_duration_secs_listener(_note_compilation)
atexit.register(_settle)  # after JAX's own, so that it runs before them
