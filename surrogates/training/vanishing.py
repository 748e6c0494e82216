"""Fields that vanish with some of the inputs, and what makes a network's do so exactly.

Where u vanishes with the inputs p_j, u = sum_j p_j U_j(p) over them with smooth U_j (Hadamard's lemma). A network of
coefficients has these products in its last layer (``pod_network.py``). One that gives fields outright is

    field(p) = prescribe(p, s (base(x) - base(x_0) + r(x) scale net(view(p)))),

x_0 the features with these ones where fields vanish, and r the root mean square of x - x_0 over them: what it corrects
vanishes in proportion, and the network adds no more than that. Without it an answer near there is wrong by any multiple
of the solution: on Burgers' equation with coefficients a thousandth of the box 13 times (median, mlp), with it .05.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.problem import Problem
from .input_scaling import declared
from .pod import Data

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
    return tuple((j, float(x[0, j])) for j in which)


def vanishing_array(problem: Problem, data: Data) -> dict[str, np.ndarray]:
    """What a surrogate keeps of them; nothing where there are none."""
    found = vanishing(problem, data)
    marks = np.zeros((2, data.features.shape[1]))
    for j, zero in found:
        marks[:, j] = 1.0, zero
    return {VANISH: marks} if found else {}


def at_zero(arrays: Mapping[str, Any], x: Float[Array, "n m"]) -> Float[Array, "n m"]:
    """x_0."""
    marked, zero = jnp.asarray(arrays[VANISH])
    return jnp.where(marked > 0, zero, x)


def distance(arrays: Mapping[str, Any], x: Float[Array, "n m"]) -> Float[Array, " n"]:
    """r(x); its slope is zero where it is."""
    marked, zero = jnp.asarray(arrays[VANISH])
    square = (x - zero) ** 2 @ marked / marked.sum()
    return jnp.sqrt(jnp.where(square > 0, square, 1.0)) * (square > 0)
