"""Where two surrogates of one problem disagree, one of them is wrong: by at least half of what lies between them.

    ||v(p) - w(p)|| <= ||v(p) - u(p)|| + ||w(p) - u(p)||

The signal is the left side relative to scale + ||w(p)||, of an output |l(v) - l(w)| / (scale + |l(w)|). It does not say
which of the two is wrong, and where they err alike it sees nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.batching import RowMap
from ...solvers.outputs import Output, value
from ...solvers.problem import Problem
from ...solvers.tolerance import scaled
from ..answers.evaluate import Model, evaluate
from .signal import BROKEN, Signal, finite


def disagreement(problem: Problem, model: Model, other: Model, scale: float, output: Output | None = None) -> Signal:
    """The signal; BROKEN where either does not answer with a field."""
    measure = between(problem, output)

    def values(P: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        one, two = evaluate(model, P, problem), evaluate(other, P, problem)
        away, size = measure(P, np.nan_to_num(one.fields), np.nan_to_num(two.fields))
        return np.where(one.good & two.good, finite(scaled(away, size, scale)), BROKEN)

    return Signal("disagreement", values)


def between(problem: Problem, output: Output | None = None) -> Callable[..., Any]:
    """(P, V, W) -> how far V is from W, and how large W is, in rows."""

    def one(p: Array, v: Array, w: Array) -> tuple[Array, Array]:
        v, w = jnp.asarray(problem.prescribe(p, v)), jnp.asarray(problem.prescribe(p, w))
        if output is None:
            return problem.norm(p, v - w), problem.magnitude(p, w)
        first, second = value(problem, output, p, v), value(problem, output, p, w)
        return jnp.abs(first - second), jnp.abs(second)

    return RowMap(one)
