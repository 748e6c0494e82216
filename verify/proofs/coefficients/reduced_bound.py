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

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from ....solvers.classes.coercive import CoerciveProblem
from ....solvers.linear_algebra.dense import solve_spd
from ....solvers.precision import RANGE, gamma
from ..bounds import SLACK, UNDERFLOW, ErrorBounds
from ..thomson import assemble, dual_factor, in_range, simplex_weights
from .offline import ReducedData, is_lumped


class Upper(NamedTuple):
    """The upper bound of one answer, and what it was made of."""

    bound: Float[Array, ""]
    floor: Float[Array, ""]
    product: Float[Array, ""]  # of these, what the float64 product V c may be off
    s: Float[Array, " m"]
    x: Float[Array, "K r"]
    fluxes: Float[Array, "K q r"]  # y_kq


def reduced_bound(
    problem: CoerciveProblem, data: ReducedData, p: Array, c: Array, references: int | None = None
) -> ErrorBounds:
    """``ReducedBound.bound``, of data that are given to it."""
    theta, phi, c, trusted = checked(problem, p, c)
    count = data.references.shape[0] if references is None else references
    upper, floor, product, s, x, fluxes = upper_bound(problem, data, theta, phi, c, count)
    t = x[0]
    if not is_lumped(data):
        t = _test_direction(data, fluxes * (theta / data.references[:count])[:, :, None], x, s)
    lower = _lower(data, theta, t, s) - product
    return with_energy(data, theta, phi, c, (lower, upper, floor, product), trusted)


def checked(problem: CoerciveProblem, p: Array, c: Array) -> tuple[Array, Array, Array, Array]:
    """Weights, load weights and coefficients, and whether they lie in the range that proofs need; ones and zeros where
    not.
    """
    theta, phi = problem.theta(p), problem.load_weights(p)
    trusted = in_range(theta, phi) & jnp.all(jnp.abs(c) <= RANGE**2)
    return jnp.where(trusted, theta, 1.0), phi, jnp.where(trusted, c, 0.0), trusted


def with_energy(
    data: ReducedData, theta: Array, phi: Array, c: Array, sides: tuple[Array, Array, Array, Array], trusted: Array
) -> ErrorBounds:
    """The bounds of V c by (lower, upper, floor, product), with the solution's energy."""
    lower, upper, floor, product = sides
    energy, energy_error = _energy_difference(data, theta, phi, c)
    # c of the exact product and of the rounded one differ by at most 2 |r.dN| + ||dN||^2 <= product (2 upper + product)
    energy_error = energy_error + 1.01 * product * (2 * upper + product)
    return assemble(jnp.maximum(lower, 0.0), upper, floor, energy, energy_error, trusted)


def upper_bound(problem: CoerciveProblem, data: ReducedData, theta: Array, phi: Array, c: Array, count: int) -> Upper:
    """The theorem of the module's docstring, by the first ``count`` references."""
    s = jnp.concatenate([phi, -jnp.outer(theta, c).reshape(-1)])
    tref = data.references[:count]
    x = data.solves[:count] @ s
    factor = problem.flux_factor(theta)
    if is_lumped(data):  # sum_q tref_q^2/theta_q |B_q W x|^2 <= max_q tref_q/theta_q |x|^2 stretch
        fluxes = jnp.sqrt(jnp.max(tref / theta, axis=1) * data.stretch)[:, None, None] * x[:, None, :]
    else:
        fluxes = jnp.einsum("qrs,ks->kqr", data.factors, x) * (tref / jnp.sqrt(theta))[:, :, None]
    charges = _charges(data, theta, tref, x, jnp.abs(s), factor, dual_factor(problem, theta))
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
    # The field returned is the float64 product V c: its rounding error in the energy norm.
    product = jnp.sqrt(theta @ data.row_sums) * gamma(len(c) + 4) * (data.mode_norms @ jnp.abs(c)) * 1.01
    floor = floor + gamma(x.shape[-1] * len(theta) + 40) * flux * factor + UNDERFLOW + product
    return Upper((flux * factor + floor) * SLACK, floor, product, s, x, fluxes)


def _charges(
    data: ReducedData, theta: Array, tref: Array, x: Array, size: Array, factor: Array | float, dual: Array
) -> Float[Array, " K"]:
    """What the flux of each reference leaves out, ||r - A_k W x_k||_(A^-1), and rounding; see the module's docstring.

    x_k as computed is R_k s + delta, |delta| <= gamma |R_k| |s|: A_k W delta is a flux of its own, never divided by the
    smallest eigenvalue. So are the roundings of F_q x_k. What s_q adds, tref_q s_q W x_k, is as small as x_k is.
    """
    count, rank = x.shape
    if not is_lumped(data):
        scales = jnp.sqrt(jnp.sum(tref**2 / theta * data.factor_norms**2, axis=1)) * factor  # of ||x|| in a flux
    else:
        scales = jnp.sqrt(jnp.max(tref / theta, axis=1) * data.stretch) * factor
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


def _test_direction(data: ReducedData, images: Array, x: Array, s: Array) -> Float[Array, " r"]:
    """Galerkin in the span of the reference solutions; ``images`` are theta^(1/2) F_q x_k. Any direction is valid."""
    flat = images.reshape(len(x), -1)
    gram = flat @ flat.T
    gram = gram + 1e-13 * jnp.trace(gram) * jnp.eye(len(x))
    return solve_spd(gram, x @ (data.pairing @ s)) @ x


def _lower(data: ReducedData, theta: Array, t: Array, s: Array) -> Float[Array, ""]:
    """|t.r| / ||t||_A for t = W x; the factors F_q bound ||t||_A from above."""
    product = data.pairing @ s
    scale = jnp.sqrt(jnp.vdot(t, t))
    error = scale * (data.pairing_error @ jnp.abs(s))
    if not is_lumped(data):
        image = (data.factors @ t) * jnp.sqrt(theta)[:, None]
        absolute = (jnp.abs(data.factors) @ jnp.abs(t)) * jnp.sqrt(theta)[:, None]
        norm = jnp.sqrt(jnp.sum(image**2)) + gamma(len(t) + 40) * jnp.sqrt(jnp.sum(absolute**2)) + UNDERFLOW
    else:
        norm = scale * jnp.sqrt(jnp.max(theta / data.references[0]) * data.stretch) * SLACK + UNDERFLOW
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
