"""Solves of many inputs, row by row, here or wherever an executor runs."""

from __future__ import annotations

import concurrent.futures
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Float

from ..answers import LONGEST
from ..precision import in_float64
from ..problem import Attempt, Problem
from .sending import TRIES, Lost, Sent

TOGETHER = 32  # rows of one batch: a problem remembers the reasons of its last failures alone
SECONDS = 0.2  # of work that is sent at a time: an interruption may lose as much for every worker
MOST = 256  # rows that are sent at a time
IN_FLIGHT = 1024  # rows that are on their way, of all workers together
BYTES = 1 << 25  # of fields that come back at a time
Solved = tuple[Attempt, str]  # one row as host arrays, and why it failed; "" where it did not
Way = Callable[[Problem, np.ndarray], Iterator[Solved]]


def one_by_one(problem: Problem, P: Float[np.ndarray, "n d"]) -> Iterator[Solved]:
    """Solves by the program for one input."""
    for p in P:
        attempt = Attempt(*(np.asarray(part) for part in problem.attempt_once(p)))  # type: ignore[arg-type]
        yield attempt, why_not(problem, p, attempt)


def batched(problem: Problem, P: Float[np.ndarray, "n d"]) -> Iterator[Solved]:
    """Solves by the program for many inputs, which gives a row the same bits whatever it is solved with."""
    for start in range(0, len(P), TOGETHER):
        some = P[start : start + TOGETHER]
        attempts = problem.attempt_batch(some)
        for i, p in enumerate(some):
            attempt = row(attempts, i)
            yield attempt, why_not(problem, p, attempt)


def solved_rows(
    problem: Problem,
    inputs: Float[np.ndarray, "n d"],
    rows: Iterable[int],
    executor: concurrent.futures.Executor | None,
    way: Way = one_by_one,
) -> Iterator[tuple[int, Attempt, str]]:
    """Row number, attempt and why it failed ("" where it did not), each as soon as it is known.

    An executor is sent several rows at a time where they take little; each is solved by the program that solves it
    here, so that its bits depend neither on that nor on who solves it. Rows whose worker is lost are sent again, each
    by itself; one that takes ``TRIES`` workers along has failed.
    """
    solve = RowSolver(problem, way)
    executor = executor if executor is not None else own_executor(problem)
    if executor is None:
        for i in rows:
            ((attempt, why),) = solve(inputs[[i]])[0]
            yield i, attempt, why
        return
    left, again = deque(rows), deque[_Share]()
    sent = Sent[_Share](executor)
    pace = _Pace(problem.size)
    try:
        while True:
            while sent.room and len(sent) < IN_FLIGHT and (again or left):
                share = (
                    again.popleft()
                    if again
                    else _Share([left.popleft() for _ in range(pace.rows(len(left), sent.workers))])
                )
                sent.send(share, solve, inputs[share.rows], share.lost)
            if not len(sent):
                return
            for share, answer in sent.ready():
                if not isinstance(answer, Lost):
                    pace.learn(len(answer[0]), answer[1])
                    yield from share.solved(answer[0])
                elif len(share.rows) > 1 or share.lost + 1 < TRIES:
                    again.extend(_Share([i], share.lost + 1) for i in share.rows)
                else:
                    yield share.rows[0], _unsolved(problem), f"{answer}, {TRIES} times"
    except GeneratorExit:
        raise
    except BaseException:  # an interruption: what was done by then is not lost
        for share, answer in sent.done():
            yield from share.solved(answer[0])
        raise
    finally:
        sent.cancel()


@dataclass(frozen=True)
class _Share:
    """Rows that one worker is sent, and how many workers were lost with them before."""

    rows: list[int]
    lost: int = 0

    def solved(self, found: list[Solved]) -> Iterator[tuple[int, Attempt, str]]:
        for i, (attempt, why) in zip(self.rows, found, strict=True):
            yield i, attempt, why


class _Pace:
    """How many rows are sent at a time: one until it is known what they take, then ``SECONDS`` of work."""

    def __init__(self, size: int) -> None:
        self._most, self._now = max(1, min(MOST, BYTES // (8 * size))), 1

    def rows(self, left: int, workers: int) -> int:
        """Of those that are left; towards the end fewer, so that no worker waits for another."""
        return max(1, min(self._now, left // (2 * workers), IN_FLIGHT // (2 * workers)))

    def learn(self, rows: int, seconds: float) -> None:
        self._now = max(1, min(self._most, 4 * rows, int(SECONDS * rows / max(seconds, 1e-9))))


def _unsolved(problem: Problem) -> Attempt:
    return Attempt(np.full(problem.size, np.nan), np.asarray(np.nan), np.asarray(0), np.asarray(0))  # type: ignore[arg-type]


def attempt_rows(
    problem: Problem, P: Float[np.ndarray, "n d"], executor: concurrent.futures.Executor | None = None
) -> tuple[Attempt, list[str]]:
    """``attempt_batch`` of checked inputs, on an executor or here, with why each row failed."""
    if executor is None and own_executor(problem) is None:
        found = RowSolver(problem, batched)(P)[0]
    else:
        rows = solved_rows(problem, P, range(len(P)), executor, batched)
        by_number = {i: (attempt, why) for i, attempt, why in rows}
        found = [by_number[i] for i in range(len(P))]
    columns = zip(*(attempt for attempt, _ in found), strict=True)
    return Attempt(*(np.stack(column) for column in columns)), [why for _, why in found]  # type: ignore[arg-type]


def own_executor(problem: Problem) -> concurrent.futures.Executor | None:
    """Threads that wait, where a problem is solved by a server (``problems/black_box.py``)."""
    found: concurrent.futures.Executor | None = getattr(problem, "own_executor", None)
    return found


def row(attempts: Attempt, i: int) -> Attempt:
    """One of many."""
    return Attempt(*(np.asarray(part)[i] for part in attempts))


def why_not(problem: Problem, p: Float[np.ndarray, " d"], attempt: Attempt) -> str:
    """Why a solve failed, in words that follow "the solver"; "" where it did not, or nothing is known."""
    if np.isfinite(np.asarray(attempt.u)).all():
        return ""
    why = problem.explain(p, attempt) or next(reversed(problem.failures()), "")
    return " ".join(why.split())[:LONGEST]


class RowSolver:
    """Solves rows wherever it is called; a process that receives it many times builds and compiles it once."""

    def __init__(self, problem: Problem, way: Way = one_by_one) -> None:
        self.problem, self.way = problem, way

    @in_float64
    def __call__(self, P: Float[np.ndarray, "n d"], lost: int = 0) -> tuple[list[Solved], float]:
        """The rows, and the seconds that they took. ``lost`` makes another task of one that is sent again: Dask does
        not run the same one twice.
        """
        start = time.perf_counter()
        return list(self.way(self.problem, P)), time.perf_counter() - start

    @cached_property
    def _pickled(self) -> bytes:
        try:
            return pickle.dumps(self.problem)
        except Exception as error:
            raise ValueError(
                f"the {self.problem.name} problem cannot be sent to another process ({error}): define its functions at "
                "the top level of a module, or use a ThreadPoolExecutor"
            ) from error

    def __reduce__(self) -> tuple[Callable[[bytes, Way], RowSolver], tuple[bytes, Way]]:
        return _revive, (self._pickled, self.way)


@lru_cache(maxsize=4)
def _revive(pickled: bytes, way: Way) -> RowSolver:
    return RowSolver(pickle.loads(pickled), way)
