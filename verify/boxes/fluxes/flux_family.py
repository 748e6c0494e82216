"""Fluxes that balance the load at every input: what bounds over boxes of inputs are made of (``box_flux.py``).

    y = y_0 + sum_j mu_j psi_j,    B'y_0 = f,  B'psi_j = 0        (B: the factor rows of every cell, ``q1.flux``)

The fluxes a(p) B u(p) of all solutions balance the same load f, so they lie in one affine space, and close to one of
few dimensions: y_0 is the mean of snapshots, psi_j the leading left-overs. Each is made divergence-free by a solve with
the Laplacian, twice; what is left of the divergence is measured, its rounding included, and charged by the bound. How
many modes: until the best flux is good enough beside the surrogate's own error, at the snapshots.

``best`` is the flux next to the exact one at given weights: it minimises || a^(-1/2) y ||, for which no solution is
needed. Its small matrix comes from an expansion of 1/a in few terms; any mu at all gives a valid bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ....solvers.classes.diffusion import CellDiffusion
from ....solvers.discretisations import q1
from ....solvers.linear_algebra.dense import solve_spd
from ....solvers.precision import gamma
from ...unsolved import first_unsolved, with_others

MOST = 48  # modes
STEP = 8
ENOUGH = 0.1  # the flux's own error may be this share of the surrogate's, at nine of ten snapshots
TERMS = 100  # of 1/a
TERM_TOLERANCE = 1e-7


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FluxFamily:
    """r modes, T terms of 1/a, C cells; three flux components each."""

    start: Float[Array, "3 C"]
    modes: Float[Array, "r 3 C"]
    defects: Float[Array, " r+1"]  # at least ||f - B'y_0||_2, ||B'psi_j||_2
    sizes: Float[Array, " r+1"]  # at least the lengths of y_0, psi_j
    terms: Float[Array, "T C"]  # orthonormal
    gram: Float[Array, "T r r+1"]  # sum_c terms_c psi_i . [psi_j, -y_0]

    def best(self, inverse: Float[Array, "*n C"]) -> Float[Array, "*n r"]:
        """mu for 1/a at one input or at several; zero where it cannot be found."""
        r = self.modes.shape[0]
        small = jnp.tensordot(inverse @ self.terms.T, self.gram, 1)
        flat = small.reshape(-1, r, r + 1)
        mu = jax.vmap(lambda m: solve_spd(m[:, :r] + 1e-14 * jnp.trace(m[:, :r]) * jnp.eye(r), m[:, r]))(flat)
        return jnp.where(jnp.all(jnp.isfinite(mu), axis=1, keepdims=True), mu, 0.0).reshape(*inverse.shape[:-1], r)


def design(d: int) -> Float[np.ndarray, "n d"]:
    """Where fluxes are computed, in unit coordinates: corners, midpoints between them, the rest at random."""
    ticks = np.stack(np.meshgrid(*[np.array([0.0, 0.5, 1.0])] * d, indexing="ij"), axis=-1).reshape(-1, d)
    return np.concatenate([ticks, np.random.default_rng(0).random((64 * d, d))])


def flux_family(problem: CellDiffusion, surrogate: Any) -> FluxFamily | str:
    """The family over the whole box of the problem, or why there is none: the solver failed nearly everywhere.

    ``surrogate``: with basis and coefficients; its errors say how close the family has to come.
    """
    P = problem.inputs.from_unit(design(problem.inputs.dimension))
    attempts = problem.attempt_batch(P)
    U = np.asarray(attempts.u)
    solved = np.isfinite(U).all(axis=1)
    if solved.sum() < 3:
        first = with_others(problem, first_unsolved(problem, P, attempts))
        return f"the solver failed at {(~solved).sum()} of {len(P)} inputs. The first: {first}"
    P, U = P[solved], U[solved]
    a = np.asarray(jax.jit(jax.vmap(lambda p: problem.cell_weights(problem.theta(p)).reshape(1, -1)))(P))
    fluxes = a * gradients(problem, U)
    f = np.asarray(problem.load(jnp.asarray(P[0])))
    start = _balanced(problem, fluxes.mean(axis=0)[None], f)[0]
    flat = (fluxes - start).reshape(len(P), -1)
    values, vectors = np.linalg.eigh(flat @ flat.T)
    keep = (values > 1e-22 * max(values[-1], 1e-300)).sum()
    raw = (vectors[:, ::-1][:, : min(keep, MOST)].T @ flat).reshape(-1, *start.shape)
    modes = _balanced(problem, raw / np.linalg.norm(raw, axis=(1, 2), keepdims=True), np.zeros(problem.size))
    fields = np.asarray(surrogate.coefficients(P)) @ surrogate.basis.T
    errors = np.sqrt((a * gradients(problem, U - fields) ** 2).sum(axis=(1, 2)))
    terms = _expansion(1 / a[:, 0])
    for count in range(STEP, MOST + STEP, STEP):
        family = _family(problem, start, modes[:count], terms, f)
        mu = np.asarray(family.best(jnp.asarray(1 / a[:, 0])))
        own = np.sqrt(((fluxes - start - np.tensordot(mu, modes[:count], 1)) ** 2 / a).sum(axis=(1, 2)))
        if np.quantile(own / np.maximum(errors, 1e-300), 0.9) <= ENOUGH or count >= len(modes):
            break
    return family


def gradients(problem: CellDiffusion, U: Float[np.ndarray, "n N"]) -> Float[np.ndarray, "n 3 C"]:
    """B u of every row."""
    n = problem.cells + 1
    return np.asarray(jax.jit(jax.vmap(lambda u: q1.flux(u.reshape(n, n)).reshape(3, -1)))(U))


def _balanced(problem: CellDiffusion, Y: Float[np.ndarray, "n 3 C"], f: Any) -> Float[np.ndarray, "n 3 C"]:
    """Rows y with B'y = f to rounding."""
    solve = jax.jit(jax.vmap(problem.reference_solve))
    for _ in range(2):
        excess = np.zeros((len(Y), problem.size))
        excess[:, problem.free] = np.stack([_divergence(problem, y) for y in Y]) - f[problem.free]
        Y = Y - gradients(problem, np.asarray(solve(excess)))
    return Y


