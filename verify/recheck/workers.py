"""Leaves proved in parts, here or by an executor's workers, with one clock for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor

import numpy as np

from ...solvers.processes.sending import TRIES, Lost, Sent
from .claims import LeafBound
from .halving import BUDGET, Leaves, prove

AT_ONCE = 64  # leaves of one part


def _part(
    bound: LeafBound, leaves: Leaves, boxes: int, deadline: float | None, lost: int = 0
) -> tuple[list[str], np.ndarray]:
    return prove(bound, leaves, boxes, lambda: deadline is not None and time.time() > deadline)


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
        seconds: after which to stop; None for no such limit. Workers on other machines need clocks that agree.
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
    waiting = [(rows, 0) for rows in reversed(parts)]
    sent = Sent[tuple[np.ndarray, int]](executor)
    try:
        while waiting or len(sent):
            while waiting and sent.room:
                rows, lost = waiting.pop()
                sent.send((rows, lost), _part, bound, leaves[rows], boxes, deadline, lost)
            for (rows, lost), found in sent.ready():
                if not isinstance(found, Lost):
                    take(rows, found)
                elif lost + 1 < TRIES:
                    waiting.append((rows, lost + 1))
                else:
                    take(rows, ([f"lost with its worker, {TRIES} times: it {found}"] * len(rows), np.zeros(1, int)))
    finally:
        sent.cancel()
    return answers, spent
