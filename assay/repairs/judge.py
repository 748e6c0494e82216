"""How good a surrogate is, by what training never sees: errors at independent draws, the worst that a search with its
own seed finds, and the share of draws at which an error within the tolerance is proved.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from ..solvers.problem import Problem
from ..solvers.snapshots.sample import Snapshots
from ..surrogates import Surrogate
from ..verify.answers.evaluate import evaluate
from ..verify.certify import certify
from ..verify.falsify import falsify
from ..verify.proofs.prover import unchanged
from ..verify.statistics.errors import scaled_errors

SEARCH_SEED = 2_000_003  # added to the seed: nothing that was searched for training


@dataclass(frozen=True)
class Judged:
    """``mean``: of the errors at the tests; ``worst``: the largest known, of the tests' and of a search's;
    ``certified``: the share of the tests within the tolerance by proof, None where this problem has no proofs;
    ``calls``: what the search spent, beside training.
    """

    mean: float
    worst: float
    certified: float | None
    calls: int


def judge(
    problem: Problem,
    model: Surrogate,
    tests: Snapshots,
    tolerance: float,
    search: int,
    seed: int,
    executor: Executor | None = None,
) -> Judged:
    """A surrogate by these tests and a search of ``search`` solver calls."""
    P, truths = tests.inputs[tests.valid], tests.fields[tests.valid]
    errors, _ = scaled_errors(problem, P, evaluate(model, P, problem), truths, problem.zero_scale)
    worst, calls = float(np.max(errors, initial=0.0)), 0
    if search:
        found = falsify(
            problem, model, tolerance, search, (seed + SEARCH_SEED) % (1 << 31), executor=executor, shrink=0
        )
        calls = found.solver_calls
        worst = worst if np.isnan(found.worst) else max(worst, float(found.worst))
    certified = None
    if unchanged(problem).proves:
        certified = float(np.mean(certify(problem, model, P).within(tolerance)))
    return Judged(float(np.mean(errors)) if len(errors) else float("nan"), worst, certified, calls)
