"""The relative error of a surrogate with a basis over a whole box of inputs, one coefficient per cell: by fluxes.

A(p) = B' diag(a(p)) B with the factor rows B of every cell and log a affine in x (``log_weights.py``): one matrix per
cell, no reduced coordinates. For any flux y and N = V c(p), by Prager and Synge's hypercircle, cell by cell,

    ||u - N||_A <= || a^(-1/2) y - a^(1/2) B N ||_2 + || f - B'y ||_2 / lambda_min(A)^(1/2)

Proof: (u - N, v)_A = (f - B'y).v + (y - a B N).B v <= the right-hand side times ||v||_A; take v = u - N. Where B'y = f
the first term's square is ||u - N||^2 + || a^(-1/2) (y - a B u) ||^2: a flux whose own error is half of the surrogate's
raises the bound by an eighth.

The flux is y(x) = y_0 + Psi mu(x) of a ``FluxFamily``; mu is, over each box, the polynomial through the best
multipliers at the nodes of the Chebyshev grid. From here on the four steps are those of ``box_bound.py``:

1. The certificate is the length of the vector g(t) = s (a^(-1/2) y - a^(1/2) B N), t = (x - x0) / rho in [-1, 1]^d.
   The amplitude s = exp(beta.t / 2), beta the slope of log v'A v for v = N(x0), keeps the size of the solution from
   varying where it is known to, and drops out of the quotient.
2. and 3. g is interpolated at the nodes, and the largest of its control points bounds the interpolant.
4. The remainder takes the Taylor coefficients of g over the box (``flux_series.py``).

The relative error is the quotient of that bound and ||u||, of which there are two lower bounds, and the larger one
counts. One follows from ||u||^2 - ||u - N||^2 = 2 f.N - N.A N, a difference that is interpolated with the rest. The
other is (f.v)^2 / v.A v for the one field v; v.A v is convex in x, so it is largest in a corner of the box.
Reference: Prager and Synge 1947; Ladeveze and Pelle 2005 (constitutive relation error).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from ....solvers.precision import RANGE, gamma
from ...enclose import ball as balls
from ...enclose import bernstein, coefficients, rounding_error
from ...enclose.ball import Ball
from ...proofs.bounds import SLACK, UNDERFLOW
from ..box_bound import INFLATION, BoundInputs, BoxResult, ModelWeights, axis_to_halve, quotient, unit_to_inputs
from .flux_data import FLUX_NORM, FluxData
from .flux_series import Weights, norm, remainders, weights_of


def make_flux_bound(
    log: tuple[bool, ...], coefficients_of: Callable[[ModelWeights, Array], Array], order: int
) -> Callable[[Array, Array, BoundInputs, Array], BoxResult]:
    """The bound of one box as a function in JAX, with the arguments and the result of ``make_box_bound``'s.

    It knows of the problem only what ``BoundInputs.data``, a ``FluxData``, says.
    """
    d = len(log)
    nodes = np.stack(np.meshgrid(*[bernstein.nodes(order)] * d, indexing="ij"), axis=-1).reshape(-1, d)

    def bound(low: Array, high: Array, given: BoundInputs, always_true: Array) -> BoxResult:
        ends, data = given.ends, given.data
        low, high = low - INFLATION, high + INFLATION
        box = balls.from_bounds(low, high)
        to_inputs = unit_to_inputs(log, ends)

        def coefficients_at(x: Array) -> Array:
            return coefficients_of(given.weights, to_inputs(x))

        ranges, jets = coefficients(coefficients_at, low, high, order, always_true)
        losses = rounding_error(coefficients_at, low, high, always_true)
        points = bernstein.grid(box, order)
        c, central = jax.vmap(coefficients_at)(points.mid), coefficients_at(box.mid)
        weights, field = weights_of(data, ends, box, central, nodes)
        mu = data.family.best(weights.values[0] ** 2)
        flux = data.family.start + jnp.tensordot(mu, data.family.modes, 1)
        gradient = jnp.tensordot(c, data.modes, 1)
        g = weights.values[0][:, None] * flux - weights.values[1][:, None] * gradient
        difference = _difference(data, weights, nodes, c, gradient)

        rests = remainders(data, weights, mu, ranges, jets, box.rad, order)
        reach = balls.magnitude(ranges)
        first = jnp.max(balls.magnitude(jets[0]), axis=0) * d
        moved = losses + first * jnp.max(points.rad)  # of c at the computed points
        roundings = _roundings(data, weights, mu, reach, moved, losses, order)
        below = _energy_below(data, weights, central, field)
        # everything here is multiplied by s, which is at least exp(-spread / 2) over the box
        scale = given.scale * jnp.exp(-weights.spread / 2) * (1 - 1e-12)
        return _concluded(g, difference, rests, roundings, (below, scale), points.mid, box.rad, order)

    return bound


def _concluded(
    g: Float[Array, "M 3 C"],
    difference: Float[Array, " M"],
    rests: tuple[Array, Array],
    roundings: Roundings,
    sizes: tuple[Array, Array],  # ||u||^2 from below, and the scale beside ||u||
    points: Float[Array, "M d"],
    rad: Float[Array, " d"],
    order: int,
) -> BoxResult:
    """Steps 3 and 4, and the quotient: control points, remainders and roundings put together.

    ``g`` [M nodes, 3 flux components, C cells] and ``difference``: their values at the nodes; ``rests``: their highest
    Taylor coefficients (``flux_series.remainders``).
    """
    d = len(rad)
    growth = float(np.abs(bernstein.control_matrix(order)).sum(axis=1).max()) ** d * (1 + 1e-12)
    summing = gamma(d * (order + 4))
    values = jnp.concatenate([g.reshape(len(g), -1), difference[:, None]], axis=1)
    controls = bernstein.control_points(Ball(values, jnp.zeros_like(values)), order, d).mid  # for rounding see below
    length, lowest = jnp.max(norm(controls[:, :-1], 1)), jnp.min(controls[:, -1])
    rest, rest_difference = (bernstein.remainder(r, jnp.ones(d), order) for r in rests)
    rounding = growth * (roundings.node + summing * jnp.max(norm(g, (1, 2))))
    floor = (roundings.floor + rounding) * 1.01 + UNDERFLOW
    upper = (length + rest + floor) * SLACK
    lost = rest_difference + 1.01 * growth * (roundings.difference + summing * jnp.max(jnp.abs(difference)))
    c_low = lowest - lost - 1.01 * floor * (2 * upper + floor)
    c_low = c_low - 1e-15 * (jnp.abs(lowest) + lost)
    relative = jnp.where(roundings.trusted & jnp.isfinite(upper), quotient(upper, c_low, *sizes), jnp.inf)
    worst = jnp.sum(g * g, axis=(1, 2)) / jnp.maximum(difference, 1e-300)
    best = points[jnp.argmax(jnp.where(jnp.isfinite(worst), worst, jnp.inf))]
    axis = axis_to_halve(controls[:, :-1], rests[0] * 2 / 2.0**order, rad, order, relative)
    return BoxResult(relative, floor, axis, jnp.clip(best, 0.0, 1.0))


def _difference(data: FluxData, weights: Weights, nodes: np.ndarray, c: Array, gradient: Array) -> Float[Array, " M"]:
    """s^2 (2 f.N - N.A N) at the nodes."""
    work = jnp.exp(nodes @ weights.beta) * (c @ data.load_modes.mid)
    return 2 * work - jnp.sum((weights.values[1][:, None] * gradient) ** 2, axis=(1, 2))


class Roundings(NamedTuple):
    """Bounds of rounding errors and defects all over the box, of the quantities as they are multiplied by s or s^2."""

    node: Float[Array, ""]  # length by which g as computed at a node may be off: raised by interpolation
    difference: Float[Array, ""]  # by which 2 f.N - N.A N as computed at a node may be off: raised likewise
    floor: Float[Array, ""]  # to be added to the bound of ||e||: the field's own rounding, what the flux leaves of f
    trusted: Array  # whether all numbers are of a size whose squares stay in float64


def _roundings(
    data: FluxData, weights: Weights, mu: Array, reach: Array, moved: Array, losses: Array, order: int
) -> Roundings:
    """
    Args:
        mu: multipliers at the nodes [M, r].
        reach: the largest |c| over the box [k].
        moved: by how much c as computed at a node may be off [k]: its rounding, and that of the node.
        losses: its rounding alone, anywhere in the box [k].
    """
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
    entries = 3 * data.centre.mid.shape[-1]
    difference = 2 * amplitude * work_error + (2 * whole + part) * part + gamma(entries + 16) * whole**2
    # the field as it is returned: the coefficients' own rounding, and that of the product V c
    product = gamma(k + 4) * FLUX_NORM * ((reach + losses) @ data.mode_norms)
    own = high * (losses @ data.mode_fluxes + product)
    floor = 1.01 * (own + _defect(data, weights, mu, order))
    return Roundings(node, 1.01 * difference + UNDERFLOW, floor, _trusted(weights, reach))


def _trusted(weights: Weights, reach: Array) -> Array:
    """Numbers of a size whose squares stay in float64."""
    extremes = balls.magnitude(weights.box)
    inside = (jnp.max(extremes) <= jnp.sqrt(RANGE)) & (jnp.min(balls.lower(weights.box)) >= 1 / jnp.sqrt(RANGE))
    return inside & (weights.spread <= math.log(RANGE) / 2) & (jnp.max(reach) <= RANGE**2) & (weights.relative <= 1e-6)


def _defect(data: FluxData, weights: Weights, mu: Array, order: int) -> Float[Array, ""]:
    """s ||f - B'y|| / lambda_min^(1/2), where s / min(a)^(1/2) is at most the largest s a^(-1/2)."""
    low = jnp.max(balls.magnitude(weights.box[0]))
    # |mu| over the box: at most the nodes' largest times the Lebesgue constants
    largest = jnp.max(jnp.abs(mu), axis=0) * bernstein.lebesgue(order) ** weights.beta.shape[0]
    multipliers = jnp.concatenate([jnp.ones(1), largest])
    return low * (multipliers @ data.family.defects) / jnp.sqrt(data.coercivity) * (1 + 1e-12)


def _energy_below(data: FluxData, weights: Weights, c: Array, v: Float[Array, "3 C"]) -> Float[Array, ""]:
    """s^2 ||u||^2 from below: (f.N0)^2 / sup (N0.A N0 / s^2) for the one field N0 = V c."""
    d = weights.beta.shape[0]
    work = data.load_modes
    corners = jnp.asarray(np.stack(np.meshgrid(*[np.array([-1.0, 1.0])] * d, indexing="ij"), axis=-1).reshape(-1, d))
    slopes = 2 * weights.slopes.mid[1] - 2 * weights.beta[:, None]  # of log a - beta.t
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
