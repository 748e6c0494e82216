"""Fields that vanish with some of the inputs, and what makes a network's do so exactly.

Where u vanishes with the inputs p_j, u = sum_j p_j U_j(p) over them with smooth U_j (Hadamard's lemma). A network of
coefficients has these products in its last layer (``pod_network.py``). One that gives fields outright is

    field(p) = prescribe(p, s (base(x) - base(x_0) + r / sqrt(r^2 + NEAR^2) scale net(view(p)))),

x_0 the features with these ones where fields vanish, and r the root mean square of x - x_0 over them: what it corrects
vanishes in proportion, the network adds no more than that, and is left alone away from there. Without it an answer near
there is wrong by any multiple of the solution: Burgers' equation with coefficients a thousandth of the box, fno after
1500 steps: 12 times it (median; .043 at other inputs), with it .04 (and .040).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.problem import Problem
from ..training.input_scaling import declared
from ..training.pod import Data

NEAR = 0.1  # of features that run over [-1, 1]
VANISH = "norm.vanish"  # [2, m]: one for a feature that fields vanish with, and what it is where they do


def vanishing(problem: Problem, data: Data) -> tuple[tuple[int, float], ...]:
    """The features that are inputs with which the field vanishes, and what they are there; none where features are
    something else.
    """
    which = problem.vanishes_with
    if not which or declared(problem) or "homogeneous" in data.arrays:
        return ()
    p = problem.inputs.centre.copy()
    p[list(which)] = 0.0
    x, _ = data.scaled(p[None])
    if not np.isfinite(x).all():  # seen as a logarithm
        return ()
    return tuple((j, float(x[0, j])) for j in which)


def vanishing_array(problem: Problem, data: Data) -> dict[str, np.ndarray]:
    """What a surrogate of fields keeps of them; nothing where there are none, where a box has no solution that is
    small, and where prescribed values do not vanish with the rest.
    """
    found = vanishing(problem, data)
    if not found or any(not abs(zero) <= 1 + NEAR for _, zero in found) or not _all_vanishes(problem):
        return {}
    marks = np.zeros((2, data.features.shape[1]))
    for j, zero in found:
        marks[:, j] = 1.0, zero
    return {VANISH: marks}


def _all_vanishes(problem: Problem) -> bool:
    p = problem.inputs.centre.copy()
    p[list(problem.vanishes_with)] = 0.0
    return not np.asarray(problem.prescribe(jnp.asarray(p), jnp.zeros(problem.size))).any()


def at_zero(arrays: Mapping[str, Any], x: Float[Array, "n m"]) -> Float[Array, "n m"]:
    """x_0."""
    marked, zero = jnp.asarray(arrays[VANISH])
    return jnp.where(marked > 0, zero, x)


def away_from_zero(arrays: Mapping[str, Any], x: Float[Array, "n m"]) -> Float[Array, " n"]:
    """What the network is multiplied by: 0 at x_0, where its slope is set to zero, and nearly 1 far from there."""
    marked, zero = jnp.asarray(arrays[VANISH])
    square = (x - zero) ** 2 @ marked / marked.sum()
    there = square == 0  # what is no number stays none
    return jnp.where(there, 0.0, jnp.sqrt(jnp.where(there, 1.0, square / (square + NEAR**2))))
