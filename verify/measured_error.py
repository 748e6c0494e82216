"""The error of one field against a computed truth, and what of it is proved."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..solvers.field_norm import homogeneous
from ..solvers.outputs import Output, values
from ..solvers.problem import Problem
from ..solvers.tolerance import scaled
from .evidence import Evidence
from .proofs.bounds import output_errors
from .proofs.prover import proof_of

safe_norm = homogeneous(lambda problem, p, u: jnp.asarray(problem.norm(p, u)))  # ||u||, traced or not


def norm_of(problem: Problem, p: np.ndarray, u: Float[np.ndarray, " N"]) -> float:
    """||u||, also where a norm of somebody's own takes no care of squares that leave float64."""
    return float(safe_norm(problem, jnp.asarray(p), u))


def magnitude_of(problem: Problem, p: np.ndarray, u: Float[np.ndarray, " N"]) -> float:
    """What errors are relative to: the norm, as ``norm_of``, unless the problem measures from an offset."""
    size, norm = (float(f(jnp.asarray(p), jnp.asarray(u))) for f in (problem.magnitude, problem.norm))
    return norm_of(problem, p, u) if size == norm or np.isnan([size, norm]).all() else size


def measured_error(
    problem: Problem, p: np.ndarray, field: np.ndarray, truth: np.ndarray, scale: float = 0.0
) -> tuple[float, float, float, Evidence]:
    """||u - field|| / (scale + ||u||), measured with the computed truth for u, and an interval for it.

    PROVED: for the exact solution u of the discrete equations, by the truth's own residual; a field that is not finite
    is infinitely wrong. OBSERVED: nothing is known of the truth's own error, or nothing of this one's (0 and infinity).
    NONE, and NaN: the truth or a norm is not a number, so that nothing was compared.
    """
    if not np.isfinite(truth).all():
        return np.nan, 0.0, np.inf, Evidence.NONE
    if not np.isfinite(field).all():
        return np.inf, np.inf, np.inf, Evidence.PROVED
    v = np.asarray(problem.prescribe(jnp.asarray(p), jnp.asarray(field)))
    with np.errstate(over="ignore"):
        error = scaled(norm_of(problem, p, truth - v), magnitude_of(problem, p, truth), scale)
    if np.isnan(error):
        return np.nan, 0.0, np.inf, Evidence.NONE
    interval = proof_of(problem).error_interval(p, v, truth, scale)
    if interval is None:
        return error, error, error, Evidence.OBSERVED
    lower, upper = interval
    return error, lower, upper, Evidence.PROVED if np.isfinite(upper) or lower > 0 else Evidence.OBSERVED


def measured_output(
    problem: Problem, output: Output, p: np.ndarray, field: np.ndarray, truth: np.ndarray, scale: float = 0.0
) -> tuple[float, float, float, Evidence]:
    """|l(u) - l(field)| / (scale + |l(u)|), as ``measured_error``: PROVED by an interval of l(u) around the truth's."""
    if not np.isfinite(truth).all():
        return np.nan, 0.0, np.inf, Evidence.NONE
    if not np.isfinite(field).all():
        return np.inf, np.inf, np.inf, Evidence.PROVED
    proof = proof_of(problem)
    v = np.asarray(problem.prescribe(jnp.asarray(p), jnp.asarray(field)))
    own = float(values(problem, output, p[None], v[None])[0])
    *_, found = proof.output_bounds(p[None], truth[None], 0, output)
    solved, low, high = (float(np.asarray(x)[0]) for x in found)
    error = scaled(abs(solved - own), abs(solved), scale)
    if np.isnan(error):
        return np.nan, 0.0, np.inf, Evidence.NONE
    if not (proof.proves and np.isfinite([low, high]).all()):
        return error, error, error, Evidence.OBSERVED
    lower, upper = (float(x) for x in output_errors(own, low, high, scale))
    return error, lower, upper, Evidence.PROVED if np.isfinite(upper) or lower > 0 else Evidence.OBSERVED


def measured(
    problem: Problem, output: Output | None, p: np.ndarray, field: np.ndarray, truth: np.ndarray, scale: float
) -> tuple[float, float, float, Evidence]:
    """The error of an output, or without one of the field."""
    if output is None:
        return measured_error(problem, p, field, truth, scale)
    return measured_output(problem, output, p, field, truth, scale)


def exceeds(error: float, lower: float, evidence: Evidence, tolerance: float) -> bool:
    """Whether a measured error is a failure: by its proved lower end where there is one, else as observed."""
    return (lower if evidence is Evidence.PROVED else error) > tolerance
