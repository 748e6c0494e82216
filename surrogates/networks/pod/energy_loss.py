"""The training loss: relative errors in the energy norm as quadratic forms of the coefficients, one per row.

With V c = s V y, y = W' h(x) linear in the last hidden layer h (a constant feature included), every row has the loss

    l_i(y) = y' A_i y - 2 b_i . y + const_i,     A_i = sum_q phi_iq G_q

  fields    ||s V y - u_i||^2 / ||u_i||^2 in the energy norm of p_i:
            phi_iq = theta_q s^2 / ||u_i||^2,  b_i = s V'A(p_i) u_i / ||u_i||^2
  physics   the energy functional (s V y)'A(p)(s V y) - 2 f(p)'(s V y), at inputs where nothing was solved. It differs
            from the squared energy error by ||u||^2, a constant of the row; rows are weighted by the energy of the
            Galerkin solution in the basis, so that the loss reads as a mean square relative error
  otherwise (no reduced operator) the norm of the basis's own inner product: one term, G = I

**The last layer is never iterated on.** Given h its best weights W solve one symmetric positive definite linear system

    sum_q (H' diag(phi_q) H) W G_q + ridge W = H' b,

by conjugate gradients, preconditioned with the one-term system of the mean phi (G rotated so that its mean is I). As W
minimises, the gradient of min_W loss(h, W) in the hidden weights is the partial gradient at that W.
References: Golub and Pereyra 1973 (variable projection); Ritz 1909.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ....solvers.linear_algebra.dense import gauss_jordan
from ...training.pod import Data, project
from ...training.reduced_operator import NOTHING, ReducedOperator, or_mean

RIDGE = 1e-11  # of a last layer of tanh features, against a mean diagonal of about one
CG_TOLERANCE = 1e-9  # well below the errors reached: the gradient above is exact only at the minimum
CG_STEPS = 150


class Sloped(NamedTuple):
    """Features of rows that are derivatives: their last layer is share h(x) + h'(x)[along] (``slopes.py``)."""

    x: Any
    along: Any
    share: Any


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Rows:
    """Rows of the loss, in coordinates y' = T^-1 y in which the mean matrix is the identity."""

    x: Any  # [n, m], or ``Sloped``
    phi: Float[Array, "n Q"]
    b: Float[Array, "n k"]
    constant: Float[Array, ""]
    terms: Float[Array, "Q k k"]


class LossRows(NamedTuple):
    """Rows of one part of the loss, in the coordinates of the basis."""

    x: Any  # [n, m], or ``Sloped``
    phi: np.ndarray
    b: np.ndarray
    constant: float


def field_rows(data: Data, V: np.ndarray, operator: ReducedOperator | None) -> LossRows:
    """Rows from snapshots, weighted so that the loss is their mean square relative error.

    Args:
        V: the basis [N, k].
        operator: the problem in that basis; None: errors are measured in the inner product of the basis.
    """
    n = len(data.inputs)
    s = data.amplitudes
    if operator is None:
        scale = 1 / (n * data.norms**2)
        return LossRows(data.features, (scale * s**2)[:, None], (scale * s)[:, None] * project(data, V), 1.0)
    theta, _ = operator.weights(data.inputs)
    inner = np.stack([data.fields[:, data.free] @ image for image in operator.images], axis=1)  # u'A_q V, [n, Q, k]
    g = np.einsum("nq,nqk->nk", theta, inner)
    energy = _energies(data, operator, theta)
    scale = 1 / (n * energy)
    return LossRows(data.features, theta * (scale * s**2)[:, None], (scale * s)[:, None] * g, 1.0)


def _energies(data: Data, operator: ReducedOperator, theta: np.ndarray) -> np.ndarray:
    """u'A(p)u of every snapshot."""
    norms = jax.jit(lambda P, U: lax.map(lambda row: operator.problem.norm(row[0], row[1]), (P, U)))
    energy = np.asarray(norms(data.inputs, data.fields)) ** 2
    return np.where(energy > 0, energy, 1.0)


def physics_rows(P: np.ndarray, x: np.ndarray, s: np.ndarray, operator: ReducedOperator) -> LossRows:
    """Rows from the energy functional alone, at inputs P [n, d] with scaled features x [n, m] and amplitudes s [n]."""
    theta, phi = operator.weights(P)
    energy = or_mean(operator.energy_of_solution(P), NOTHING**2)
    scale = 1 / (len(P) * energy)
    return LossRows(x, theta * (scale * s**2)[:, None], (scale * s)[:, None] * (phi @ operator.loads), 1.0)


