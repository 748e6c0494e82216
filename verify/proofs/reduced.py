"""The same two-sided bound in reduced coordinates, for surrogates N = V c(p) with a basis: microseconds a query.

With f = sum_j phi_j f_j and A = sum_q theta_q A_q the residual is r = G s, G = [f_j, A_q v_i], s = [phi_j, -theta_q
c_i]. For each of K references z_k = W x_k, x_k = R_k s, where W spans A_k^-1 G to working accuracy (its joint rank is
small: 20 to 40 for the thermal block). As in ``thomson.py`` any z will do, so truncating W is not an approximation of
the bound but part of rho = r - sum_k w_k A_k z_k = sum_k w_k D_k s, whose columns are measured once. Then with weights
w summing to one

    ||e||_A <= ( sum_q | F_q sum_k w_k tref_kq x_k |^2 / theta_q )^(1/2) + sum_k |w_k| charge_k,
    charge_k = sum_j |s_j| phi_kj / lambda_min(A)^(1/2) + rounding

Weights that make the first sum least may be large and of both signs, and multiply charges that do not cancel: so the
charges are in what the weights minimise, and the bound of a single reference counts where it is smaller.

F_q' F_q - W' A_q W is *verified* positive semidefinite (a factor of a slightly enlarged matrix), phi_kj covers ||D_k
e_j|| and every rounding error, and the surrogate's own product V c enters through its a-priori rounding error, so the
bound holds for the field as it is returned. Never the quadratic form of a Gram matrix of A_ref^-1 G itself: it loses
half of the digits; W is orthonormal in the reference energy, so W' A_q W has none to lose. References: Buhr, Engwer,
Ohlberger, Rave 2014 (stable estimators);
Haasdonk 2017 (offline/online decomposition).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float

from ...solvers.classes.coercive import CoerciveProblem
from ...solvers.linear_algebra.dense import solve_spd
from ...solvers.linear_algebra.direct import factorise
from ...solvers.precision import RANGE, UNIT_ROUNDOFF, gamma
from ..answers.evaluate import as_float64
from .bounds import SLACK, ErrorBounds
from .thomson import UNDERFLOW, assemble, dual_factor, in_range, simplex_weights

MOST_REFERENCES = 19  # those of nine inputs
RANK_TOLERANCE = 1e-11  # directions of W dropped below this share; what they carried is measured and added


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ReducedData:
    """Everything a query needs, independent of the grid. k modes, J load terms, Q terms, m = J + Q k columns of G,
    rank r.
    """

    references: Float[Array, "K Q"]
    solves: Float[Array, "K r m"]  # R_k
    factors: Float[Array, "Q r r"]  # F_q
    pairing: Float[Array, "r m"]  # W'G
    pairing_error: Float[Array, " m"]
    defects: Float[Array, "K m"]  # phi_j of each reference, rounding of R_k s and what s_q adds included
    missed: Float[Array, "K m"]  # phi_j alone: ||D_k e_j|| and the rounding in evaluating it
    solve_norms: Float[Array, "K m"]  # ||R_k e_j||_2
    factor_norms: Float[Array, " Q"]  # ||F_q||_F
    shifts: Float[Array, " Q"]  # s_q of ``CoerciveProblem.indefiniteness``
    spread: Float[Array, ""]  # at least ||W x||_2 / ||x||_2
    load_mode: Float[Array, "J k"]  # f_j . v_i
    load_mode_error: Float[Array, "J k"]
    stiffness: Float[Array, "Q k k"]  # v_i . A_q v_j
    stiffness_error: Float[Array, "Q k k"]
    mode_norms: Float[Array, " k"]  # ||v_i||_2
    row_sums: Float[Array, " Q"]  # ||A_q||_inf


def reference_points(problem: CoerciveProblem) -> Float[np.ndarray, "K Q"]:
    """The centre of the box, and the centre with one input at its upper or lower end: 2 d + 1 references."""
    d = problem.inputs.dimension
    X = np.full((2 * d + 1, d), 0.5)
    for i in range(d):
        X[1 + i, i], X[1 + d + i, i] = 1.0, 0.0
    return np.stack([np.asarray(problem.theta(jnp.asarray(p))) for p in problem.inputs.from_unit(X)])


class ReducedBound:
    """Offline once per surrogate, then ``bound(p, c)`` in JAX for one query.

    Raises:
        ValueError: the problem has no expansion in few terms, or the basis is not [N, k], finite, and exactly zero in
            prescribed entries.
    """

    def __init__(self, problem: CoerciveProblem, basis: Any, coefficients: Callable[[Any], Any]) -> None:
        loads = problem.load_terms()
        if loads is None:
            raise ValueError(
                f"{problem.name} is not affine in few terms: {problem.few_terms_remedy}certify full fields instead"
            )
        V = as_float64(basis)
        if V.ndim != 2 or V.shape[0] != problem.size or not np.isfinite(V).all():
            raise ValueError(f"the basis must be a finite [{problem.size}, k] array, not {list(V.shape)}")
        if V[~problem.free].any():
            raise ValueError("the basis must vanish exactly where values are prescribed")
        sizes = np.linalg.norm(V, axis=0)
        if not ((sizes == 0) | ((sizes >= 1 / RANGE) & (sizes <= RANGE))).all():
            raise ValueError("the modes' lengths must lie between 2^-100 and 2^100: scale the basis")
        self.problem = problem
        self.basis = V
        P = problem.inputs.sample(128, seed=1)
        c = np.nan_to_num(np.abs(as_float64(coefficients(P))).max(axis=0))
        if c.shape != (V.shape[1],):
            raise ValueError(f"coefficients(P) must have one column per mode ({V.shape[1]}), not shape {list(c.shape)}")
        theta = np.abs(np.stack([np.asarray(problem.theta(jnp.asarray(p))) for p in P])).max(axis=0)
        typical = np.concatenate([np.ones(len(loads)), np.outer(theta, c).ravel()])
        self.data = _offline(problem, V, loads, typical, reference_points(problem)[:MOST_REFERENCES])

    def bound(self, p: Float[Array, " d"], c: Float[Array, " k"], references: int | None = None) -> ErrorBounds:
        """Bounds of the error of V c as evaluated in float64; ``references``: how many to combine, all by default."""
        return reduced_bound(self.problem, self.data, p, c, references)

    def galerkin(self, p: Float[Array, " d"]) -> Float[Array, " k"]:
        """The best coefficients in the surrogate's basis in the energy norm: one k x k system."""
        theta = self.problem.theta(p)
        matrix = jnp.tensordot(theta, self.data.stiffness, 1)
        return solve_spd(matrix, self.problem.load_weights(p) @ self.data.load_mode)


