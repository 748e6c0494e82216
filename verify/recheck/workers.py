"""Leaves proved in parts, here or by an executor's processes, with one clock for all of them."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, ProcessPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import numpy as np

from .claims import LeafBound
from .halving import BUDGET, Leaves, prove

AT_ONCE = 64  # leaves of one part
_ended: Any = None  # in a process of ``processes``: set where the others are to stop


@contextmanager
def processes(count: int) -> Iterator[Executor | None]:
    """So many processes, or none for one. An interrupt ends them at their next pass."""
    if count <= 1:
        yield None
        return
    context = multiprocessing.get_context("spawn")  # JAX does not survive a fork
    ended = context.Event()
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(ended,))
    try:
        with _no_interrupts():
            pool.submit(int)  # starts them all
        yield pool
    except BaseException:
        ended.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """What is started here is deaf to Ctrl-C from its first line on: a terminal sends it to all."""
    if threading.current_thread() is not threading.main_thread():  # only there may it be set
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _begin(ended: Any) -> None:
    global _ended
    _ended = ended
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when


def _part(bound: LeafBound, leaves: Leaves, boxes: int, deadline: float | None) -> tuple[list[str], np.ndarray]:
    def stop() -> bool:
        return (_ended is not None and _ended.is_set()) or (deadline is not None and time.time() > deadline)

    return prove(bound, leaves, boxes, stop)


def prove_all(
    bound: LeafBound,
    leaves: Leaves,
    boxes: int,
    seconds: float | None,
    executor: Executor | None,
    progress: Callable[[int, int], object] | None,
) -> tuple[list[str], int]:
    """What became of every leaf (``halving.prove``), and how many boxes that took together.

    Args:
        boxes: at most so many for one leaf.
        seconds: after which to stop; None for no such limit.
        executor: leaves are spread over its workers: threads, or processes that were not forked from this one.
        progress: told how many leaves are done, and how many there are.
    """
    n = len(leaves)
    deadline = None if seconds is None else time.time() + seconds
    size = AT_ONCE if executor is None else max(1, min(AT_ONCE, n // 16))
    parts = [np.arange(i, n, -(-n // size)) for i in range(-(-n // size))]  # every part from all over the tree
    answers, spent, done = [BUDGET] * n, 0, 0

    def take(rows: np.ndarray, found: tuple[list[str], np.ndarray]) -> None:
        nonlocal spent, done
        for i, answer in zip(rows, found[0], strict=True):
            answers[i] = answer
        spent, done = spent + int(found[1].sum()), done + len(rows)
        if progress is not None:
            progress(done, n)

    if progress is not None:
        progress(0, n)
    if executor is None:
        for rows in parts:
            take(rows, _part(bound, leaves[rows], boxes, deadline))
        return answers, spent
    waiting = {executor.submit(_part, bound, leaves[rows], boxes, deadline): rows for rows in parts}
    try:
        while waiting:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                take(waiting.pop(future), future.result())
    finally:
        for future in waiting:
            future.cancel()
    return answers, spent
