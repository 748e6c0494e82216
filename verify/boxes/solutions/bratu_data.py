"""What bounds over boxes for Bratu's problem are given: a space of solutions, and norms in it and in the modes of V.

Nothing that is proved depends on how good the space is: its fields become approximants of the solution, whose distance
from it is bounded afresh on every box.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from ....solvers.box import Box
from ....solvers.precision import UNIT_ROUNDOFF, gamma
from ....solvers.problems.bratu import Bratu
from ...enclose import gram_bound

ALONG = {1: (24,), 2: (10, 8)}  # solutions along each input that the space is made of
TOLERANCE = 1e-10  # of the space, beside its strongest direction
MOST = 40  # directions
DEFECT = 1e-10  # of a factorisation that is still of use


class BratuData(NamedTuple):
    """Z: orthonormal fields. D_x, D_y: differences between neighbours, with zeros on the boundary."""

    space: Float[Any, "n r"]  # Z at interior nodes
    starts: Float[Any, "s r"]  # coefficients of the solutions that it was made of
    places: Float[Any, "s d"]  # their inputs, unit coordinates
    factors: Float[Any, "A rk rk"]  # |D_a [Z V] y| is |factor_a y| but for what follows
    defects: Float[Any, "A rk"]  # sum |y_j| defect_j of it
    orthogonality: Float[Any, ""]  # and a relative error
    grams: Float[Any, "A k k"]  # ``gram_bound`` of the factors' columns of V
    lengths: Float[Any, " rk"]  # Euclidean, of fields


def seconds(x: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """2 x_P - x_E - x_W along an axis, zero beyond the ends."""
    return -jnp.diff(jnp.pad(x, [(int(i == axis),) * 2 for i in range(x.ndim)]), n=2, axis=axis)


def bratu_data(problem: Bratu, basis: Float[np.ndarray, "N k"], inputs: Box) -> BratuData | str:
    """The data for boxes inside ``inputs``, or why there are none."""
    X = (_chebyshev(ALONG[problem.dimension]) + 1) / 2
    solutions = np.asarray(problem.solve_batch(inputs.from_unit(X)))
    solved = np.isfinite(solutions).all(axis=1)
    if solved.sum() < 2:
        return "no two solutions were found to start from: take lambda below the fold"
    U = solutions[solved][:, problem.free]
    _, s, directions = np.linalg.svd(U, full_matrices=False)
    Z = directions[s > TOLERANCE * s[0]][:MOST].T
    both = np.concatenate([Z, basis[problem.free]], axis=1)
    m = problem.n - 1
    grid = both.reshape(*(m,) * problem.dimension, -1)
    lengths = np.linalg.norm(both, axis=0) * (1 + gamma(len(both) + 8))
    factors, defects, loss = [], [], 0.0
    for axis in range(problem.dimension):
        around = np.pad(grid, [(int(i == axis),) * 2 for i in range(problem.dimension)] + [(0, 0)])
        B = np.diff(around, axis=axis).reshape(-1, both.shape[1])
        Q, R = np.linalg.qr(B)
        sizes = np.linalg.norm(Q, axis=0).max() * np.linalg.norm(R, axis=0)
        rounding = gamma(len(R) + 8) * np.sqrt(len(R)) * sizes * 1.01 + 4 * UNIT_ROUNDOFF * lengths
        defects.append(np.linalg.norm(B - Q @ R, axis=0) * 1.01 + rounding)
        apart = np.linalg.norm(Q.T @ Q - np.eye(len(R))) + gamma(len(B) + 8) * len(R) * 1.1
        loss = max(loss, float(apart))  # (1 - apart)^(1/2) <= |Q x|/|x| <= (1 + apart)^(1/2)
        factors.append(R)
    if not loss < DEFECT:
        return "modes and solutions could not be orthonormalised"
    own = np.stack([R[:, Z.shape[1] :] for R in factors])
    grams = np.stack([np.asarray(gram_bound(x)) for x in own])
    return BratuData(Z, U @ Z, X[solved], np.stack(factors), np.stack(defects), np.float64(loss), grams, lengths)


def _chebyshev(orders: tuple[int, ...]) -> Float[np.ndarray, "M d"]:
    """Chebyshev points of [-1, 1]^d, ends included: for starting values only."""
    along = [np.cos(np.pi * np.arange(k) / (k - 1)) for k in orders]
    return np.stack(np.meshgrid(*along, indexing="ij"), axis=-1).reshape(-1, len(orders))