def _offline(
    problem: CoerciveProblem, V: np.ndarray, loads: np.ndarray, typical: np.ndarray, references: np.ndarray
) -> ReducedData:
    """Everything of ``ReducedData``, once: solution space W, solves and defects of each reference, factors, products.

    Args:
        V: modes [N, k].
        loads: load terms [J, N].
        typical: sizes [m] of the entries of s, by which the columns of G are weighed in the choice of W.
        references: weights [K, Q] of the references.
    """
    free = problem.free
    V, loads = V[free].T, loads[:, free]  # rows from here on, free entries only
    Q, n = references.shape[1], int(free.sum())
    shifts = np.zeros(Q) if problem.indefiniteness is None else problem.indefiniteness
    unit = np.eye(Q)
    terms = [problem.matrix(e) for e in unit]
    absolute_rows = jax.jit(lambda theta, X: jax.lax.map(lambda u: problem.apply_absolute(theta, u), X))

    def absolute(X: np.ndarray) -> np.ndarray:
        """|A_q| |x| for every row x, [Q, rows, n]."""
        full = np.zeros((len(X), problem.size))
        full[:, free] = X
        return np.stack([np.asarray(absolute_rows(e, full))[:, free] for e in unit])

    G = np.concatenate([loads, *((A @ V.T).T for A in terms)])  # [m, n]
    absolute_AV = absolute(V)
    rounds = gamma(problem.rounding_count + 12)  # a matrix entry, then its row's sum
    G_error = rounds * np.concatenate([np.abs(loads), *absolute_AV])

    W = _solution_space(problem, references, G * typical[:, None])
    AW = np.stack([(A @ W.T).T for A in terms])  # [Q, r, n]
    absolute_AW = absolute(W)
    energies = AW @ W.T  # W' A_q W, [Q, r, r]

    solves, defects, missed = [], [], []
    for theta in references:  # R_k: the Galerkin solutions in W; whatever they miss is in D
        R = np.linalg.solve(np.tensordot(theta, energies, 1), W @ G.T)
        D = G - R.T @ np.tensordot(theta, AW, 1)
        sizes = np.abs(R).T @ np.tensordot(theta, absolute_AW, 1)
        given = np.abs(D) + G_error + 8 * UNIT_ROUNDOFF * np.abs(G)
        missed.append(np.linalg.norm(given + gamma(problem.rounding_count + len(W) + Q + 8) * sizes, axis=1) * 1.001)
        total = given + gamma(problem.rounding_count + len(W) + len(typical) + Q + 16) * sizes
        solves.append(R)
        # A_q + s_q I is what the factors bound; what s_q adds belongs to D
        stray = np.einsum("q,m->m", shifts * theta, np.linalg.norm(R.T @ W, axis=1))
        defects.append((np.linalg.norm(total, axis=1) + stray) * 1.001)
    factors, square = [], float(np.linalg.norm(W) ** 2)
    for q in range(Q):
        error = gamma(n + problem.rounding_count + 12) * (np.abs(W) @ absolute_AW[q].T)
        energy = energies[q] + shifts[q] * (W @ W.T)
        factors.append(_factor_above(energy, (float(np.linalg.norm(error)) + 1e-12 * shifts[q] * square) * 1.01))
    pairing_error = (rounds + gamma(n)) * np.linalg.norm(np.abs(W) @ np.abs(G).T, axis=0) + np.linalg.norm(
        np.abs(W) @ G_error.T, axis=0
    )
    stiffness = np.stack([V @ (A @ V.T) for A in terms])
    stiffness_error = gamma(n + problem.rounding_count + 12) * np.einsum("kn,qln->qkl", np.abs(V), absolute_AV)
    row_sums = absolute(np.ones((1, n)))[:, 0].max(axis=1)
    return ReducedData(
        references=jnp.asarray(references),
        solves=jnp.asarray(np.stack(solves)),
        factors=jnp.asarray(np.stack(factors)),
        pairing=jnp.asarray(W @ G.T),
        pairing_error=jnp.asarray(1.01 * pairing_error),
        defects=jnp.asarray(np.stack(defects)),
        missed=jnp.asarray(np.stack(missed)),
        solve_norms=jnp.asarray(np.linalg.norm(np.stack(solves), axis=1) * 1.001),
        factor_norms=jnp.asarray(np.linalg.norm(np.stack(factors), axis=(1, 2)) * 1.001),
        shifts=jnp.asarray(shifts),
        spread=jnp.asarray(1.001 * np.sqrt(np.linalg.norm(W @ W.T) + gamma(n + 4) * square)),
        load_mode=jnp.asarray(loads @ V.T),
        load_mode_error=jnp.asarray(1.01 * gamma(n + 4) * (np.abs(loads) @ np.abs(V).T)),
        stiffness=jnp.asarray(stiffness),
        stiffness_error=jnp.asarray(1.01 * stiffness_error),
        mode_norms=jnp.asarray(np.linalg.norm(V, axis=1) * 1.001),
        row_sums=jnp.asarray(1.001 * row_sums),
    )


