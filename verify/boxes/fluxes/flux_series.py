"""Taylor coefficients over a box of what bounds by fluxes interpolate, for its remainder (``box_flux.py``).

    g = s a^(-1/2) (y_0 + Psi mu) - s a^(1/2) B V c,    s^2 (2 f.N - N.A N),    in t = (x - x0) / rho

The coefficients of a product along an axis are the convolution of its factors'. log a and log s are affine in t, so the
j-th coefficient of s a^(+-1/2) is that function itself times slope^j / j!. Those of mu, a polynomial of degree m - 1,
come from the control points of its derivatives, and its m-th is zero. Those of c come from ``enclose``. Everything here
is a ball, with its own rounding covered.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from ....solvers.precision import gamma
from ...enclose import ball as balls
from ...enclose import bernstein, elementary
from ...enclose.ball import Ball
from ...proofs.bounds import UNDERFLOW
from .flux_data import FluxData


class Weights(NamedTuple):
    """s a^(-1/2) and s a^(1/2) of a box, in this order where there are two, and the amplitude s^2 = exp(beta.t)."""

    values: Float[Array, "2 M C"]  # at the nodes
    relative: Float[Array, ""]  # their largest relative error
    slopes: Ball  # [2, d, C] of their logarithms in t
    box: Ball  # [2, C], over the box
    middle: Float[Array, " C"]  # log a at x0, as computed
    beta: Float[Array, " d"]
    spread: Float[Array, ""]  # at least |beta.t|


def norm(x: Array, axis: Any) -> Array:
    """The Euclidean length along these axes, rounded up."""
    count = math.prod(x.shape[i] for i in np.atleast_1d(axis))
    return jnp.sqrt(jnp.sum(x * x, axis=axis)) * (1 + gamma(count + 8)) + UNDERFLOW


def weights_of(
    data: FluxData, ends: Array, box: Ball, c: Array, nodes: np.ndarray
) -> tuple[Weights, Float[Array, "3 C"]]:
    """The weights of a box of the map, and the gradient B N(x0) of the field in its centre, which beta is chosen for.

    Args:
        ends: lower ends and widths of the map's whole box, [2, d].
        box: the box to be bounded, in unit coordinates.
        c: coefficients of the field in its centre [k]. Any beta gives a valid bound, so no rounding of them matters.
        nodes: of the interpolation, in t [M, d].
    """
    d = nodes.shape[1]
    scaled = balls.add(balls.point(ends[0]), balls.mul(balls.point(box.mid), balls.point(ends[1])))
    away = balls.sub(scaled, balls.point(data.at))
    centre = balls.bilinear(away, data.slopes, lambda x, y: x @ y, d)
    centre = balls.add(data.centre, centre)  # log a at x0
    width = balls.mul(balls.point(box.rad), balls.point(ends[1]))
    slopes = balls.mul(Ball(width.mid[:, None], width.rad[:, None]), data.slopes)
    v = jnp.tensordot(c, data.modes, 1)
    energies = jnp.sum(v * v, axis=0)
    shares = energies * jnp.exp(centre.mid)
    beta = jnp.sum(shares * slopes.mid, axis=1) / jnp.maximum(jnp.sum(shares), 1e-300)
    beta = jnp.where(jnp.isfinite(beta), beta, 0.0)
    signs = jnp.array([-0.5, 0.5])
    both = Ball(jnp.stack([-slopes.mid, slopes.mid]), jnp.stack([slopes.rad] * 2))
    both = balls.scale(balls.add(both, balls.point(jnp.broadcast_to(beta[None, :, None], both.shape))), 0.5)
    middle = balls.scale(Ball(jnp.stack([centre.mid] * 2), jnp.stack([centre.rad] * 2)), signs[:, None])
    reach = jnp.sum(balls.magnitude(both), axis=1)
    exponents = middle.mid[:, None] + jnp.einsum("nd,sdc->snc", jnp.asarray(nodes), both.mid)
    error = jnp.max(middle.rad + jnp.sum(both.rad, axis=1)) + gamma(d + 8) * jnp.max(jnp.abs(middle.mid) + reach)
    weights = Weights(
        values=jnp.exp(exponents),
        relative=1.01 * error + balls.LIBM,
        slopes=both,
        box=elementary.exp(balls.widen(middle, reach * (1 + 1e-12)), 0)[0],
        middle=centre.mid,
        beta=beta,
        spread=jnp.sum(jnp.abs(beta)) * (1 + 1e-12),
    )
    return weights, v


def remainders(
    data: FluxData, weights: Weights, mu: Array, ranges: Ball, jets: Ball, rad: Array, order: int
) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
    """Upper bounds of the m-th Taylor coefficients in t along every axis [d], anywhere in the box: the length of g's,
    and the size of that of s^2 (2 f.N - N.A N).

    Args:
        mu: multipliers at the nodes [M, r].
        ranges: c over the box, [k].
        jets: its Taylor coefficients of orders 1 to m in unit coordinates, [m, d, k].
        rad: half-widths of the box [d], which take them to t.
    """
    d, k = rad.shape[0], ranges.shape[0]
    scaled = [Ball(jnp.broadcast_to(ranges.mid, (d, k)), jnp.broadcast_to(ranges.rad, (d, k)))]
    power = balls.point(jnp.ones(d))
    for i in range(order):
        power = balls.mul(power, balls.point(rad))
        scaled.append(balls.mul(jets[i], power[:, None]))
    c = _stack(scaled)  # [m+1, d, k]
    gradient = _times(c, data.modes)
    gradient = balls.widen(gradient, jnp.sum(balls.magnitude(c) * data.mode_errors, axis=-1)[..., None, None])
    series = _exponentials(weights.slopes, order)  # [m+1, 2, d, C]
    products = _convolved(series[:, 1], gradient)  # [m+1, d, 3, C]
    flux = _times(_multipliers(mu, order, d), data.family.modes)  # [m, d, 3, C]
    first = balls.add(flux[0], balls.point(jnp.broadcast_to(data.family.start, flux.shape[1:])))
    flux = Ball(flux.mid.at[0].set(first.mid), flux.rad.at[0].set(first.rad))
    backwards = balls.each(lambda x: x[:0:-1, 0], series)  # orders m, ..., 1 of a^(-1/2)
    highest_flux = balls.bilinear(backwards, flux, lambda x, y: jnp.einsum("idc,idsc->dsc", x, y), order)
    g = balls.sub(balls.mul(weights.box[0][None], highest_flux), balls.mul(weights.box[1][None], products[order]))
    lengths = norm(balls.magnitude(weights.box[1]) * balls.magnitude(products), (2, 3))  # [m+1, d]
    energy = jnp.sum(lengths * lengths[::-1], axis=0)
    amplitudes = _exponentials(balls.point(weights.beta), order)  # [m+1, d]
    load = data.load_modes
    works = balls.bilinear(c, load, lambda x, y: x @ y, k)
    work = balls.bilinear(amplitudes[::-1], works, lambda x, y: jnp.sum(x * y, axis=0), order + 1)
    total = energy + 2 * balls.magnitude(work) * jnp.exp(weights.spread) * (1 + 1e-12)
    return norm(balls.magnitude(g), (1, 2)), total * (1 + 1e-12)


def _times(a: Ball, matrix: Float[Array, "k 3 C"]) -> Ball:
    """Sums of k known fluxes with coefficients a [*S, k], [*S, 3, C]."""
    absolute = balls.absolute_matrix(matrix)
    return balls.linear(
        a, lambda x: jnp.tensordot(x, matrix, 1), lambda x: jnp.tensordot(x, absolute, 1), matrix.shape[0]
    )


def _stack(parts: list[Ball]) -> Ball:
    return Ball(jnp.stack([x.mid for x in parts]), jnp.stack([x.rad for x in parts]))


def _exponentials(slopes: Ball, order: int) -> Ball:
    """slopes^j / j! for j = 0 .. m, along a new first axis: what exp of something affine is multiplied by."""
    parts = [balls.point(jnp.ones(slopes.shape))]
    for j in range(1, order + 1):
        parts.append(balls.scale(balls.mul(parts[-1], slopes), 1 / j))
    return _stack(parts)


def _convolved(series: Ball, values: Ball) -> Ball:
    """sum_j series_(i-j) values_j for every i: [m+1, d, C] and [m+1, d, 3, C]."""
    count = series.shape[0]
    lag = np.arange(count)[:, None] - np.arange(count)[None, :]
    mask = jnp.asarray(lag >= 0)[:, :, None, None]
    toeplitz = balls.each(lambda x: jnp.where(mask, x[np.maximum(lag, 0)], 0.0), series)
    return balls.bilinear(toeplitz, values, lambda x, y: jnp.einsum("ijdc,jdsc->idsc", x, y), count)


def _multipliers(mu: Float[Array, "M r"], order: int, d: int) -> Ball:
    """Taylor coefficients [m, d, r] in t of the polynomial through mu at the nodes, over [-1, 1]^d and along each axis.

    The k-th derivative of a polynomial with control points b on [-1, 1] has the control points (m-1)!/(m-1-k)! / 2^k
    Delta^k b; divided by k!, binomial(m-1, k) / 2^k Delta^k b.
    """
    controls = bernstein.control_points(Ball(mu, jnp.zeros_like(mu)), order, d)
    tensor = controls.reshape((order,) * d + (mu.shape[1],))
    difference = jnp.asarray(_differences(order))
    absolute = balls.absolute_matrix(difference)
    found = []
    for axis in range(d):

        def along(matrix: Array, x: Array, axis: int = axis) -> Array:
            return jnp.tensordot(matrix, x, axes=(2, axis))

        terms = balls.linear(tensor, partial(along, difference), partial(along, absolute), order)
        low, high = balls.ends(terms)
        others = tuple(range(1, d + 1))
        found.append(balls.hull(jnp.min(low, axis=others), jnp.max(high, axis=others)))
    return Ball(jnp.stack([x.mid for x in found], axis=1), jnp.stack([x.rad for x in found], axis=1))


def _differences(m: int) -> Float[np.ndarray, "m m m"]:
    """[k, i, j]: binomial(m-1, k) / 2^k times the k-th forward difference at i < m - k; the last row repeated after."""
    out = np.zeros((m, m, m))
    for k in range(m):
        for i in range(m):
            at = min(i, m - 1 - k)
            for j in range(k + 1):
                out[k, i, at + j] = math.comb(m - 1, k) / 2.0**k * (-1) ** (k - j) * math.comb(k, j)
    return out
