"""The relative error of a reduced surrogate over a whole box of inputs: one proved number per box.

The certificate of ``proofs/reduced.py`` bounds the error e of N = V c(p) at one input. Over a box, in four steps:

1. The certificate is the length of an analytic vector. In unit coordinates x, with weights w that are chosen at the
   box's centre and held all over it,

       ||e|| <= |g(x)| + defects,    g(x) = [theta_q^(-1/2) T_q s(x) for all q],    T_q = F_q sum_k w_k tref_kq R_k

   and D(x) = 2 f.N - N.A N = ||u||^2 - ||e||^2. (s, F, tref and R are those of ``ReducedData``.) Interval arithmetic
   alone cannot bound g: the residual in it is a difference of numbers of order one.
2. g and D are interpolated on an m^d Chebyshev grid in the box.
3. The interpolant is bounded by its Bernstein control points: a norm is convex, so over the box |g|'s is at most the
   largest of theirs, and D's at least the least.
4. The remainder of the interpolation is added. It takes the m-th Taylor coefficients of g and D over the whole box,
   along every axis, which interval Taylor jets give (``enclose``).

With E from these steps for |g|, all rounding added, and D_low for D,

    ||u - N|| / ||u|| <= E / max((D_low + E^2)^(1/2), U)         at every point of the box,

where ||u|| >= U by a single field (``energy_below``), which keeps the quotient finite while D_low is not yet positive.

The vector is scaled by the problem's known amplitude (u(c p) = u(p)/c for the thermal block), which drops out of the
quotient and keeps E and D_low from varying where it does not. Covered (``rounding_floor.py``): the float64 evaluation
of the surrogate (``rounding_error``), of the field V c, of the grid values and control points, the defects of the
reduced data; a box is inflated by 1e-12 for lookups.
References: ranges by Bernstein forms: Garloff 1986; interval Taylor jets: Moore 1966.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.classes.coercive import CoerciveProblem
from ...solvers.precision import RANGE, gamma
from ..enclose import ball as balls
from ..enclose import bernstein, coefficients, rounding_error
from ..enclose.ball import Ball
from ..proofs.bounds import SLACK
from ..proofs.coefficients.offline import ReducedData
from ..proofs.thomson import simplex_weights
from .rounding_floor import BoxExtrema, rounding_floor

INFLATION = 1e-12  # of every box, in unit coordinates: a query's own rounding never leaves its leaf
VARIATION = 0.15  # weight of the control points' variation against the remainder, when an axis is chosen


class BoxResult(NamedTuple):
    """What is known of one box; infinite where no bound can be given."""

    upper: Float[Array, ""]  # proved sup of ||u - N|| / (scale + ||u||) over the box
    floor: Float[Array, ""]  # the absolute share of it that no splitting removes
    axis: Array  # along which to halve it next
    best: Float[Array, " d"]  # where the error seemed largest, of the grid's points, in unit coordinates


def unit_to_inputs(log: tuple[bool, ...], ends: Float[Array, "2 d"]) -> Callable[[Array], Array]:
    """x -> p in JAX: the exact inverse of ``Box.to_unit`` as a function of reals; ``ends``: ``Box.scaled_ends``."""
    low, width = ends[0], ends[1]
    if all(log):
        return lambda x: jnp.exp(low + x * width)
    if not any(log):
        return lambda x: low + x * width
    picks = [jnp.exp if flag else (lambda t: t) for flag in log]
    return lambda x: jnp.concatenate([pick((low + x * width)[i : i + 1]) for i, pick in enumerate(picks)])


ModelWeights = tuple[Any, ...]


class BoundInputs(NamedTuple):
    """What the compiled bound is given besides the box, so that it serves other boxes and weights."""

    ends: Float[Any, "2 d"]  # ``Box.scaled_ends`` of the whole box
    data: Any  # ``ReducedData``; ``FluxData`` of box_flux.py
    weights: ModelWeights  # of the surrogate
    scale: Any = np.float64(0.0)  # what is added to the size of the solution in the error that is bounded


def make_box_bound(
    problem: CoerciveProblem, coefficients_of: Callable[[ModelWeights, Array], Array], log: tuple[bool, ...], order: int
) -> Callable[[Array, Array, BoundInputs, Array], BoxResult]:
    """The bound of one box as a function in JAX, to be vmapped over the first two arguments only, and jitted.

    Args:
        coefficients_of: the surrogate's weights and one input [d] to its coefficients [k].
        log: of the box: which inputs are logarithmic.
        order: nodes per axis.

    Returns:
        A function of the box's lower and upper ends [d] in unit coordinates, ``BoundInputs``, and a run-time True that
        makes it quick to compile (``enclose.coefficients``).
    """

    def bound(low: Array, high: Array, given: BoundInputs, always_true: Array) -> BoxResult:
        coefficients_at = partial(coefficients_of, given.weights)
        return _BoxBound(problem, coefficients_at, unit_to_inputs(log, given.ends), given.data, order, given.scale)(
            low, high, always_true
        )

    return bound


class _BoxBound:
    """The bound of boxes, for one set of data and weights."""

    def __init__(
        self,
        problem: CoerciveProblem,
        modes: Callable[[Array], Array],
        to_inputs: Callable[[Array], Array],
        data: ReducedData,
        order: int,
        scale: Any = 0.0,
    ) -> None:
        self.problem, self.modes, self.to_inputs, self.data, self.order = problem, modes, to_inputs, data, order
        self.scale = scale

    def parts(self, x: Array) -> tuple[Array, Array, Array, Array, Array]:
        """theta, load weights, coefficients, amplitude and s. u ~ amplitude, so ||u||_A^2 ~ amplitude^2 theta; for
        u(c p) = u(p)/c that is the amplitude itself.
        """
        problem, p = self.problem, self.to_inputs(x)
        theta, phi, c = problem.theta(p), problem.load_weights(p), self.modes(p)
        s = jnp.concatenate([phi, -(theta[:, None] * c[None, :]).reshape(-1)])
        # in the very operations of surrogates that multiply by it, so that the enclosure sees it drop out of c / it
        amplitude = jax.vmap(problem.features)(p[None])[1][0]
        return theta, phi, c, amplitude, s

    def vector(self, T: Array, x: Array) -> Array:
        """g and D, and behind them theta, load weights, coefficients, amplitude, theta amplitude: one walk for all."""
        theta, phi, c, amplitude, _ = self.parts(x)
        data, Q, rank = self.data, len(theta), self.data.factors.shape[-1]
        # factors of y stand together: the enclosure multiplies exponentials exactly, and T into the last layer of y
        y, scaled, J = c / amplitude, theta * amplitude, len(phi)
        root = jnp.sqrt(scaled)
        loads = (T[:, :J] @ phi).reshape(Q, rank) / root[:, None]
        solved = (T[:, J:].reshape(Q * rank * Q, -1) @ y).reshape(Q, rank, Q)
        flux = loads - jnp.sum(solved * (scaled[None, :] / root[:, None])[:, None, :], axis=2)
        work = 2 * (phi @ (data.load_mode @ y))
        stretched = (data.stiffness.reshape(-1, len(c)) @ y).reshape(Q, -1)
        difference = (work - jnp.sum(scaled * (stretched @ y)))[None]
        return jnp.concatenate([flux.reshape(-1), difference, theta, phi, c, amplitude[None], theta * amplitude])

    def __call__(self, low: Array, high: Array, always_true: Array) -> BoxResult:
        """Step 1: the weights w at the box's centre, and T for them."""
        data = self.data
        (count, Q), rank = data.references.shape, data.factors.shape[-1]
        low, high = low - INFLATION, high + INFLATION
        centre = (low + high) / 2
        theta, _, c, _, s = self.parts(centre)
        x = data.solves @ s
        fluxes = jnp.einsum("qrs,ks->kqr", data.factors, x) * (data.references / jnp.sqrt(theta))[:, :, None]
        flat = fluxes.reshape(count, -1)
        w = jnp.stack(simplex_weights(flat @ flat.T)) if count > 1 else jnp.ones(1)
        combined = jnp.einsum("k,kq,krm->qrm", w, data.references, data.solves)
        T = jnp.einsum("qrs,qsm->qrm", data.factors, combined).reshape(Q * rank, -1)
        return self.evaluate(low, high, partial(self.vector, T), w, c, always_true)

    def evaluate(
        self, low: Array, high: Array, whole: Callable[[Array], Array], w: Array, c: Array, always_true: Array
    ) -> BoxResult:
        """Steps 2 to 4 for ``whole``, which is ``vector`` with its T, and the quotient. ``c``: V c is the single field
        of ``energy_below``.
        """
        data, order, d = self.data, self.order, low.shape[0]
        Q, rank = data.references.shape[1], data.factors.shape[-1]
        box = balls.from_bounds(low, high)
        K = Q * rank + 1  # the length of g, and D
        ranges, jets = coefficients(whole, low, high, order, always_true)
        jets = jets[:, :, :K]
        losses = rounding_error(whole, low, high, always_true)
        # 2. values at the nodes; as computed, these are nodes to ``points.rad``
        slopes = jnp.sum(jnp.where(jnp.isfinite(balls.magnitude(jets)[0]), balls.magnitude(jets)[0], jnp.inf), axis=0)
        points = bernstein.grid(box, order)
        values = jax.vmap(whole)(points.mid)[:, :K]
        spread = losses[:K] + slopes * jnp.max(points.rad)
        # 3. control points
        controls = bernstein.control_points(Ball(values, jnp.broadcast_to(spread, values.shape)), order, d)
        highest = balls.magnitude(jets)[order - 1]  # [d, K]
        flux_controls, difference_controls = balls.magnitude(controls)[:, :-1], balls.lower(controls)[:, -1]
        length = jnp.sqrt(jnp.max(jnp.sum(flux_controls**2, axis=1))) * (1 + gamma(2 * Q * rank + 8))
        # 4. remainders
        flux_highest = jnp.sqrt(jnp.sum(highest[:, :-1] ** 2, axis=1)) * (1 + gamma(2 * Q * rank + 8))
        rest = bernstein.remainder(flux_highest, box.rad, order)
        difference_rest = bernstein.remainder(highest[:, -1], box.rad, order)
        # roundings and defects
        first, second = K + Q, K + Q + data.load_mode.shape[0]
        extrema = BoxExtrema(
            theta_low=balls.lower(ranges[K:first]),
            theta_high=balls.upper(ranges[K:first]),
            loads=balls.magnitude(ranges[first:second]),
            modes=balls.magnitude(ranges[second : second + len(c)]),
            losses=losses[second : second + len(c)],
            amplitude=balls.lower(ranges[second + len(c)]),
        )
        rounding = rounding_floor(self.problem, data, w, extrema)
        floor = rounding.error
        upper = ((length + rest) * rounding.flux_factor + floor) * SLACK
        lowest = jnp.min(difference_controls) - difference_rest - rounding.difference
        lowest = lowest - 1e-15 * (jnp.abs(jnp.min(difference_controls)) + difference_rest + rounding.difference)
        # what the surrogate's rounding and the field's product change of D: 2 |r.dN| + |dN|^2 <= floor (2 upper +
        # floor)
        lowest = lowest - 1.01 * floor * (2 * upper + floor)
        # everything here is divided by amplitude^(1/2), the scale by the largest over the box
        largest = balls.upper(ranges[second + len(c)])
        scale = self.scale / jnp.sqrt(jnp.where(largest > 0, largest, jnp.inf)) * (1 - 1e-12)
        relative = quotient(upper, lowest, energy_below(data, ranges[first:second], ranges[-Q:], c), scale)
        sizes = jnp.sum(values[:, :-1] ** 2, axis=1) / jnp.maximum(values[:, -1], 1e-300)
        best = points.mid[jnp.argmax(jnp.where(jnp.isfinite(sizes), sizes, jnp.inf))]
        axis = axis_to_halve(controls.mid[:, :-1], 2 * (box.rad / 2) ** order * flux_highest, box.rad, order, relative)
        inside = jnp.clip(best, 0.0, 1.0)
        return BoxResult(relative, floor, axis, inside)