def _solution_space(
    problem: CoerciveProblem, references: np.ndarray, G: np.ndarray, sketches: int = 12
) -> Float[np.ndarray, "r n"]:
    """A basis of the reference solutions A_k^-1 g for all rows g of G, from a few random combinations of them each.

    The joint rank is small, so a randomised range finder does (Halko, Martinsson, Tropp 2011); missed directions cost
    sharpness, never validity.
    """
    rng = np.random.default_rng(0)
    count = min(sketches, len(G))
    pieces = []
    for theta in references:
        combinations = rng.standard_normal((count, len(G))) @ G if count < len(G) else G
        pieces.append(factorise(problem.matrix(theta))(np.ascontiguousarray(combinations.T)).T)
    return _energy_basis(problem.matrix(problem.reference_theta), np.concatenate(pieces))


def _energy_basis(A: sp.csr_matrix, Z: np.ndarray) -> Float[np.ndarray, "r n"]:
    """Rows spanning the rows of Z to RANK_TOLERANCE, orthonormal in the energy of A.

    A Gram matrix resolves half of the digits only; so its leading part is taken, projected off, the rest rescaled.
    """
    found = np.zeros((0, Z.shape[1]))
    first = 0.0
    for _ in range(4):
        eigenvalues, vectors = np.linalg.eigh(Z @ (A @ Z.T))
        sizes = np.sqrt(np.maximum(eigenvalues[::-1], 0))
        first = first or sizes[0]
        keep = (sizes > 1e-6 * sizes[0]) & (sizes > RANK_TOLERANCE * first)
        if not keep.any():
            break
        new = (vectors[:, ::-1][:, keep].T @ Z) / sizes[keep][:, None]
        for _ in range(2):  # once more against rounding
            new = new - (new @ (A @ found.T)) @ found
            new = np.linalg.solve(np.linalg.cholesky(new @ (A @ new.T)), new)
        found = np.concatenate([found, new])
        for _ in range(2):
            Z = Z - (Z @ (A @ new.T)) @ new
    return found if len(found) else np.zeros((1, Z.shape[1]))


