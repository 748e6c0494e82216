"""How far Bratu's solution, lower branch, is from a polynomial v(p): sub- and supersolutions for all p of a box.

With bounds that hold entrywise for all p of the box,

    phi >= |F(v(p); p)|,    sigma >= lambda m e^v(p),    w > 0 and tau <= J(v(p); p) w, tau > 0,

the theorem of ``proofs/bratu.py`` holds at every p of the box at once: phi <= t0 tau gives F(v) <= t0 J(v) w, and

    t tau - sigma (e^(t w) - 1 - t w) >= phi

gives the supersolution v + t w, so that |u - v| <= b = max(t, t0) w and, with K_low <= K(p) the operator of the least
weights, for which 0 <= K(p)^-1 <= K_low^-1 as forms,

    ||u(p) - v(p)|| <= r = ||phi||_(K_low^-1) + || sigma (e^b - 1) ||_(K_low^-1),    ||v||^2 = v' K(p) v.

(|g| <= G entrywise gives ||g||_(K^-1) <= ||G||_(K^-1), for K^-1 >= 0 entrywise.) So the solution is the minimal one for
every p, and past the fold no w is found. phi comes from F at the nodes: entrywise control points, and remainders by the
Taylor coefficients of e^v, (e^v)_k = 1/k sum_j j v_j (e^v)_(k-j), in absolute values.
Reference: as in ``proofs/bratu.py``; Garloff 1986 (control points).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ....solvers.precision import RANGE, UNIT_ROUNDOFF
from ....solvers.problems.bratu_lower import conjugate_gradients
from ...enclose import ball as balls
from ...enclose import bernstein
from ...enclose.ball import Ball
from ...proofs.bounds import SLACK, UNDERFLOW
from ...proofs.sines import EIGENVALUE
from ...proofs.supersolution import ENTRY, LARGEST, supersolution
from .bratu_data import seconds
from .bratu_place import Place

COMPARISON = 8  # CG steps for w


class Approximant(NamedTuple):
    """v(p) in a box, and how far the solution is from it."""

    nodes: Float[Array, "M r"]  # z
    fields: Float[Array, "M ..."]  # v, of which Z z is the value but for rounding
    radius: Float[Array, ""]  # at least ||u - v|| over the box
    known: Array


def approximant(place: Place) -> Approximant:
    z = place.at_nodes()
    v = (z @ place.data.space.T).reshape(-1, *place.shape)
    trusted = place.trusted & jnp.all(jnp.abs(v) <= LARGEST)
    for low, high in place.weight_ends():
        trusted = trusted & (low > 1 / RANGE) & (high < RANGE)
    v = jnp.where(trusted, v, 0.0)
    phi, sigma = _residual(place, v)
    slope, w = _comparison(place, v, sigma)
    trusted = trusted & jnp.all(w > 0) & jnp.all(slope > 0) & jnp.all(phi <= RANGE)
    slope, w = jnp.where(trusted, slope, 1.0), jnp.where(trusted, w, 1.0)
    phi = jnp.where(trusted, phi, 1.0)
    t0 = jnp.max(phi / slope) * SLACK
    t, found = supersolution(slope, phi, sigma, w)
    b = jnp.maximum(t, t0) * w * SLACK
    eigenvalues = place.sines.eigenvalues([low for low, _ in place.weight_ends()]) * (1 - 2 * EIGENVALUE)
    grown = sigma * jnp.expm1(b) * (1 + 2 * ENTRY)
    nothing = jnp.zeros(())
    r = place.sines.dual_norm(phi, eigenvalues, nothing) + place.sines.dual_norm(grown, eigenvalues, nothing)
    known = trusted & found & jnp.isfinite(r)
    return Approximant(z, v, jnp.where(known, r * SLACK + UNDERFLOW, 0.0), known)


def _series(place: Place, controls: Float[Array, "M ..."], rounding: Array, axis: int) -> list[Array]:
    """Of the polynomials with these control points: bounds of their Taylor coefficients 0 .. m - 1 along an axis,
    in t and over the box; ``rounding``: of a control point.
    """
    m = place.orders[axis]
    tensor = controls.reshape(*place.orders, *controls.shape[1:])
    terms = []
    for k in range(m):
        scale = math.comb(m - 1, k) / 2.0**k
        largest = jnp.max(jnp.abs(tensor), axis=tuple(range(place.d)))
        terms.append(scale * (largest * (1 + 1e-14) + 2.0**k * 1.01 * rounding))
        if k + 1 < m:
            tensor = jnp.diff(tensor, axis=axis)
    return terms


def _residual(place: Place, v: Float[Array, "M ..."]) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """phi and sigma."""
    orders, d = place.orders, place.d
    P = jax.vmap(place.to_inputs)(place.points.mid)

    def at(p: Array, x: Array) -> tuple[Array, Array]:
        stiff, size = place.stiff(p, x)
        source = p[0] * place.problem.mass * jnp.exp(x)
        return stiff - source, place.entry * (size + source) * 1.01

    F, off = jax.vmap(at)(P, v)
    exact = jnp.zeros_like(v.reshape(len(v), -1))
    controls = bernstein.control_points(Ball(F.reshape(len(v), -1), off.reshape(len(v), -1)), orders, d)
    phi = jnp.max(balls.magnitude(controls), axis=0).reshape(place.shape)
    polynomial = bernstein.control_points(Ball(v.reshape(len(v), -1), exact), orders, d)
    rounding = jnp.max(polynomial.rad)
    tensor = polynomial.mid.reshape(v.shape)
    top = jnp.max(tensor, axis=0) + rounding
    exponential = jnp.exp(top) * (1 + ENTRY) * (1 + 1e-13)  # top itself is rounded
    sigma = place.strengths() * exponential
    highest = jnp.stack([_highest(place, tensor, rounding, exponential, axis) for axis in range(d)])
    rest = bernstein.remainder(highest, jnp.ones(d), orders)
    return (phi + rest) * SLACK, sigma


def _highest(place: Place, tensor: Array, rounding: Array, exponential: Array, axis: int) -> Float[Array, "..."]:
    """At least the m-th Taylor coefficient of F in t along an axis."""
    m = place.orders[axis]
    series = _series(place, tensor, rounding, axis)
    powers = [exponential]
    for k in range(1, m + 1):
        terms: Any = sum(j * series[j] * powers[k - j] for j in range(1, min(k, m - 1) + 1))
        powers.append(terms / k * (1 + 1e-14) + jnp.zeros_like(exponential))
    strength = place.strengths()
    if axis == 0:  # lambda varies along it, the weights do not
        slope = place.half[0] * place.problem.mass * (1 + 1e-14)
        return (strength * powers[m] + slope * powers[m - 1]) * (1 + 1e-13)
    total = strength * powers[m]
    for a, (_, most) in enumerate(place.weight_ends()):
        second = jax.vmap(lambda x, a=a: seconds(x, a))(tensor)
        parts = _series(place, second, 8 * rounding + 8 * UNIT_ROUNDOFF * jnp.max(jnp.abs(tensor)), axis)
        bent = sum(place.half[1] ** (m - k) / math.factorial(m - k) * parts[k] for k in range(m))
        total = total + most * bent
    return total * (1 + 1e-13)


def _comparison(place: Place, v: Float[Array, "M ..."], sigma: Float[Array, "..."]) -> tuple[Array, Array]:
    """tau and w."""
    centre = place.to_inputs(place.box.mid)
    source = centre[0] * place.problem.mass * jnp.exp(jnp.max(v, axis=0))
    right = jnp.full(place.shape, place.problem.mass)
    w = conjugate_gradients(place.problem, centre, source, right, 0.0, COMPARISON).x
    least: Any = -sigma * w * (1 + 2 * ENTRY)
    for axis, (low, high) in enumerate(place.weight_ends()):
        second = seconds(w, axis)
        least = least + jnp.minimum(low * second, high * second)
        least = least - high * ENTRY * 4 * jnp.max(jnp.abs(w))
    return least - ENTRY * jnp.abs(least), w
