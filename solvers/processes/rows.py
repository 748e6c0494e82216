"""Solves of many inputs, row by row, here or wherever an executor runs."""

from __future__ import annotations

import concurrent.futures
import pickle
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float

from ..answers import LONGEST
from ..precision import in_float64
from ..problem import Attempt, Problem

IN_FLIGHT = 64  # tasks handed to an executor at a time: bounds what waits in memory
TOGETHER = 32  # rows solved here at a time: a problem remembers the reasons of its last failures alone
Way = Callable[[Problem, np.ndarray], Attempt]  # one input [d] -> its attempt, as host arrays


def check_executor(executor: concurrent.futures.Executor | None) -> None:
    """Check that an executor's processes can run JAX.

    Raises:
        ValueError: processes made by a fork, which hang at their first solve once JAX has run in this one.
    """
    context: Any = getattr(executor, "_mp_context", None)
    if isinstance(executor, concurrent.futures.ProcessPoolExecutor) and context.get_start_method() == "fork":
        raise ValueError(
            "these processes are started by a fork, which JAX does not survive: they would hang. Make them with "
            "ProcessPoolExecutor(..., mp_context=multiprocessing.get_context('spawn'))"
        )


def alone(problem: Problem, p: Float[np.ndarray, " d"]) -> Attempt:
    """A solve by the program for one input."""
    return Attempt(*(np.asarray(part) for part in problem.attempt_once(p)))  # type: ignore[arg-type]


def among_others(problem: Problem, p: Float[np.ndarray, " d"]) -> Attempt:
    """A solve by the program for many inputs, whose bits it shares."""
    return Attempt(*(np.asarray(part)[0] for part in problem.attempt_batch(p[None])))


def solved_rows(
    problem: Problem,
    inputs: Float[np.ndarray, "n d"],
    rows: Iterable[int],
    executor: concurrent.futures.Executor | None,
    way: Way = alone,
) -> Iterator[tuple[int, Attempt, str]]:
    """Row number, attempt and why it failed ("" where it did not), each as soon as it is known."""
    solve_row = RowSolver(problem, way)
    executor = executor if executor is not None else own_executor(problem)
    if executor is None:
        for i in rows:
            yield i, *solve_row(inputs[i])
        return
    waiting = iter(rows)
    running: dict[concurrent.futures.Future[tuple[Attempt, str]], int] = {}
    try:
        while True:
            for i in waiting:
                running[executor.submit(solve_row, inputs[i])] = i
                if len(running) >= IN_FLIGHT:
                    break
            if not running:
                return
            ready, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in sorted(ready, key=lambda f: f.exception() is not None):  # what was solved is kept first
                yield running.pop(future), *future.result()
    finally:
        for future in running:
            future.cancel()


def attempt_rows(
    problem: Problem, P: Float[np.ndarray, "n d"], executor: concurrent.futures.Executor | None = None
) -> tuple[Attempt, list[str]]:
    """``attempt_batch`` of checked inputs, on an executor or here, with why each row failed."""
    if executor is not None or own_executor(problem) is not None:
        found = sorted(solved_rows(problem, P, range(len(P)), executor, among_others), key=lambda row: row[0])
        columns = zip(*(attempt for _, attempt, _ in found), strict=True)
        return Attempt(*(np.stack(column) for column in columns)), [why for *_, why in found]  # type: ignore[arg-type]
    pieces, reasons = [], list[str]()
    for start in range(0, len(P), TOGETHER):
        some = P[start : start + TOGETHER]
        pieces.append(Attempt(*(np.asarray(part) for part in problem.attempt_batch(some))))  # type: ignore[arg-type]
        good = np.isfinite(np.asarray(pieces[-1].u)).all(axis=1)
        reasons += ["" if good[i] else why_not(problem, p, row(pieces[-1], i)) for i, p in enumerate(some)]
    return Attempt(*(np.concatenate(parts) for parts in zip(*pieces, strict=True))), reasons  # type: ignore[arg-type]


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
    """Solves one row wherever it is called; a process that receives it many times builds and compiles it once."""

    def __init__(self, problem: Problem, way: Way = alone) -> None:
        self.problem, self.way = problem, way

    @in_float64
    def __call__(self, p: Float[np.ndarray, " d"]) -> tuple[Attempt, str]:
        attempt = self.way(self.problem, p)
        return attempt, why_not(self.problem, p, attempt)

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
