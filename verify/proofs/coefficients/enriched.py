"""Sharp bounds from coefficients where references are too many to combine: the basis is enlarged by modes of the error.

Let v = V c be the answer and w = [V E] c' any other field, such as Galerkin's in the larger basis. With d = w - v and
r_w = f - A w, since A (u - w) = r_w,

    ||u - v||_A^2 = ||d||_A^2 + 2 d.r_w + ||u - w||_A^2        exactly

so that a bound of ||u - w|| by one reference alone (``reduced_bound.py``), however blunt, bounds ||u - v|| sharply
where w is much nearer to u than v is: an effectivity q there and ||u - w|| = x ||u - v|| give at most (1 + (q^2 - 1)
x^2)^(1/2) here. Nothing is assumed of E or c'. The first two terms are evaluated from small matrices, with their
a-priori rounding.

E holds the leading errors at sampled inputs, as conjugate gradients preconditioned by the reference find them; their
number is the least by which the errors at other inputs are cut to ``REMAINDER`` of themselves, as far as memory allows.
How sharp the bounds have become is measured by themselves, upper over lower at further inputs, and said where it is not
within ``SHARP``. Reference: Hain, Ohlberger, Radic, Urban 2019 (hierarchical bounds; here without their saturation
assumption).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ....solvers.batching import VectorMap, vectorised
from ....solvers.classes.coercive import CoerciveProblem
from ....solvers.precision import RANGE, gamma
from ...answers.evaluate import as_float64
from ..bounds import SLACK, UNDERFLOW, ErrorBounds
from .offline import ReducedData, Terms, columns_of, dots, energy_basis, offline, solved
from .reduced_bound import checked, upper_bound, with_energy

SHARP = 1.25  # upper over lower bound, at nine inputs of ten
UNTOLD = 1e6  # a ratio to a lower bound that is no more than a rounding
REMAINDER = 0.15  # share of the error that the larger basis may leave, at nine inputs of ten
CORRECTIONS = 8  # steps of conjugate gradients in a query
STEPS = 10  # of conjugate gradients, to errors that modes are made of
FIRST, MOST = 32, 512  # sampled errors
MOST_COLUMNS = 2000  # of G: the work of a query is their square
MOST_BYTES = 3 << 29  # of G and W together
LUMPED = 300  # directions, beyond which all terms are bounded at once


def enriched(
    problem: CoerciveProblem, terms: Terms, V: np.ndarray, loads: np.ndarray, G: np.ndarray, coefficients: Callable
) -> tuple[ReducedData, ReducedData | None, tuple[str, ...]]:
    """The constants for V alone with one reference, those of the larger basis, and what is to be said of them."""
    columns = min(MOST_COLUMNS, int(MOST_BYTES / (16 * terms.size)))
    room = max(0, (columns - len(loads)) // terms.count - len(V))
    E = error_modes(terms, V, loads, G, room)
    larger = np.concatenate([V, E])
    if len(E):
        G = columns_of(terms, larger, loads)
    reference = problem.reference_theta
    W = energy_basis(problem.matrix(reference), solved(problem.factor(reference), G))
    fine = offline(terms, larger, loads, G, W, reference[None], lumped=len(W) > LUMPED)
    plain = _of_some_modes(fine, len(V))
    P = problem.inputs.sample(32, seed=4)
    bounds = VectorMap(lambda p, c: enriched_bound(problem, plain, fine, p, c), (32,))(P, as_float64(coefficients(P)))
    told = bounds.upper > 100 * bounds.floor  # others are as accurate as rounding lets anything be told
    ratio = float(np.quantile(bounds.upper[told] / np.maximum(bounds.lower[told], 1e-300), 0.9)) if told.any() else 1.0
    if ratio <= SHARP:
        return plain, fine, ()
    far = f"up to {ratio:.3g} times the error" if ratio < UNTOLD else "up to an unknown multiple of the error"
    note = (
        f"bounds from coefficients are not sharp here: {far}, and more at one input in "
        f"ten, for which {len(larger) - len(V)} modes beside the surrogate's {len(V)} do not suffice: answers may be "
        "polished or solved that need not be"
    )
    return plain, fine, (note,)


def _of_some_modes(data: ReducedData, k: int) -> ReducedData:
    """The constants of the first k modes alone."""
    J, Q, whole = data.load_mode.shape[0], len(data.row_sums), data.load_mode.shape[1]
    columns = np.concatenate([np.arange(J), *(J + q * whole + np.arange(k) for q in range(Q))])
    return ReducedData(
        references=data.references,
        solves=data.solves[:, :, columns],
        factors=data.factors,
        pairing=data.pairing[:, columns],
        pairing_error=data.pairing_error[columns],
        defects=data.defects[:, columns],
        missed=data.missed[:, columns],
        solve_norms=data.solve_norms[:, columns],
        factor_norms=data.factor_norms,
        stretch=data.stretch,
        shifts=data.shifts,
        spread=data.spread,
        load_mode=data.load_mode[:, :k],
        load_mode_error=data.load_mode_error[:, :k],
        stiffness=data.stiffness[:, :k, :k],
        stiffness_error=data.stiffness_error[:, :k, :k],
        preconditioner=data.preconditioner[:k, :k],
        mode_norms=data.mode_norms[:k],
        mode_images=data.mode_images[:, :k],
        load_norms=data.load_norms,
        mode_rounding=data.mode_rounding,
        row_sums=data.row_sums,
    )


def error_modes(terms: Terms, V: np.ndarray, loads: np.ndarray, G: np.ndarray, room: int) -> Float[np.ndarray, "r n"]:
    """At most ``room`` modes, orthonormal in the reference energy, of the errors of Galerkin's answers in V."""
    none = np.zeros((0, terms.size))
    if room == 0:
        return none
    problem = terms.problem
    A = problem.matrix(problem.reference_theta)
    solve = problem.factor(problem.reference_theta)
    known = none
    while True:
        P = problem.inputs.sample(max(FIRST, len(known)), seed=100 + len(known))  # as many again
        known = np.concatenate(
            [known, *(_errors(terms, solve, P[i : i + 32], V, loads, G) for i in range(0, len(P), 32))]
        )
        sizes = np.sqrt(np.maximum(np.einsum("jn,jn->j", known, terms.apply(problem.reference_theta, known)), 0))
        known = known[sizes > 0]
        if len(known) < 2:
            return none
        known /= sizes[sizes > 0][:, None]
        tried = len(known) - max(1, len(known) // 4)  # the rest judges
        modes, judged = _leading(A, known[:tried]), known[tried:]
        inside = np.cumsum(dots(judged, terms.apply(problem.reference_theta, modes)) ** 2, axis=1)
        left = np.sqrt(np.quantile(np.maximum(1 - inside, 0), 0.9, axis=0))
        enough = np.flatnonzero(left <= REMAINDER)
        if len(enough) and enough[0] < room:
            return modes[: enough[0] + 1]
        if len(modes) >= room or len(known) >= MOST:
            return modes[:room]


def _leading(A: Any, X: np.ndarray) -> Float[np.ndarray, "r n"]:
    """Orthonormal in the energy of A, by the share of the rows of X that each holds."""
    values, vectors = np.linalg.eigh(dots(X, (A @ X.T).T))
    keep = values[::-1] > 1e-10 * values[-1]
    modes = (vectors[:, ::-1][:, keep].T @ X) / np.sqrt(values[::-1][keep])[:, None]
    return np.linalg.solve(np.linalg.cholesky(modes @ (A @ modes.T)), modes)


def _errors(
    terms: Terms,
    solve: Callable[[np.ndarray], np.ndarray],
    P: np.ndarray,
    V: np.ndarray,
    loads: np.ndarray,
    G: np.ndarray,
) -> Float[np.ndarray, "j n"]:
    """Nearly the errors of Galerkin's answers in V at P: conjugate gradients for all of them at once."""
    theta, phi = (np.asarray(x) for x in vectorised(terms.problem, "theta", "load_weights")(P))
    J, k = len(loads), len(V)
    stiffness = np.stack([dots(V, G[J + q * k : J + (q + 1) * k]) for q in range(terms.count)])
    s = np.zeros((len(P), len(G)))
    for row, weights, loaded in zip(s, theta, phi, strict=True):
        c = np.linalg.lstsq(np.tensordot(weights, stiffness, 1), loaded @ dots(loads, V), rcond=1e-14)[0]
        row[:J], row[J:] = loaded, -np.outer(weights, c).ravel()
    r = s @ G
    matrices = [terms.problem.matrix(weights) for weights in theta]
    e = np.zeros_like(r)
    z = solved(solve, r)
    direction, rz = z, np.einsum("jn,jn->j", r, z)
    for step in range(STEPS):
        image = np.stack([A @ x for A, x in zip(matrices, direction, strict=True)])
        curvature = np.einsum("jn,jn->j", direction, image)
        alpha = np.divide(rz, curvature, out=np.zeros_like(rz), where=curvature > 0)[:, None]
        e += alpha * direction
        if step + 1 == STEPS:
            break
        r -= alpha * image
        z = solved(solve, r)
        rz, before = np.einsum("jn,jn->j", r, z), rz
        direction = z + np.divide(rz, before, out=np.zeros_like(rz), where=before > 0)[:, None] * direction
    return e[np.isfinite(e).all(axis=1)]


def enriched_bound(
    problem: CoerciveProblem, data: ReducedData, fine: ReducedData, p: Float[Array, " d"], c: Float[Array, " k"]
) -> ErrorBounds:
    """Bounds of the error of V c as evaluated in float64, by the larger basis: see the module's docstring.

    Args:
        data, fine: constants of V and of [V E].
    """
    theta, phi, c, trusted = checked(problem, p, c)
    whole = jnp.concatenate([c, jnp.zeros(fine.load_mode.shape[1] - len(c))])
    A = jnp.tensordot(theta, fine.stiffness, 1)
    b = phi @ fine.load_mode
    d = _correction(fine, A, b - A @ whole)
    better = whole + d
    better = jnp.where(jnp.all(jnp.abs(better) <= RANGE**2), better, whole)
    d = better - whole
    g = b - A @ better
    h = (A @ d) @ d + 2 * (d @ g)
    # |v_i . A_q v_j| <= mode_norms_i mode_images_qj, |f_j . v_i| <= load_norms_j mode_norms_i; both as computed are
    # within ``mode_rounding`` of these products, and what is done here adds gamma of its longest chain.
    images, few = theta @ fine.mode_images, gamma(2 * len(d) + len(theta) + len(phi) + 24) + fine.mode_rounding
    sizes = images @ jnp.abs(d) + 2 * (images @ jnp.abs(better)) + 2 * (fine.load_norms @ jnp.abs(phi))
    h_off = 1.01 * few * (fine.mode_norms @ jnp.abs(d)) * sizes + UNDERFLOW
    rest = upper_bound(problem, fine, theta, phi, better, 1)
    plain = upper_bound(problem, data, theta, phi, c, 1)
    upper = jnp.sqrt(jnp.maximum(h + h_off, 0.0) + rest.bound**2) * SLACK + plain.product
    lower = jnp.sqrt(jnp.maximum(h - h_off, 0.0)) / SLACK - plain.product
    told = jnp.sqrt(jnp.maximum(h, 0.0) + jnp.maximum(rest.bound - rest.floor, 0.0) ** 2)  # without any rounding
    use = upper < plain.bound
    floor = jnp.where(use, jnp.maximum(upper - told, 0.0), plain.floor)
    upper = jnp.where(use, upper, plain.bound)
    lower = jnp.where(jnp.isfinite(lower), lower, 0.0)
    return with_energy(data, theta, phi, c, (lower, upper, floor, plain.product), trusted)


def _correction(fine: ReducedData, A: Float[Array, "k k"], r: Float[Array, " k"]) -> Float[Array, " k"]:
    """Nearly A^-1 r by a few steps of conjugate gradients: any vector is valid, and elimination takes k^3."""
    x, z = jnp.zeros_like(r), fine.preconditioner @ r
    direction, rz = z, r @ z
    for _ in range(CORRECTIONS):
        image = A @ direction
        curvature = direction @ image
        alpha = jnp.where(curvature > 0, rz / jnp.where(curvature > 0, curvature, 1.0), 0.0)
        x, r = x + alpha * direction, r - alpha * image
        z = fine.preconditioner @ r
        rz, before = r @ z, rz
        direction = z + jnp.where(before > 0, rz / jnp.where(before > 0, before, 1.0), 0.0) * direction
    return x
