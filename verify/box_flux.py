"""The relative error of a surrogate with a basis over a whole box of inputs, one coefficient per cell: by fluxes.

A(p) = B' diag(a(p)) B with the factor rows B of every cell and log a affine in x (``log_weights.py``): one matrix per
cell, no reduced coordinates. For any flux y and N = V c(p), by Prager and Synge's hypercircle, cell by cell,

    ||u - N||_A <= || a^(-1/2) y - a^(1/2) B N ||_2 + || f - B'y ||_2 / lambda_min(A)^(1/2)

Proof: (u - N, v)_A = (f - B'y).v + (y - a B N).B v <= the right-hand side times ||v||_A; take v = u - N. Where B'y = f
the first term's square is ||u - N||^2 + || a^(-1/2) (y - a B u) ||^2: a flux with half of the surrogate's error costs
an eighth.

y(x) = y_0 + Psi mu(x) of a ``FluxFamily``; mu is, over each box, the polynomial through the best mu at the nodes of
the Chebyshev grid. As in ``box_bound.py`` the vector g = s (a^(-1/2) y - a^(1/2) B N) is interpolated there; the
maximum over its Bernstein control points bounds the interpolant, Taylor coefficients over the box the remainder. Along
an axis they are convolutions of those of a^(+-1/2), which log a gives exactly, of mu, whose m-th is zero, and of c
(``enclose``). The amplitude s = exp(beta.(x - x0)/2), beta the slope of log v'A v for v = N(x0), keeps the size of the
solution from varying where it is known to, and drops out of the quotient. The interpolation is all in t = (x - x0)/rho.

Of the denominator: ||u||^2 - ||u - N||^2 = 2 f.N - N.A N, interpolated with the rest, or (f.v)^2 / v.A v for the one
field v, largest in a corner of the box since v.A v is convex in x.
Reference: Prager and Synge 1947; Ladeveze and Pelle 2005 (constitutive relation error).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from ..solvers.diffusion import CellDiffusion
from ..solvers.precision import RANGE, gamma
from .box_bound import INFLATION, BoxResult, Given, axis_to_halve, quotient, unit_to_inputs
from .enclose import ball as balls
from .enclose import bernstein, coefficients, rounding_error
from .enclose.ball import Ball
from .flux_family import FluxFamily, gradients
from .log_weights import LogWeights
from .thomson import SLACK, UNDERFLOW

LOGARITHM = math.log(RANGE)
FLUX_NORM = 3.5  # at least ||B||_2, roundings included: see CellDiffusion.flux_energy


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FluxData:
    """Independent of the box, and handed to the compiled bound rather than compiled into it."""

    family: FluxFamily
    centre: Ball  # of log a, [C]
    slopes: Ball  # [d, C]
    at: Float[Array, " d"]
    modes: Float[Array, "k 3 C"]  # B V
    mode_fluxes: Float[Array, " k"]  # at least ||B V_j||_2
    mode_errors: Float[Array, " k"]  # by which ``modes`` may be off, in length
    mode_norms: Float[Array, " k"]  # at least ||V_j||_2
    load_modes: Ball  # f . V_j, [k]
    coercivity: Float[Array, ""]  # at most the smallest eigenvalue of B'B


def flux_data(problem: CellDiffusion, basis: np.ndarray, family: FluxFamily, weights: LogWeights) -> FluxData:
    f = np.asarray(problem.load(jnp.asarray(problem.inputs.from_unit(np.full(problem.inputs.dimension, 0.5)))))
    modes, norms = gradients(problem, basis.T), np.linalg.norm(basis, axis=0) * (1 + 1e-12)
    errors = gamma(12) * FLUX_NORM * norms
    work = basis.T @ f
    rounding = 1.01 * gamma(problem.size + 8) * (np.abs(basis).T @ np.abs(f)) + 1e-300
    return FluxData(
        family=family,
        centre=Ball(jnp.asarray(weights.centre.mid), jnp.asarray(weights.centre.rad)),
        slopes=Ball(jnp.asarray(weights.slopes.mid), jnp.asarray(weights.slopes.rad)),
        at=jnp.asarray(weights.at),
        modes=jnp.asarray(modes),
        mode_fluxes=jnp.asarray(np.linalg.norm(modes.reshape(len(norms), -1), axis=1) * (1 + 1e-12) + errors),
        mode_errors=jnp.asarray(errors),
        mode_norms=jnp.asarray(norms),
        load_modes=Ball(jnp.asarray(work), jnp.asarray(rounding)),
        coercivity=problem.coercivity(jnp.ones(problem.cells**2)),
    )


class Weights(NamedTuple):
    """s a^(-1/2), s a^(1/2) of a box, and s^2."""

    values: Float[Array, "2 M C"]  # at the nodes
    relative: Float[Array, ""]  # their largest relative error
    slopes: Ball  # [2, d, C] of their logarithms in t
    box: Ball  # [2, C], over the box
    middle: Float[Array, " C"]  # log a at x0, as computed
    amplitude: Float[Array, " d"]  # beta in t
    spread: Float[Array, ""]  # at least |beta.t|


def exp_ball(v: Ball) -> Ball:
    """exp of every element; libm's error covered."""
    low, high = balls.ends(v)
    return balls.spoil(balls.hull(balls.bracket(jnp.exp(low))[0], balls.bracket(jnp.exp(high))[1]), v)


