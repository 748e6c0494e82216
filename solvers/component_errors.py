"""The error of each component by itself: beside a large component the norm does not see what a small one does."""

from __future__ import annotations

from typing import Any

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
    whole = float(problem.magnitude(at, u))
    errors = component_ratios(problem.component_norms(at, u - v), problem.component_magnitudes(at, u), whole, scale)
    finite = np.isfinite(np.asarray(field)).reshape(-1, len(names)).all(axis=0)
    return {name: float(e if good else np.inf) for name, e, good in zip(names, errors, finite, strict=True)}


def component_ratios(errors: Any, sizes: Any, whole: Any, scale: float) -> np.ndarray:
    """Errors of components relative to scale + their own sizes; ``whole``: the solution's size."""
    ratios: np.ndarray = scaled(errors, np.maximum(sizes, ROUNDING * np.asarray(whole)), scale)
    return ratios


def component_shares(
    problem: Problem, p: Float[np.ndarray, " d"], truth: Float[np.ndarray, " N"], scale: float = 0.0
) -> Float[np.ndarray, " c"]:
    """The size of each component relative to scale + the size of the whole: the error of answering it with zero."""
    at, u = jnp.asarray(p), jnp.asarray(truth)
    shares: np.ndarray = scaled(problem.component_magnitudes(at, u), float(problem.magnitude(at, u)), scale)
    return shares