def quotient(upper: Array, difference_low: Array, energy_low: Array, scale: Any = 0.0) -> Float[Array, ""]:
    """sup ||e|| / (scale + ||u||) over a box, from ``upper`` >= ||e|| and lower bounds of D = ||u||^2 - ||e||^2 and of
    ||u||^2.

    ||e|| / (scale + (D + ||e||^2)^(1/2)) increases with ||e|| for D >= 0, whatever the scale, and falls with D.
    Infinite where nothing keeps ||u|| away from zero, or squares may have left float64.
    """
    energy = jnp.maximum(jnp.where(difference_low > 0, difference_low + upper**2, 0.0), energy_low)
    size = scale + jnp.where(energy > 0, jnp.sqrt(jnp.where(energy > 0, energy, 1.0)), 0.0)
    error = upper / jnp.where(size > 0, size, 1.0) * SLACK
    return jnp.where((size > 0) & (upper <= RANGE**4), error, jnp.inf)


def axis_to_halve(
    controls: Float[Array, "M n"],
    remainders: Float[Array, " d"],
    rad: Float[Array, " d"],
    order: int | tuple[int, ...],
    relative: Array,
) -> Array:
    """Along which remainder and variation of the control points are largest; the longest where there is no bound."""
    orders = bernstein.per_axis(order, rad.shape[0])
    tensor = controls.reshape((*orders, -1))
    steps = [jnp.sum(jnp.diff(tensor, axis=a) ** 2, axis=-1) for a in range(len(orders))]
    variation = jnp.stack([jnp.max(x) ** 0.5 if x.size else jnp.zeros(()) for x in steps])
    score = remainders + VARIATION * variation
    axis = jnp.argmax(jnp.where(jnp.isfinite(score), score, 1e100) * (1 + 1e-6 * rad))
    return jnp.where(jnp.isfinite(relative), axis, jnp.argmax(rad))