def norm(x: Array, axis: Any = None) -> Array:
    """At least the Euclidean length."""
    count = math.prod(x.shape) if axis is None else math.prod(x.shape[i] for i in np.atleast_1d(axis))
    return jnp.sqrt(jnp.sum(x * x, axis=axis)) * (1 + gamma(count + 8)) + UNDERFLOW


def make_flux_bound(
    log: tuple[bool, ...], modes_of: Callable[[tuple[Any, ...], Array], Array], order: int
) -> Callable[[Array, Array, Given, Array], BoxResult]:
    """A function of (low [d], high [d]) in unit coordinates, ``Given`` and True, to be vmapped over low and high only
    and jitted. ``modes_of``: weights and one input [d] to coefficients [k].
    """
    d = len(log)
    nodes = np.stack(np.meshgrid(*[bernstein.nodes(order)] * d, indexing="ij"), axis=-1).reshape(-1, d)
    growth = float(np.abs(bernstein.control_matrix(order)).sum(axis=1).max()) ** d * (1 + 1e-12)

    def bound(low: Array, high: Array, given: Given, alive: Array) -> BoxResult:
        ends, data, weights_of = given.ends, given.data, given.weights
        low, high = low - INFLATION, high + INFLATION
        box = balls.from_bounds(low, high)
        to_inputs = unit_to_inputs(log, ends)

        def modes(x: Array) -> Array:
            return modes_of(weights_of, to_inputs(x))

        ranges, jets = coefficients(modes, low, high, order, alive)
        losses = rounding_error(modes, low, high, alive)
        points = bernstein.grid(box, order)
        c = jax.vmap(modes)(points.mid)
        weights, v, energies = _weights(data, ends, box, modes(box.mid), nodes)
        mu = data.family.best(weights.values[0] ** 2)
        flux = data.family.start + jnp.tensordot(mu, data.family.modes, 1)
        gradient = jnp.tensordot(c, data.modes, 1)
        g = weights.values[0][:, None] * flux - weights.values[1][:, None] * gradient
        difference = _difference(data, weights, nodes, c, gradient)

        reach = balls.magnitude(ranges)
        first = jnp.max(balls.magnitude(jets[0]), axis=0) * d
        moved = losses + first * jnp.max(points.rad)  # of c at the computed points
        sizes = _sizes(data, weights, mu, reach, moved, losses)
        spread = growth * (sizes.node + gamma(d * (order + 4)) * jnp.max(norm(g, (1, 2))))
        stacked = jnp.concatenate([g.reshape(len(nodes), -1), difference[:, None]], axis=1)
        controls = _controls(stacked, order, d)
        length = jnp.max(norm(controls[:, :-1], 1))
        highest, highest_difference = _remainders(data, weights, mu, ranges, jets, box.rad, order)
        rest = bernstein.remainder(highest, jnp.ones(d), order)
        rest_difference = bernstein.remainder(highest_difference, jnp.ones(d), order)
        floor = (sizes.floor + spread) * 1.01 + UNDERFLOW
        upper = (length + rest + floor) * SLACK
        lost = rest_difference + 1.01 * growth * (
            sizes.difference + gamma(d * (order + 4)) * jnp.max(jnp.abs(difference))
        )
        c_low = jnp.min(controls[:, -1]) - lost - 1.01 * floor * (2 * upper + floor)
        c_low = c_low - 1e-15 * (jnp.abs(jnp.min(controls[:, -1])) + lost)
        trusted = sizes.trusted & jnp.isfinite(upper)
        relative = quotient(upper, c_low, _energy_below(data, weights, v, energies))
        relative = jnp.where(trusted, relative, jnp.inf)
        worst = jnp.sum(g * g, axis=(1, 2)) / jnp.maximum(difference, 1e-300)
        best = points.mid[jnp.argmax(jnp.where(jnp.isfinite(worst), worst, jnp.inf))]
        axis = axis_to_halve(controls[:, :-1], highest * 2 / 2.0**order, box.rad, order, relative)
        return BoxResult(relative, floor, axis, jnp.clip(best, 0.0, 1.0))

    return bound