def assemble(parts: list[tuple[float, LossRows]], terms: np.ndarray) -> tuple[Rows, Float[np.ndarray, "k k"]]:
    """Weighted parts as one set of rows, and T with y = T y'."""
    phi = np.concatenate([w * part.phi for w, part in parts])
    b = np.concatenate([w * part.b for w, part in parts])
    constant = sum(w * part.constant for w, part in parts)
    mean = np.tensordot(phi.sum(axis=0), terms, 1)
    T = np.linalg.inv(np.linalg.cholesky(mean)).T
    rotated = np.einsum("ai,qab,bj->qij", T, terms, T, optimize=True)
    x: Any = [part.x for _, part in parts]
    if any(isinstance(a, Sloped) for a in x):
        each = [a if isinstance(a, Sloped) else Sloped(a, np.zeros_like(a), np.ones(len(a))) for a in x]
        x = Sloped(*(jnp.asarray(np.concatenate(column)) for column in zip(*each, strict=True)))
    else:
        x = jnp.asarray(np.concatenate(x))
    return Rows(x, *(jnp.asarray(a) for a in (phi, b @ T, constant, rotated))), T


def inverse(A: Float[Array, "h h"]) -> Float[Array, "h h"]:
    """The inverse of a positive definite matrix, exactly symmetric."""
    Z = gauss_jordan(jnp.concatenate([A, jnp.eye(A.shape[0])], axis=1))
    return (Z + Z.T) / 2


def best_head(h: Float[Array, "n h"], rows: Rows) -> Float[Array, "h k"]:
    """W, the exact minimiser of the loss over the last layer."""
    count, k = rows.phi.shape[1], rows.b.shape[1]
    grams = jnp.stack([(h * rows.phi[:, q : q + 1]).T @ h for q in range(count)])
    shares = jnp.trace(rows.terms, axis1=1, axis2=2) / k
    precondition = inverse(jnp.tensordot(shares, grams, 1) + RIDGE * jnp.eye(h.shape[1]))
    right = h.T @ rows.b

    def apply(W: Array) -> Array:
        return sum((grams[q] @ W @ rows.terms[q] for q in range(count)), RIDGE * W)

    W = precondition @ right
    r = right - apply(W)
    z = precondition @ r
    goal = CG_TOLERANCE**2 * jnp.vdot(right, W)

    def going(state: tuple[Any, ...]) -> Array:
        return (state[4] > goal) & (state[5] < CG_STEPS)

    def step(state: tuple[Any, ...]) -> tuple[Any, ...]:
        W, r, z, d, rz, i = state
        Ad = apply(d)
        alpha = rz / jnp.vdot(d, Ad)
        W, r = W + alpha * d, r - alpha * Ad
        z = precondition @ r
        new = jnp.vdot(r, z)
        return W, r, z, z + new / rz * d, new, i + 1

    return lax.while_loop(going, step, (W, r, z, z, jnp.vdot(r, z), 0))[0]


def loss_of(h: Float[Array, "n h"], rows: Rows) -> Float[Array, ""]:
    """The least loss over the last layer: a mean square relative error, plus the ridge. Its derivative in h is that at
    the best W, which is not differentiated through.
    """
    W = lax.stop_gradient(best_head(lax.stop_gradient(h), rows))
    y = h @ W
    energy = sum(jnp.vdot(rows.phi[:, q], jnp.sum((y @ rows.terms[q]) * y, axis=1)) for q in range(rows.phi.shape[1]))
    return energy - 2 * jnp.vdot(rows.b, y) + rows.constant + RIDGE * jnp.vdot(W, W)


class Squares(NamedTuple):
    """The same loss, but for a constant, as a sum of squares |root_i (y_i - best_i)|^2."""

    x: Float[Array, "n m"]
    root: Float[Array, "n k k"]
    best: Float[Array, "n k"]  # the least of each row's own loss


def as_squares(rows: Rows) -> Squares:
    """Rows whose matrices are positive definite, by the Cholesky factors of these."""
    A = np.einsum("nq,qij->nij", np.asarray(rows.phi), np.asarray(rows.terms), optimize=True)
    L = np.linalg.cholesky(A)
    best = np.linalg.solve(A, np.asarray(rows.b)[:, :, None])[:, :, 0]
    return Squares(rows.x, jnp.asarray(L.transpose(0, 2, 1)), jnp.asarray(best))


def with_constant(h: Float[Array, "n h"]) -> Float[Array, "n h+1"]:
    """A feature that is one, for the bias of the last layer."""
    return jnp.concatenate([h, jnp.ones((h.shape[0], 1))], axis=1)
