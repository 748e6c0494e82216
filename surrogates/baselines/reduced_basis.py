"""reduced-basis: the Galerkin solution in a POD basis, one k x k system per query. The baseline to beat.

    V' A(p) V c = V' f(p),    V' A(p) V = sum_q theta_q(p) G_q,    V' f(p) = sum_j phi_j(p) g_j

It is the best approximation in the basis in the energy norm (Cea), and only for problems that are affine in few terms.
Reference: Hesthaven, Rozza, Stamm, Certified Reduced Basis Methods (2016), chapter 3.
"""

from __future__ import annotations

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.batching import vectorised
from ...solvers.box import Box
from ...solvers.linear_algebra.dense import gauss_jordan
from ...solvers.problem import Problem
from ..surrogate import Surrogate
from ..training.pod import pod, prepare, too_many
from ..training.reduced_operator import ReducedOperator

RANK = 64  # of the basis, at most


def train_reduced_basis(
    problem: Problem,
    snapshots: Any,
    seed: int = 0,
    box: Box | None = None,
    *,
    tolerance: float = 1e-6,
    max_rank: int | None = None,
) -> Surrogate:
    """Compress the snapshots to a basis and project operator and load onto it.

    Args:
        tolerance: the share of the relative snapshots (root mean square) that the basis may leave out.
        max_rank: modes of the basis, at most; None: 64.

    Raises:
        ValueError: the problem is not affine in few terms; as ``prepare``.
    """
    started = time.perf_counter()
    data = prepare(problem, snapshots, box, least=1)
    V = pod(data, tolerance, RANK if max_rank is None else max_rank)
    operator = ReducedOperator.of(problem, V)
    arrays = {"basis": V, **data.arrays, "terms": operator.terms, "loads": operator.loads}
    training = {
        "seconds": time.perf_counter() - started,
        "snapshots": len(data.inputs),
        "dropped": data.dropped,
        "warnings": [*data.warnings, *too_many("max_rank", max_rank, data, V.shape[1])],
    }
    architecture = {"name": "reduced-basis", "lift": data.lift}
    return Surrogate(problem, architecture, arrays, predict, data.box, seed, data.hash, training, on_host=on_host)


def predict(problem: Any, architecture: dict[str, Any], arrays: dict[str, Any], P: Array) -> Float[Array, "n k"]:
    """Coefficients [n, k], by elimination without pivoting (stable for positive definite matrices) in array code."""
    theta, phi = jax.vmap(lambda p: (problem.theta(p), problem.load_weights(p)))(P)
    A = jnp.tensordot(theta, jnp.asarray(arrays["terms"]), 1)
    b = phi @ arrays["loads"]
    scale = 1 / jnp.sqrt(jnp.einsum("nii->ni", A))
    systems = jnp.concatenate([A * scale[:, :, None] * scale[:, None, :], (b * scale)[:, :, None]], axis=2)
    return jax.vmap(gauss_jordan)(systems)[:, :, 0] * scale


def on_host(problem: Any, architecture: dict[str, Any], arrays: dict[str, Any], P: Any) -> Any:
    """The same by LAPACK, in numpy; rows whose weights are not positive and finite are NaN."""
    theta, phi = (np.asarray(a) for a in vectorised(problem, "theta", "load_weights")(P))
    A, b = np.tensordot(theta, arrays["terms"], 1), phi @ arrays["loads"]
    with np.errstate(invalid="ignore"):
        good = np.isfinite(A).all(axis=(1, 2)) & (theta > 0).all(axis=1)
    out = np.full(b.shape, np.nan)
    out[good] = np.linalg.solve(A[good], b[good][:, :, None])[:, :, 0]
    return out