def _weights(
    data: FluxData, ends: Array, box: Ball, c: Array, nodes: np.ndarray
) -> tuple[Weights, Array, Float[Array, "3 C"]]:
    """Also c(x0) itself and B N(x0)."""
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
        box=exp_ball(balls.widen(middle, reach * (1 + 1e-12))),
        middle=centre.mid,
        amplitude=beta,
        spread=jnp.sum(jnp.abs(beta)) * (1 + 1e-12),
    )
    return weights, c, v


def _difference(data: FluxData, weights: Weights, nodes: np.ndarray, c: Array, gradient: Array) -> Float[Array, " M"]:
    """s^2 (2 f.N - N.A N) at the nodes."""
    work = jnp.exp(nodes @ weights.amplitude) * (c @ data.load_modes.mid)
    return 2 * work - jnp.sum((weights.values[1][:, None] * gradient) ** 2, axis=(1, 2))


class Sizes(NamedTuple):
    """Roundings and defects over the box, times s: of g at a node, of s^2 c there; what the bound is raised by."""

    node: Float[Array, ""]
    difference: Float[Array, ""]
    floor: Float[Array, ""]
    trusted: Array


def _sizes(data: FluxData, weights: Weights, mu: Array, reach: Array, moved: Array, losses: Array) -> Sizes:
    """``reach``: largest |c|; ``moved``: by how much c as computed at a node may be off; ``losses``: c's rounding."""
    family, (r, k) = data.family, (data.family.modes.shape[0], len(reach))
    low, high = (jnp.max(balls.magnitude(weights.box[i])) for i in (0, 1))
    multipliers = jnp.concatenate([jnp.ones(1), jnp.max(jnp.abs(mu), axis=0)])
    of_flux = multipliers @ family.sizes
    size = reach + moved
    of_gradient = size @ data.mode_fluxes
    gradient_error = (
        moved @ data.mode_fluxes + size @ data.mode_errors + (gamma(k + 8) + 1.01 * weights.relative) * of_gradient
    )
    node = 1.01 * (low * (gamma(r + 8) + 1.01 * weights.relative) * of_flux + high * gradient_error)
    amplitude = jnp.exp(weights.spread) * (1 + 1e-12)
    work = size @ (jnp.abs(data.load_modes.mid) + data.load_modes.rad)
    work_error = size @ data.load_modes.rad + moved @ jnp.abs(data.load_modes.mid)
    work_error = work_error + (gamma(k + 8) + 1.01 * weights.relative + balls.LIBM) * work
    whole, part = high * of_gradient, high * gradient_error
    cells = 3 * data.centre.mid.shape[-1]
    difference = 2 * amplitude * work_error + (2 * whole + part) * part + gamma(cells + 16) * whole**2
    # the field as it is returned: the coefficients' own rounding, and that of the product V c
    product = gamma(k + 4) * FLUX_NORM * ((reach + losses) @ data.mode_norms)
    own = high * (losses @ data.mode_fluxes + product)
    return Sizes(
        node, 1.01 * difference + UNDERFLOW, 1.01 * (own + _defect(data, weights, mu)), _trusted(weights, reach)
    )


def _trusted(weights: Weights, reach: Array) -> Array:
    """Numbers of a size whose squares stay in float64."""
    extremes = balls.magnitude(weights.box)
    inside = (jnp.max(extremes) <= jnp.sqrt(RANGE)) & (jnp.min(balls.lower(weights.box)) >= 1 / jnp.sqrt(RANGE))
    return inside & (weights.spread <= LOGARITHM / 2) & (jnp.max(reach) <= RANGE**2) & (weights.relative <= 1e-6)


def _defect(data: FluxData, weights: Weights, mu: Array) -> Float[Array, ""]:
    """s ||f - B'y|| / lambda_min^(1/2), where s / min(a)^(1/2) is at most the largest s a^(-1/2)."""
    low = jnp.max(balls.magnitude(weights.box[0]))
    # |mu| over the box: at most the nodes' largest times the Lebesgue constants
    m = round(mu.shape[0] ** (1 / weights.amplitude.shape[0]))
    largest = jnp.max(jnp.abs(mu), axis=0) * bernstein.lebesgue(m) ** weights.amplitude.shape[0]
    multipliers = jnp.concatenate([jnp.ones(1), largest])
    return low * (multipliers @ data.family.defects) / jnp.sqrt(data.coercivity) * (1 + 1e-12)


