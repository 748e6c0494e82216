"""The error of each component by itself: beside a large component the norm does not see what a small one does."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .problem import Problem
from .tolerance import scaled

ROUNDING = 1e-13  # of the whole solution: a smaller component counts as that large


def component_errors(
    problem: Problem,
    p: Float[np.ndarray, " d"],
    field: Float[np.ndarray, " N"],
    truth: Float[np.ndarray, " N"],
    scale: float = 0.0,
) -> dict[str, float]:
    """By name, ||truth - field|| / (scale + ||truth||) of one component, the others set to zero; {} where there is but
    one. NaN where nothing can be compared, infinite where the field is not finite.
    """
    names = problem.component_names
    if len(names) < 2:
        return {}
    at, u = jnp.asarray(p), jnp.asarray(truth)
    v = problem.prescribe(at, jnp.asarray(field))
    sizes = np.maximum(problem.component_magnitudes(at, u), ROUNDING * float(problem.magnitude(at, u)))
    errors = scaled(problem.component_norms(at, u - v), sizes, scale)
    finite = np.isfinite(np.asarray(field)).reshape(-1, len(names)).all(axis=0)
    return {name: float(e if good else np.inf) for name, e, good in zip(names, errors, finite, strict=True)}


def component_shares(
    problem: Problem, p: Float[np.ndarray, " d"], truth: Float[np.ndarray, " N"], scale: float = 0.0
) -> Float[np.ndarray, " c"]:
    """The size of each component relative to scale + the size of the whole: the error of answering it with zero."""
    at, u = jnp.asarray(p), jnp.asarray(truth)
    shares: np.ndarray = scaled(problem.component_magnitudes(at, u), float(problem.magnitude(at, u)), scale)
    return shares
