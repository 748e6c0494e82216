"""Where a surrogate is expected to fail, at no solve: the sharpest signal that problem and surrogate allow; where they
allow none (a black box), how far the surrogate is from a Gaussian process that learnt the same rows, plus what that
process expects of its own error.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..solvers.problem import Problem
from ..solvers.snapshots.sample import Snapshots
from ..solvers.tolerance import scaled
from ..surrogates import Surrogate, train
from ..verify.answers.evaluate import evaluate
from ..verify.search.disagreement import between
from ..verify.search.signal import BROKEN, Signal, make_signal

TWIN = "gaussian-process"


def signal_of(problem: Problem, model: Surrogate, snapshots: Snapshots) -> Signal:
    """The signal of a surrogate that learnt from these snapshots."""
    found = make_signal(problem, model, problem.zero_scale)
    if found.kind != "none":
        return found
    twin = train(problem, TWIN, snapshots)
    sizes = between(problem)

    def values(P: np.ndarray) -> np.ndarray:
        answers: Any = evaluate(model, P, problem)
        away, whole = sizes(P, np.nan_to_num(answers.fields), twin(P))
        apart = scaled(away, whole, problem.zero_scale) + twin.error_bar(P)
        return np.where(answers.good, np.nan_to_num(apart, nan=BROKEN, posinf=BROKEN), BROKEN)

    return Signal("disagreement", values)
