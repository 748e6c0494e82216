"""Affine coercive problems from anybody's matrices: sum_q theta_q(p) A_q u = f(p), with scipy.sparse A_q.

For those who can export the parts of their own discretisation: solve, residual, bounds and guard follow. The problem
that is built stands in ``affine_problem.py``; ``affine_terms.py`` checks what is handed over and eliminates prescribed
values.

Loads in terms, f(p) = sum_j weight_j(p) f_j, open what needs few terms: reduced bases, training by residuals, proofs
over boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..box import Box
from ..linear_algebra.semidefinite import indefiniteness
from .affine_problem import Affine
from .affine_terms import (
    check_parts,
    checked_coordinates,
    checked_function,
    checked_load,
    checked_matrices,
    checked_prescribed,
    constraint_rows,
    eliminate,
)


def affine(
    matrices: Sequence[Any],
    theta: Callable[[Array], Array] | None,
    load: Any,
    box: Box,
    coordinates: Any = None,
    *,
    load_weights: Callable[[Array], Array] | None = None,
    prescribed: Any = None,
) -> Affine:
    """An affine coercive problem sum_q theta_q(p) A_q u = f(p) from symmetric positive semidefinite sparse matrices.

    Args:
        matrices: Q matrices [N, N] over the unknowns, boundary conditions eliminated; with ``prescribed`` over all
            nodes, as they were assembled.
        theta: p [d] -> [Q], written with jax.numpy; None where the inputs are the weights themselves.
        load: f as a vector [N]; or terms [f_1, .., f_J] with ``load_weights``, f(p) = sum_j load_weights(p)_j f_j; or a
            function p [d] -> [N] written with jax.numpy, for which nothing is known that needs few terms.
        box: the inputs.
        coordinates: [N, axes], where the nodes lie; numbered 0..N-1 where left out.
        load_weights: p [d] -> [J], written with jax.numpy. A load f_0 - p_1 f_1: ``load=[f_0, f_1]`` and
            ``load_weights=lambda p: jnp.stack([1.0, -p[1]])``.
        prescribed: (nodes, values) of Dirichlet conditions: node numbers or a mask, and a number or one value each; or
            (nodes, terms, weights) with values sum_k weights(p)_k terms_k. Fields hold the other nodes then
            (``Affine.whole`` has all), and relative errors are of u less its prescribed values.

    Raises:
        ValueError: shapes that do not fit, a matrix that is complex, not symmetric or (to rounding) not semidefinite,
            entries beyond 2^-100 to 2^100, weights that are not positive at the centre of the box or not written with
            jax.numpy, a sum of terms that is singular there.
    """
    if not isinstance(box, Box):
        raise ValueError(f"the inputs are a Box(names, lower, upper), not {type(box).__name__}")
    parts = checked_matrices(matrices)
    n = parts[0].shape[0]
    centre = jnp.asarray(box.centre)
    theta_function = theta if theta is not None else (lambda p: p)
    weights = checked_function(theta_function, centre, "theta", len(parts), "weights, one per matrix")
    if not (weights > 0).all():
        raise ValueError(f"theta must be positive; at the centre of the box it is {weights.tolist()}")
    load_function, vectors = checked_load(load, load_weights, n, centre)
    points = checked_coordinates(coordinates, n)
    fixed = None
    coupled: tuple[tuple[int, int], ...] = ()
    if prescribed is not None:
        fixed = checked_prescribed(prescribed, n, centre)
        parts, vectors, coupled = eliminate(parts, vectors, fixed)
        points = points[fixed.free]
    for array in (vectors, points):
        array.setflags(write=False)
    check_parts(parts)
    shifts = np.array([indefiniteness(m) for m in parts])
    if np.isinf(shifts).any():
        raise ValueError(f"matrix {int(np.argmax(shifts))} is not positive semidefinite: no bound would hold")
    problem = Affine(parts, theta_function, load_function, vectors, load_weights, fixed, coupled, box, points, shifts)
    _check_regular(problem, weights)
    return problem


def _check_regular(problem: Affine, weights: Float[np.ndarray, " Q"]) -> None:
    """Check that a bound is possible at the centre of the box, where the weights are these.

    Raises:
        ValueError: with these weights the operator has no smallest eigenvalue that is verified to be positive.
    """
    strange = constraint_rows(problem.matrix(weights))
    try:
        if not float(problem.coercivity(jnp.asarray(weights))) > 0:
            raise ValueError
    except ValueError:  # no factor at all, or no eigenvalue above zero
        why = strange or "a missing boundary condition?"
        raise ValueError(f"at the centre of the box the sum of the terms is singular, or nearly: {why}") from None
