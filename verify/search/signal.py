"""What a search can see without a single solve: the failure signal of a surrogate, evaluated in batches.

The sharpest signal available is used: where a bound is much larger than the error, its maximum lies where the bound is
worst, not where the surrogate is. So: proved bounds (of coefficients, or of fields with some effort), else the size of
the residual, else what the surrogate says of its own error, such as the spread of an ensemble, else none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.answers import Unreadable
from ...solvers.batching import RowMap, VectorMap
from ...solvers.outputs import Output
from ...solvers.problem import Problem
from ..answers.evaluate import Model, asked_in_parts, captured, evaluate
from ..proofs.bounds import output_errors, scaled_upper
from ..proofs.proof import ReducedProof
from ..proofs.prover import prover

TYPICAL = 16  # inputs that tell the typical size of the data
ZERO_SHARE = 1e-3  # of it: what counts as none
BROKEN = 1e30  # the signal of an answer that is not a finite field: nothing is worse


@dataclass(frozen=True)
class Signal:
    """``values(P) -> [n]``, comparable with an error if ``kind`` is "bound"; ``gradient(p)`` where JAX can give it;
    ``proved(P) -> [n]``, proved upper bounds of the errors of what the surrogate answers, where there are any.
    """

    kind: str  # "bound", "residual", "error bar", "none", or one of those that stand beside (``further.py``)
    values: Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, " n"]]
    gradient: Callable[[Array], tuple[Array, Array]] | None = None  # p -> (log signal, its gradient)
    proved: Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, " n"]] | None = None


def make_signal(problem: Problem, surrogate: Any, scale: float = 0.0, output: Output | None = None) -> Signal:
    """The sharpest signal that this problem and this surrogate allow, of errors relative to scale + ||u||, or of those
    of an output.
    """
    surrogate = captured(surrogate)
    provable = prover(problem, surrogate)
    proof = provable.proof
    proof.prepare()
    if output is not None and proof.proves and not proof.why_no_output(output):

        def of_output(P: np.ndarray, u: np.ndarray) -> np.ndarray:
            *_, found = proof.output_bounds(P, u, 1, output)
            return output_errors(*found, scale)[1]

        bounds = of_fields(problem, surrogate, of_output)
        return Signal("bound", bounds, proved=bounds)
    if output is not None:
        return _of_residuals(problem, surrogate)
    if provable.reduced is not None:
        return _of_coefficients(problem, surrogate, provable.reduced, scale)
    if not provable.proof.proves:
        return _of_residuals(problem, surrogate)
    bounds = of_fields(problem, surrogate, lambda P, u: scaled_upper(provable.proof.bounds(P, u, 1)[1], scale))
    return Signal("bound", bounds, proved=bounds)


def _of_coefficients(problem: Problem, surrogate: Model, reduced: ReducedProof, scale: float) -> Signal:
    """The bound in reduced coordinates."""
    k = reduced.basis.shape[1]
    cheapest, sharpest = reduced.stages[0], reduced.stages[-1]
    bounds = VectorMap(lambda p, c: scaled_upper(sharpest(p, c), scale))

    def ask(rows: np.ndarray) -> np.ndarray:
        c = surrogate.coefficients(rows)
        if c.shape != (len(rows), k):
            raise Unreadable(f"with coefficients of shape {list(c.shape)}, not {[len(rows), k]}")
        return np.asarray(c)

    def coefficients(P: np.ndarray) -> np.ndarray:
        """NaN where there are none: what is being looked for."""
        c = np.full((len(P), k), np.nan)
        asked_in_parts(ask, P, c)
        return c

    def bound(P: np.ndarray, c: np.ndarray) -> np.ndarray:
        return finite(bounds(P, np.nan_to_num(c, nan=np.inf)))

    def proved(P: np.ndarray) -> np.ndarray:
        """The bound is of V c: it holds where that is what the surrogate answers."""
        c = coefficients(P)
        answered = evaluate(surrogate, P, problem).fields
        same = np.isclose(answered, c @ reduced.basis.T, rtol=1e-9, atol=1e-12).all(axis=1)
        return np.where(same, bound(P, c), np.inf)

    def value(p: Array) -> Array:
        return jnp.log(scaled_upper(cheapest(p, jnp.asarray(surrogate.coefficients(p[None]))[0]), scale))

    slope = _gradient(value, problem)
    return Signal("bound", lambda P: bound(P, coefficients(P)), slope, proved)


def _of_residuals(problem: Problem, surrogate: Model) -> Signal:
    """The size of the residual, where the problem has one."""
    residual = getattr(problem, "residual", None)
    if residual is None:
        return error_bar(problem, surrogate)

    def start(p: Array) -> Array:
        """The size of the zero field's residual: of the data, where these are no part of the field."""
        return jnp.linalg.norm(residual(p, problem.prescribe(p, jnp.zeros(problem.size))))

    # data that vanish make no residual infinite: below a share of what is typical they count as that share
    some = np.random.default_rng(0).random((TYPICAL, problem.inputs.dimension))
    typical = np.asarray(RowMap(start)(problem.inputs.from_unit(some)))
    known = typical[np.isfinite(typical) & (typical > 0)]
    least = ZERO_SHARE * float(np.median(known)) if len(known) else 1.0

    def one(p: Array, u: Array) -> Array:
        return jnp.linalg.norm(residual(p, problem.prescribe(p, u))) / (start(p) + least)

    return Signal("residual", of_fields(problem, surrogate, RowMap(one)))


def error_bar(problem: Problem, surrogate: Model) -> Signal:
    """What the surrogate says of its own error, where it says anything."""
    none = Signal("none", lambda P: np.zeros(len(P)))
    if surrogate.error_bar is None:
        return none

    def ask(P: np.ndarray) -> np.ndarray:
        bars = np.asarray(surrogate.error_bar(P), dtype=np.float64)  # type: ignore[misc]
        if bars.shape != (len(P),):
            raise Unreadable(f"with error bars of shape {list(bars.shape)}, not {[len(P)]}")
        return bars[:, None]

    def values(P: np.ndarray) -> np.ndarray:
        bars = np.full((len(P), 1), np.nan)
        asked_in_parts(ask, P, bars)
        return finite(bars[:, 0])

    some = problem.inputs.sample(TYPICAL, seed=0)
    return none if (values(some) >= BROKEN).all() else Signal("error bar", values)


def of_fields(
    problem: Problem, surrogate: Any, measure: Callable[[np.ndarray, np.ndarray], Any]
) -> Callable[[np.ndarray], np.ndarray]:
    """``measure(P, fields)`` of the surrogate's fields; BROKEN where it did not answer with one."""

    def values(P: np.ndarray) -> np.ndarray:
        evaluation = evaluate(surrogate, P, problem)
        found = np.full(len(P), BROKEN)
        rows = np.flatnonzero(evaluation.good)
        if len(rows):
            found[rows] = finite(measure(P[rows], evaluation.fields[rows]))
        return found

    return values


def finite(values: Any) -> np.ndarray:
    return np.nan_to_num(np.asarray(values, dtype=np.float64), nan=BROKEN, posinf=BROKEN)


def _gradient(fn: Callable[[Array], Array], problem: Problem) -> Callable[[Array], tuple[Array, Array]] | None:
    """value_and_grad of fn, compiled, if JAX can differentiate it; None for surrogates written in something else."""
    centre = jnp.asarray(problem.inputs.centre)
    compiled = jax.jit(jax.value_and_grad(fn))
    try:
        value, slope = compiled(centre)
    except Exception:  # numpy or another framework inside
        return None
    return compiled if np.isfinite(value) and np.isfinite(slope).all() else None