def _factor_above(matrix: np.ndarray, error: float) -> Float[np.ndarray, "r r"]:
    """F with F'F - M positive semidefinite for every symmetric M within ``error`` (2-norm) of ``matrix``, verified."""
    matrix = (matrix + matrix.T) / 2
    size = len(matrix)
    shift = 2 * (error + 1e3 * size * UNIT_ROUNDOFF * np.linalg.norm(matrix))
    while True:
        eigenvalues, vectors = np.linalg.eigh(matrix)
        F = np.sqrt(np.maximum(eigenvalues, 0) + shift)[:, None] * vectors.T
        # F'F = matrix + shift + E (rounding of this product included): enough if ||E|| + error <= shift.
        E = np.linalg.norm(F.T @ F - matrix - shift * np.eye(size)) + gamma(size + 4) * np.linalg.norm(
            np.abs(F).T @ np.abs(F)
        )
        if 1.01 * E + error <= shift:
            return F
        shift *= 4


def reduced_bound(
    problem: CoerciveProblem, data: ReducedData, p: Array, c: Array, references: int | None = None
) -> ErrorBounds:
    """``ReducedBound.bound``, of data that are given to it."""
    theta, phi = problem.theta(p), problem.load_weights(p)
    trusted = in_range(theta, phi) & jnp.all(jnp.abs(c) <= RANGE**2)
    theta, c = jnp.where(trusted, theta, 1.0), jnp.where(trusted, c, 0.0)
    s = jnp.concatenate([phi, -jnp.outer(theta, c).reshape(-1)])
    size = jnp.abs(s)
    count = data.references.shape[0] if references is None else references
    tref = data.references[:count]
    x = data.solves[:count] @ s  # [K, r]
    root = jnp.sqrt(theta)
    # y_kq = F_q x_k tref_kq / theta_q^(1/2)
    fluxes = jnp.einsum("qrs,ks->kqr", data.factors, x) * (tref / root)[:, :, None]
    factor, dual = problem.flux_factor(theta), dual_factor(problem, theta)
    charges = _charges(data, tref, root, x, size, factor, dual)
    lengths = jnp.sqrt(jnp.sum(fluxes**2, axis=(1, 2)))
    singles = lengths * factor + charges
    least = jnp.argmin(jnp.where(jnp.isfinite(singles), singles, jnp.inf))
    flux, floor = lengths[least], charges[least]
    if count > 1:
        w = _weights(fluxes.reshape(count, -1), charges)
        combined = jnp.tensordot(w, fluxes, 1)
        share, length = jnp.abs(w), jnp.sqrt(jnp.vdot(combined, combined))
        # rounding: of K products and their sum, and of the weights' sum, by which the whole would be divided
        lost = gamma(count + 4) * factor * (share @ lengths + jnp.sum(share) * length)
        of_all = length, share @ charges + 1.01 * lost
        better = factor * of_all[0] + of_all[1] < singles[least]
        flux, floor = (jnp.where(better, new, old) for new, old in zip(of_all, (flux, floor), strict=True))
    flux, floor = flux * factor, floor + gamma(data.factors.shape[-1] * len(theta) + 40) * flux * factor + UNDERFLOW
    # The field returned is the float64 product V c: its rounding error in the energy norm.
    product = jnp.sqrt(theta @ data.row_sums) * gamma(len(c) + 4) * (data.mode_norms @ jnp.abs(c)) * 1.01
    floor = floor + product
    upper = (flux + floor) * SLACK
    lower = (
        _lower(data, theta, _test_direction(data, theta, fluxes * (theta / tref)[:, :, None], x, s), s, size) - product
    )
    energy, energy_error = _energy_difference(data, theta, phi, c)
    # c of the exact product and of the rounded one differ by at most 2 |r.dN| + ||dN||^2 <= product (2 upper + product)
    energy_error = energy_error + 1.01 * product * (2 * upper + product)
    return assemble(jnp.maximum(lower, 0.0), upper, floor, energy, energy_error, trusted)