def energy_below(data: ReducedData, loads: Ball, scaled: Ball, c: Float[Array, " k"]) -> Float[Array, ""]:
    """||u||_A^2 / amplitude over the box, from below: (f.v)^2 / v'A v for the one field v = V c, whatever c is.

    ``loads`` and ``scaled`` are the ranges of the load weights and of theta amplitude.
    """
    work, size = data.load_mode @ c, jnp.abs(c)
    spread = balls.magnitude(loads) @ (data.load_mode_error @ size) + loads.rad @ jnp.abs(work)
    rounding = gamma(4 * len(c) + 32) * (balls.magnitude(loads) @ (jnp.abs(data.load_mode) @ size))
    least = jnp.maximum(jnp.abs(loads.mid @ work) - 1.01 * (spread + rounding), 0.0)
    own = (data.stiffness @ c) @ c
    own = own + 1.01 * ((data.stiffness_error @ size) @ size)
    own = own + gamma(4 * len(c) + 32) * ((jnp.abs(data.stiffness) @ size) @ size)
    most = balls.upper(scaled) @ jnp.maximum(own, 0.0)
    good = jnp.isfinite(most) & (most > 1 / RANGE**4) & (least > 1 / RANGE**4)
    return jnp.where(good, least**2 / jnp.where(good, most, 1.0) * (1 - 1e-12), 0.0)
