"""What a search can see without a single solve: the failure signal of a surrogate, evaluated in batches.

The sharpest signal available is used, because a blunt one leads a climb to where the bound is bad instead of the
surrogate: proved bounds (in reduced coordinates, or of fields after a CG step), else the size of the residual, else
none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..solvers.batching import RowMap, VectorMap
from ..solvers.coercive import CoerciveProblem
from ..solvers.problem import Problem
from .certificate import certifier
from .reduced import reduced_path
from .surrogate import coefficients, evaluate

BROKEN = 1e30  # the signal of an answer that is not a finite field: nothing is worse


@dataclass(frozen=True)
class Signal:
    """``values(P) -> [n]``, comparable with a relative error if ``kind`` is "bound"; ``gradient(p)`` where JAX can
    give it.
    """

    kind: str  # "bound", "residual" or "none"
    values: Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, " n"]]
    gradient: Callable[[Array], tuple[Array, Array]] | None = None  # p -> (log signal, its gradient)


def make_signal(problem: Problem, surrogate: Any) -> Signal:
    """The sharpest signal that this problem and this surrogate allow."""
    if isinstance(problem, CoerciveProblem):
        reduced = reduced_path(problem, surrogate)
        if reduced is not None:
            bounds = VectorMap(lambda p, c: reduced.bound(p, c).relative_upper)

            def from_coefficients(P: np.ndarray) -> np.ndarray:
                try:
                    c = coefficients(surrogate, P)
                except Exception:  # a surrogate that raises has failed there, and that is what is being looked for
                    return np.full(len(P), BROKEN)
                return _finite(bounds(P, np.nan_to_num(c, nan=np.inf)))

            return Signal(
                "bound", from_coefficients, _gradient(lambda p: _reduced_value(reduced, surrogate, p), problem)
            )
        fields = certifier(problem)
        return Signal("bound", _of_fields(problem, surrogate, lambda P, u: fields.bounds(P, u, 1)[1].relative_upper))
    residual = getattr(problem, "residual", None)
    if residual is None:
        return Signal("none", lambda P: np.zeros(len(P)))

    def one(p: Array, u: Array) -> Array:
        v = problem.prescribe(p, u)
        start = residual(p, problem.prescribe(p, jnp.zeros_like(u)))
        return jnp.linalg.norm(residual(p, v)) / jnp.linalg.norm(start)

    return Signal("residual", _of_fields(problem, surrogate, RowMap(one)))


def _of_fields(
    problem: Problem, surrogate: Any, measure: Callable[[np.ndarray, np.ndarray], Any]
) -> Callable[[np.ndarray], np.ndarray]:
    """``measure(P, fields)`` of the surrogate's fields; BROKEN where it did not answer with one."""

    def values(P: np.ndarray) -> np.ndarray:
        evaluation = evaluate(surrogate, P, problem.size)
        found = np.full(len(P), BROKEN)
        rows = np.flatnonzero(evaluation.good)
        if len(rows):
            found[rows] = _finite(measure(P[rows], evaluation.fields[rows]))
        return found

    return values


def _finite(values: Any) -> np.ndarray:
    return np.nan_to_num(np.asarray(values, dtype=np.float64), nan=BROKEN, posinf=BROKEN)


def _reduced_value(reduced: Any, surrogate: Any, p: Array) -> Array:
    return jnp.log(reduced.bound(p, jnp.asarray(surrogate.coefficients(p[None]))[0], 1).relative_upper)


def _gradient(fn: Callable[[Array], Array], problem: Problem) -> Callable[[Array], tuple[Array, Array]] | None:
    """value_and_grad of fn, compiled, if JAX can differentiate it; None for surrogates written in something else."""
    centre = jnp.asarray(problem.inputs.from_unit(np.full(problem.inputs.dimension, 0.5)))
    compiled = jax.jit(jax.value_and_grad(fn))
    try:
        value, slope = compiled(centre)
    except Exception:  # numpy or another framework inside
        return None
    return compiled if np.isfinite(value) and np.isfinite(slope).all() else None
