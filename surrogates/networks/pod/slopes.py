"""Gradient-enhanced (Sobolev) training: derivatives of the solver itself, fitted beside its fields.

A snapshot at p is joined by directional derivatives u'(p) d_j, by implicit differentiation of the truth's own scheme: a
linear solve each, where a snapshot of a nonlinear problem takes several. With y = W'h(x), linear in the last layer h,
and c = s y, a derivative of the coefficients is linear in W as well,

    c' = W'(s' h + h'(x)[s x']),

so that it is one more row of the loss, with its own "last layer". Directions are orthonormal in the unit coordinates of
the box and as long as the snapshots lie apart, n^(-1/d): errors of fields and of derivatives then weigh alike.
Reference: Czarnecki, Osindero, Jaderberg, Swirszcz, Pascanu 2017.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from ....solvers.batching import RowMap
from ....solvers.problem import Problem
from ....solvers.problems.black_box import BlackBox
from ....solvers.representative import kept_by_problem
from ...surrogate import scaled_features
from ...training.pod import Data, inner_product
from ...training.reduced_operator import ReducedOperator
from .energy_loss import LossRows, Sloped

MOST_CALLS = 64  # of somebody's own gradient, at a snapshot


class Slopes(NamedTuple):
    """Directional derivatives of the truth at snapshots; rows whose solve had none are left out."""

    inputs: Float[np.ndarray, "m d"]
    directions: Float[np.ndarray, "m d"]
    of: np.ndarray  # the number of each row's snapshot
    fields: Float[np.ndarray, "m N"]


def slopes(data: Data, count: int, seed: int) -> Slopes:
    """``count`` derivatives at every snapshot, as many as there are inputs at most.

    Raises:
        ValueError: as ``every_slope``.
    """
    D, dU = every_slope(data, count, seed)
    of, each = np.nonzero(np.isfinite(dU).all(axis=2))
    return Slopes(data.inputs[of], D[of, each], of, np.where(data.free, dU[of, each], 0.0))


def every_slope(
    data: Data, count: int, seed: int
) -> tuple[Float[np.ndarray, "n count d"], Float[np.ndarray, "n count N"]]:
    """Directions at every snapshot, and the derivatives along them, prescribed values included; NaN where the solve had
    none.

    Raises:
        ValueError: the problem's solver cannot be differentiated, or none of its derivatives is a number.
    """
    problem, (n, d) = data.problem, data.inputs.shape
    count = min(count, d)
    rng = np.random.default_rng(seed)
    frames = np.linalg.qr(rng.standard_normal((n, d, d)))[0][:, :count]
    _, width = data.box.scaled_ends()
    scale = np.where(np.array(data.box.log), data.inputs, 1.0) * width * n ** (-1 / d)
    D = frames * scale[:, None, :]
    if problem.foreign_solver:
        dU = np.einsum("nid,nkd->nki", _jacobians(problem)(data.inputs), D)
    else:
        dU = _derivatives(problem)(np.repeat(data.inputs, count, axis=0), D.reshape(-1, d)).reshape(n, count, -1)
    if not np.isfinite(dU).all(axis=2).any():
        known = "; ".join(problem.failures()) if isinstance(problem, BlackBox) else ""
        why = f" ({known})" if known else ""
        raise ValueError(f"no derivative of {problem.name} at a snapshot is a number{why}: leave derivatives out")
    return D, dU


def _jacobians(problem: Problem) -> RowMap:
    """du/dp of somebody's own solver by its gradient, which gives a row of it a call.

    Raises:
        ValueError: there is none, or it would be called too often.
    """
    if not isinstance(problem, BlackBox) or problem.gradient is None:
        raise ValueError(
            f"{problem.name} is known by its solver alone, which has no derivatives: leave derivatives out, or give "
            "black_box a gradient="
        )
    if problem.size > MOST_CALLS:
        raise ValueError(
            f"the gradient of {problem.name} gives the derivatives of one sum of values a call, and derivatives= needs "
            f"those of all {problem.size} values at every snapshot (at most {MOST_CALLS}): leave derivatives out"
        )
    return RowMap(jax.jacrev(lambda p: problem.solve_jax(p).u))


@kept_by_problem(4)
def _derivatives(problem: Problem) -> RowMap:
    return RowMap(lambda p, d: jax.jvp(lambda p: problem.solve_jax(p).u, (p,), (d,))[1])


def slope_rows(found: Slopes, data: Data, V: Float[np.ndarray, "N k"], operator: ReducedOperator | None) -> LossRows:
    """Rows whose loss is the mean square of the derivatives' errors, relative to the snapshots."""

    def features(P: Array) -> tuple[Array, Array]:
        return scaled_features(data.problem, data.arrays, P)

    (x, s), (dx, ds) = jax.jit(lambda P, D: jax.jvp(features, (P,), (D,)))(found.inputs, found.directions)
    row = Sloped(np.asarray(x), np.asarray(s[:, None] * dx), np.asarray(ds))
    inside = found.fields[:, data.free]
    product = inner_product(data.problem)
    if operator is None:
        sizes, weights, images = data.norms**2, np.ones((len(inside), 1)), product(V[data.free])[None]
        squares = np.einsum("ni,ni->n", inside, product(inside.T).T)
    else:
        norms = RowMap(data.problem.norm)
        sizes, squares = norms(data.inputs, data.fields) ** 2, norms(found.inputs, found.fields) ** 2
        weights, images = operator.weights(found.inputs)[0], operator.images
    scale = 1 / (len(inside) * np.where(sizes > 0, sizes, 1.0)[found.of])
    products = np.stack([inside @ image for image in images], axis=1)
    b = scale[:, None] * np.einsum("nq,nqk->nk", weights, products)
    return LossRows(row, weights * scale[:, None], b, float(scale @ squares))
