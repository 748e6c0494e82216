"""Once per surrogate, on the host: what ``reduced_bound.py`` and ``enriched.py`` need for queries (``ReducedData``).

Everything of the size of the grid is made here and left here, in pieces: no array is larger than a few of G or W. Where
a product of rows is a sum over the grid it is formed piece by piece, so that its rounding is that of a piece and of the
number of pieces, not of the grid's size (Higham 2002, section 4.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float

from ....solvers.classes.coercive import CoerciveProblem
from ....solvers.precision import UNIT_ROUNDOFF, gamma

RANK_TOLERANCE = 1e-11  # directions of W dropped below this share; what they carried is measured and added
PIECE = 512  # entries of a row in one sum
BLOCK = 64 << 20  # bytes of a block of rows


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ReducedData:
    """Everything a query needs, independent of the grid. k modes, J load terms, Q terms, m = J + Q k columns of G,
    rank r.
    """

    references: Float[Array, "K Q"]
    solves: Float[Array, "K r m"]  # R_k
    factors: Float[Array, "Q r r"]  # F_q; [Q 1 1] of NaN where W is so large that all terms are bounded at once
    pairing: Float[Array, "r m"]  # W'G
    pairing_error: Float[Array, " m"]  # of t . (W'G s) / ||t||, for each unit of |s_j|
    defects: Float[Array, "K m"]  # phi_j of each reference, rounding of R_k s and what s_q adds included
    missed: Float[Array, "K m"]  # phi_j alone: ||D_k e_j|| and the rounding in evaluating it
    solve_norms: Float[Array, "K m"]  # ||R_k e_j||_2
    factor_norms: Float[Array, " Q"]  # ||F_q||_F
    stretch: Float[Array, ""]  # at least the norm of W' (A_0 + sum_q tref_0q s_q) W
    shifts: Float[Array, " Q"]  # s_q of ``CoerciveProblem.indefiniteness``
    spread: Float[Array, ""]  # at least ||W x||_2 / ||x||_2
    load_mode: Float[Array, "J k"]  # f_j . v_i
    load_mode_error: Float[Array, "J k"]
    stiffness: Float[Array, "Q k k"]  # v_i . A_q v_j
    stiffness_error: Float[Array, "Q k k"]
    preconditioner: Float[Array, "k k"]  # nearly the inverse of v_i . A_0 v_j
    mode_norms: Float[Array, " k"]  # ||v_i||_2
    mode_images: Float[Array, "Q k"]  # || |A_q| |v_i| ||_2, and a bound of the stiffness by mode_norms
    load_norms: Float[Array, " J"]  # ||f_j||_2
    mode_rounding: Float[Array, ""]  # relative to products of these, the error of an entry of stiffness or load_mode
    row_sums: Float[Array, " Q"]  # ||A_q||_inf


def is_lumped(data: ReducedData) -> bool:
    """Whether all terms are bounded at once, by ``stretch``, instead of each by its factor."""
    return data.factors.shape[-1] != data.solves.shape[1]


class Terms:
    """The matrices of a problem over its free entries, with the sizes that rounding goes by."""

    def __init__(self, problem: CoerciveProblem) -> None:
        self.problem, self.free = problem, problem.free
        self.size, self.count = int(problem.free.sum()), len(problem.reference_theta)
        self.unit = np.eye(self.count)
        none = problem.indefiniteness is None
        self.shifts = np.zeros(self.count) if none else np.asarray(problem.indefiniteness)
        self.rounds = gamma(problem.rounding_count + 12)  # a matrix entry, then its row's sum
        self._absolute = [problem.absolute_matrix(e) for e in self.unit]
        self._rows = jax.jit(lambda theta, X: jax.lax.map(lambda u: problem.apply_absolute(theta, u), X))

    def absolute(self, q: int, X: np.ndarray) -> np.ndarray:
        """|A_q| |x| for every row x, [rows, n]."""
        matrix = self._absolute[q]
        if matrix is not None:
            return _images(matrix, np.abs(X))
        full = np.zeros((len(X), self.problem.size))
        full[:, self.free] = X
        return np.asarray(self._rows(self.unit[q], full))[:, self.free]

    def absolute_norms(self, X: np.ndarray) -> Float[np.ndarray, "Q rows"]:
        """|| |A_q| |x| || of every row."""
        block = max(1, BLOCK // (8 * self.size))
        starts = range(0, len(X), block)
        return np.stack(
            [
                np.concatenate([np.linalg.norm(self.absolute(q, X[i : i + block]), axis=1) for i in starts])
                for q in range(self.count)
            ]
        )

    def apply(self, theta: np.ndarray, X: np.ndarray) -> np.ndarray:
        """A(theta) x for every row x."""
        return _images(self.problem.matrix(theta), X)


def _images(A: sp.csr_matrix, X: np.ndarray) -> np.ndarray:
    """A x for every row x: one after another, since scipy would transpose all of them twice."""
    out = np.empty((len(X), A.shape[0]))
    for row, x in zip(out, X, strict=True):
        row[:] = A @ x
    return out


def dots(X: Float[np.ndarray, "a n"], Y: Float[np.ndarray, "b n"]) -> Float[np.ndarray, "a b"]:
    """x . y for all rows, in pieces: ``dot_rounding`` times ||x|| ||y|| is at least the rounding of each."""
    total = np.zeros((len(X), len(Y)))
    for i in range(0, X.shape[1], PIECE):
        total += X[:, i : i + PIECE] @ Y[:, i : i + PIECE].T
    return total


def dot_rounding(n: int) -> float:
    """gamma of the longest chain of sums in ``dots`` of rows of n entries."""
    return gamma(min(n, PIECE) + -(-n // PIECE) + 2)


def columns_of(terms: Terms, V: np.ndarray, loads: np.ndarray) -> Float[np.ndarray, "m n"]:
    """G by rows: the load terms, then A_q v_i, q by q."""
    return np.concatenate([loads, *(terms.apply(e, V) for e in terms.unit)])


def offline(
    terms: Terms,
    V: np.ndarray,
    loads: np.ndarray,
    G: np.ndarray,
    W: np.ndarray,
    references: np.ndarray,
    lumped: bool = False,
) -> ReducedData:
    """``ReducedData`` of the modes V, by solves in the span of W.

    Args:
        V: modes [k, n], by rows, free entries only; so are ``loads`` [J, n], ``G`` [m, n] and ``W`` [r, n].
        references: weights [K, Q].
        lumped: leave out the factors of the single terms.
    """
    problem, shifts, Q, n = terms.problem, terms.shifts, terms.count, terms.size
    m, r = len(G), len(W)
    norms_V, norms_W = terms.absolute_norms(V), terms.absolute_norms(W)
    lengths_V, lengths_W, lengths_G = (np.linalg.norm(X, axis=1) for X in (V, W, G))
    G_error = terms.rounds * np.concatenate([np.linalg.norm(loads, axis=1), *norms_V])
    dot = dot_rounding(n)
    square = float(np.linalg.norm(W) ** 2)  # W W' is at most this

    def energy(theta: np.ndarray) -> tuple[np.ndarray, float]:
        """W' A(theta) W, and how far it may be off."""
        # A w_j as computed is within ``rounds`` |A| |w_j| of the exact one, the sums over the grid within ``dot``
        error = (terms.rounds + gamma(Q + 4) + 1.01 * dot) * np.linalg.norm(lengths_W) * np.linalg.norm(theta @ norms_W)
        return dots(terms.apply(theta, W), W), float(1.01 * error)

    pairing = dots(W, G)

    solves, defects, missed = [], [], []
    stretch = 0.0  # of the first reference
    factors = np.full((Q, 1, 1), np.nan)  # so that nobody proves anything by them
    if not lumped:
        found = [energy(e) for e in terms.unit]
        factors = np.stack(
            [factor_above(m, off + 1.01 * s * square) for (m, off), s in zip(found, shifts, strict=True)]
        )
    for theta in references:  # R_k: the Galerkin solutions in W; whatever they miss is in D
        gram, off = energy(theta)
        R = np.linalg.solve(gram, pairing)
        stretch = stretch or 1.001 * (1 + np.linalg.norm(gram - np.eye(r)) + off + 1.01 * (theta @ shifts) * square)
        image = terms.apply(theta, W)
        squares = np.zeros(m)
        for i in range(0, n, max(1, BLOCK // (8 * m))):
            part = slice(i, i + max(1, BLOCK // (8 * m)))
            squares += np.sum((G[:, part] - R.T @ image[:, part]) ** 2, axis=1)
        sizes = np.abs(R).T @ (theta @ norms_W)
        given = np.sqrt(squares) + G_error + 8 * UNIT_ROUNDOFF * lengths_G
        missed.append((given + gamma(problem.rounding_count + r + Q + 8) * sizes) * 1.001)
        # A_q + s_q I is what the factors bound; what s_q adds belongs to D
        stray = (shifts @ theta) * np.sqrt(square) * np.linalg.norm(R, axis=0)
        total = given + gamma(problem.rounding_count + r + m + Q + 16) * sizes
        defects.append((total + stray) * 1.001)
        solves.append(R)

    stiffness = np.stack([dots(V, terms.apply(e, V)) for e in terms.unit])
    stiffness_error = (terms.rounds + 1.01 * dot) * lengths_V[:, None] * norms_V[:, None, :]
    row_sums = np.array([terms.absolute(q, np.ones((1, n))).max() for q in range(Q)])
    given_up = np.linalg.norm(lengths_W) * (G_error + 1.01 * dot * lengths_G)
    return ReducedData(
        references=jnp.asarray(references),
        solves=jnp.asarray(np.stack(solves)),
        factors=jnp.asarray(factors),
        pairing=jnp.asarray(pairing),
        pairing_error=jnp.asarray(1.01 * (given_up + gamma(m + r + 8) * np.linalg.norm(pairing, axis=0))),
        defects=jnp.asarray(np.stack(defects)),
        missed=jnp.asarray(np.stack(missed)),
        solve_norms=jnp.asarray(np.linalg.norm(np.stack(solves), axis=1) * 1.001),
        factor_norms=jnp.asarray(np.linalg.norm(factors, axis=(1, 2)) * 1.001),
        stretch=jnp.asarray(stretch),
        shifts=jnp.asarray(shifts),
        spread=jnp.asarray(1.001 * np.sqrt(square)),
        load_mode=jnp.asarray(dots(loads, V)),
        load_mode_error=jnp.asarray(1.01 * dot * np.linalg.norm(loads, axis=1)[:, None] * lengths_V),
        stiffness=jnp.asarray(stiffness),
        stiffness_error=jnp.asarray(1.01 * stiffness_error),
        preconditioner=jnp.asarray(np.linalg.pinv(np.tensordot(references[0], stiffness, 1), rcond=1e-13)),
        mode_norms=jnp.asarray(lengths_V * 1.001),
        mode_images=jnp.asarray(norms_V * 1.001),
        load_norms=jnp.asarray(np.linalg.norm(loads, axis=1) * 1.001),
        mode_rounding=jnp.asarray(1.01 * (terms.rounds + 1.01 * dot)),
        row_sums=jnp.asarray(1.001 * row_sums),
    )


def solution_space(terms: Terms, references: np.ndarray, G: np.ndarray, sketches: int) -> Float[np.ndarray, "r n"]:
    """A basis of the reference solutions A_k^-1 g for all rows g of G, from a few random combinations of them each.

    The joint rank is often small, so a randomised range finder does (Halko, Martinsson, Tropp 2011); missed directions
    cost sharpness, never validity.
    """
    problem, rng = terms.problem, np.random.default_rng(0)
    pieces = []
    for theta in references:
        some = rng.standard_normal((sketches, len(G))) @ G if sketches < len(G) else G
        pieces.append(solved(problem.factor(theta), some))
    return energy_basis(problem.matrix(problem.reference_theta), np.concatenate(pieces))


def solved(solve: Callable[[np.ndarray], np.ndarray], rows: Float[np.ndarray, "m n"]) -> Float[np.ndarray, "m n"]:
    """The solutions for all rows, some at a time."""
    out = np.empty_like(rows)
    for i in range(0, len(rows), 32):
        out[i : i + 32] = solve(np.ascontiguousarray(rows[i : i + 32].T)).T
    return out


def energy_basis(A: sp.csr_matrix, Z: np.ndarray) -> Float[np.ndarray, "r n"]:
    """Rows spanning the rows of Z to RANK_TOLERANCE, orthonormal in the energy of A.

    A Gram matrix resolves half of the digits only; so its leading part is taken, projected off, the rest rescaled.
    """
    found = np.zeros((0, Z.shape[1]))
    first = 0.0
    for _ in range(4):
        if not len(Z):
            break
        eigenvalues, vectors = np.linalg.eigh(dots(Z, _images(A, Z)))
        vectors = vectors[:, ::-1].T
        sizes = np.sqrt(np.maximum(eigenvalues[::-1], 0))
        first = first or sizes[0]
        keep = (sizes > 1e-6 * sizes[0]) & (sizes > RANK_TOLERANCE * first)
        if not keep.any():
            break
        new = (vectors[keep] @ Z) / sizes[keep][:, None]
        for _ in range(2 if len(found) else 1):  # once more against rounding
            if len(found):
                new = new - dots(new, _images(A, found)) @ found
            new = np.linalg.inv(np.linalg.cholesky(dots(new, _images(A, new)))) @ new
        found = np.concatenate([found, new])
        if keep.all():
            break
        Z = vectors[~keep] @ Z
        for _ in range(2):
            Z = Z - dots(Z, _images(A, new)) @ new
    return found if len(found) else np.zeros((1, Z.shape[1]))


def factor_above(matrix: np.ndarray, error: float) -> Float[np.ndarray, "r r"]:
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