def _controls(values: Float[Array, "M n"], order: int, d: int) -> Float[Array, "M n"]:
    """Bernstein control points as computed; their rounding is in ``spread``."""
    C = jnp.asarray(bernstein.control_matrix(order))
    out = values.reshape((order,) * d + (-1,))
    for axis in range(d):
        out = jnp.moveaxis(jnp.tensordot(C, out, axes=(1, axis)), 0, axis)
    return out.reshape(values.shape)


def _remainders(
    data: FluxData, weights: Weights, mu: Array, ranges: Ball, jets: Ball, rad: Array, order: int
) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
    """At least the m-th Taylor coefficients, in t, over the box and along every axis: of g's length, of s^2 c."""
    d, k = rad.shape[0], ranges.shape[0]
    scaled = [Ball(jnp.broadcast_to(ranges.mid, (d, k)), jnp.broadcast_to(ranges.rad, (d, k)))]
    power = balls.point(jnp.ones(d))
    for i in range(order):
        power = balls.mul(power, balls.point(rad))
        scaled.append(balls.mul(jets[i], power[:, None]))
    c = _stack(scaled)  # [m+1, d, k]
    gradient = balls.linear(
        c,
        lambda x: jnp.tensordot(x, data.modes, 1),
        lambda x: jnp.tensordot(x, balls.absolute_matrix(data.modes), 1),
        k,
    )
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
    amplitudes = _exponentials(balls.point(weights.amplitude), order)  # [m+1, d]
    load = data.load_modes
    works = balls.bilinear(c, load, lambda x, y: x @ y, k)
    work = balls.bilinear(amplitudes[::-1], works, lambda x, y: jnp.sum(x * y, axis=0), order + 1)
    total = energy + 2 * balls.magnitude(work) * jnp.exp(weights.spread) * (1 + 1e-12)
    return norm(balls.magnitude(g), (1, 2)), total * (1 + 1e-12)


def _times(a: Ball, matrix: Float[Array, "k 3 C"]) -> Ball:
    """[*S, k] times k fluxes."""
    absolute = balls.absolute_matrix(matrix)
    return balls.linear(
        a, lambda x: jnp.tensordot(x, matrix, 1), lambda x: jnp.tensordot(x, absolute, 1), matrix.shape[0]
    )


def _stack(parts: list[Ball]) -> Ball:
    return Ball(jnp.stack([x.mid for x in parts]), jnp.stack([x.rad for x in parts]))


def _exponentials(slopes: Ball, order: int) -> Ball:
    """slopes^j / j!, j = 0 .. m, in front."""
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


def _energy_below(data: FluxData, weights: Weights, c: Array, v: Float[Array, "3 C"]) -> Float[Array, ""]:
    """s^2 ||u||^2 from below: (f.N0)^2 / sup N0.A N0 / s^2 for the one field N0 = V c."""
    d = weights.amplitude.shape[0]
    work = data.load_modes
    corners = jnp.asarray(np.stack(np.meshgrid(*[np.array([-1.0, 1.0])] * d, indexing="ij"), axis=-1).reshape(-1, d))
    slopes = 2 * weights.slopes.mid[1] - 2 * weights.amplitude[:, None]  # of log a - beta.t
    values = jnp.exp(weights.middle + corners @ slopes)  # [2^d, C]
    size = jnp.abs(c)
    rounding = gamma(len(c) + 8) * (size @ data.mode_fluxes) + size @ data.mode_errors
    most = jnp.max(jnp.sqrt(values @ jnp.sum(v * v, axis=0))) * (1 + 1e-12) + 1.01 * rounding * jnp.sqrt(
        jnp.max(values)
    )
    most = (most * (1 + 4 * weights.relative)) ** 2
    least = jnp.abs(work.mid @ c) - 1.01 * (work.rad @ size + gamma(len(c) + 8) * (jnp.abs(work.mid) @ size))
    good = jnp.isfinite(most) & (most > 1 / RANGE**4) & (least > 1 / RANGE**4)
    return jnp.where(good, jnp.maximum(least, 0.0) ** 2 / jnp.where(good, most, 1.0) * (1 - 1e-12), 0.0)