def _divergence(problem: CellDiffusion, y: Float[np.ndarray, "3 C"]) -> Float[np.ndarray, " n"]:
    n = problem.cells
    out: Any = q1.divergence(y.reshape(3, n, n))  # type: ignore[arg-type]  # numpy here
    return out.reshape(-1)


def defect(problem: CellDiffusion, y: Float[np.ndarray, "3 C"], f: Float[np.ndarray, " N"]) -> float:
    """At least ||f - B'y||_2: as computed, and its rounding, twelve terms of at most four roundings each."""
    n, free = problem.cells, problem.free
    left = f[free] - _divergence(problem, y)
    x, z, h = (np.abs(v).reshape(n, n) for v in y)
    size = x / 2 + z / 2 + h / np.sqrt(6.0)
    total = size[1:, 1:] + size[:-1, 1:] + size[1:, :-1] + size[:-1, :-1]
    rounding = gamma(24) * (np.abs(f[free]) + total.reshape(-1))
    return float(np.linalg.norm(np.abs(left) + rounding)) * (1 + 1e-12)


def _expansion(inverse: Float[np.ndarray, "n C"]) -> Float[np.ndarray, "T C"]:
    """Cell functions that span all 1/a to a small error, relative to each one's own size."""
    rows = inverse / np.linalg.norm(inverse, axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(rows @ rows.T)
    keep = min(int((values > TERM_TOLERANCE**2 * values[-1]).sum()), TERMS)
    return np.linalg.qr((vectors[:, ::-1][:, :keep].T @ rows).T)[0].T


def _family(
    problem: CellDiffusion, start: np.ndarray, modes: np.ndarray, terms: np.ndarray, f: np.ndarray
) -> FluxFamily:
    zero = np.zeros(problem.size)
    right = np.concatenate([modes, -start[None]])
    gram = np.einsum("tc,isc,jsc->tij", terms, modes, right, optimize=True)
    return FluxFamily(
        start=jnp.asarray(start),
        modes=jnp.asarray(modes),
        defects=jnp.asarray([defect(problem, start, f), *(defect(problem, y, zero) for y in modes)]),
        sizes=jnp.asarray([np.linalg.norm(y) * (1 + 1e-12) for y in (start, *modes)]),
        terms=jnp.asarray(terms),
        gram=jnp.asarray(gram),
    )
