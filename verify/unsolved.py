"""Why inputs were not solved, in words."""

from __future__ import annotations

import numpy as np

from ..solvers.problem import Attempt, Problem


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
