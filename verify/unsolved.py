"""Why inputs were not solved, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..solvers.problem import Attempt, Problem
from ..solvers.processes.rows import row
from .search.unsolved_input import UnsolvedInput


def unsolved_inputs(
    problem: Problem,
    P: np.ndarray,
    attempts: Attempt,
    reasons: list[str],
    found: str | Sequence[str],
    seed: int = 0,
) -> list[UnsolvedInput]:
    """A record of each input that was not solved; ``reasons`` as they were told with the rows, ``found`` how all of
    them, or each, were found.
    """
    about = (problem.name, problem.settings, problem.fingerprint, seed)
    failed = np.flatnonzero(~np.isfinite(np.asarray(attempts.u)).all(axis=1)).tolist()
    said = [problem.failure_message(P[i], row(attempts, i), reasons[i]) for i in failed]
    ways = [found] * len(P) if isinstance(found, str) else found
    return [UnsolvedInput(np.array(P[i]), why, ways[i], *about) for i, why in zip(failed, said, strict=True)]


def first_unsolved(problem: Problem, P: np.ndarray, attempts: Attempt) -> str:
    """The first input that was not solved and why, in words; empty where all were."""
    failed = np.flatnonzero(~np.isfinite(np.asarray(attempts.u)).all(axis=1))
    if not len(failed):
        return ""
    i = failed[0]
    return problem.failure_message(P[i], Attempt(*(np.asarray(part)[i] for part in attempts)))


def with_others(problem: Problem, first: str) -> str:
    """``first``, and the other reasons that the problem knows."""
    return "; ".join([first, *(reason for reason in problem.failures() if reason not in first)])