def _charges(
    data: ReducedData, tref: Array, root: Array, x: Array, size: Array, factor: Array | float, dual: Array
) -> Float[Array, " K"]:
    """What the flux of each reference leaves out, ||r - A_k W x_k||_(A^-1), and rounding; see the module's docstring.

    x_k as computed is R_k s + delta, |delta| <= gamma |R_k| |s|: A_k W delta is a flux of its own, never divided by the
    smallest eigenvalue. So are the roundings of F_q x_k. What s_q adds, tref_q s_q W x_k, is as small as x_k is.
    """
    count, rank = x.shape
    scales = jnp.sqrt(jnp.sum((tref / root * data.factor_norms) ** 2, axis=1)) * factor  # of ||x|| in a flux
    lost = gamma(len(size) + 4) * (data.solve_norms[:count] @ size)
    length = jnp.sqrt(jnp.sum(x**2, axis=1))
    strays = (tref @ data.shifts) * data.spread * (length + lost)
    missed = data.missed[:count] @ size + strays
    return (scales * (lost + gamma(rank + 40) * length) + missed * dual) * 1.001


def _weights(fluxes: Float[Array, "K n"], charges: Float[Array, " K"]) -> Float[Array, " K"]:
    """Weights summing to one of a small |sum w_k y_k| + sum |w_k| charge_k: the square of the latter is at most
    K sum w_k^2 charge_k^2, so that both together are a quadratic form.
    """
    gram = fluxes @ fluxes.T
    return jnp.stack(simplex_weights(gram + len(charges) * jnp.diag(charges**2)))


def _test_direction(data: ReducedData, theta: Array, images: Array, x: Array, s: Array) -> Float[Array, " r"]:
    """Galerkin in the span of the reference solutions; ``images`` are theta^(1/2) F_q x_k. Any direction is valid."""
    flat = images.reshape(len(x), -1)
    gram = flat @ flat.T
    gram = gram + 1e-13 * jnp.trace(gram) * jnp.eye(len(x))
    return solve_spd(gram, x @ (data.pairing @ s)) @ x


def _lower(data: ReducedData, theta: Array, t: Array, s: Array, size: Array) -> Float[Array, ""]:
    """|t.r| / ||t||_A for t = W x; the factors F_q bound ||t||_A from above."""
    product = data.pairing @ s
    scale = jnp.sqrt(jnp.vdot(t, t))
    error = scale * (data.pairing_error @ size) + gamma(len(s) + len(t) + 8) * (
        jnp.abs(t) @ (jnp.abs(data.pairing) @ size)
    )
    image = (data.factors @ t) * jnp.sqrt(theta)[:, None]
    absolute = (jnp.abs(data.factors) @ jnp.abs(t)) * jnp.sqrt(theta)[:, None]
    norm = jnp.sqrt(jnp.sum(image**2)) + gamma(len(t) + 40) * jnp.sqrt(jnp.sum(absolute**2)) + UNDERFLOW
    numerator = jnp.maximum(jnp.abs(t @ product) - 1.01 * error, 0.0)
    return jnp.maximum(numerator / norm / SLACK - UNDERFLOW, 0.0)


def _energy_difference(data: ReducedData, theta: Array, phi: Array, c: Array) -> tuple[Array, Array]:
    """||u||^2 - ||e||^2 = 2 f.N - N.A N and a bound of its rounding."""
    a = jnp.abs(c)
    value = 2 * (phi @ (data.load_mode @ c)) - theta @ ((data.stiffness @ c) @ c)
    given = 2 * (jnp.abs(phi) @ (data.load_mode_error @ a)) + theta @ ((data.stiffness_error @ a) @ a)
    done = gamma(4 * len(c) + len(theta) + 16) * (
        2 * (jnp.abs(phi) @ (jnp.abs(data.load_mode) @ a)) + theta @ ((jnp.abs(data.stiffness) @ a) @ a)
    )
    return value, 1.01 * (given + done) + UNDERFLOW
