"""The relative error of a reduced surrogate over a whole box of inputs: one proved number per box.

In unit coordinates x the certificate of ``reduced.py`` is the length of an analytic vector: with weights w fixed over
the box and c = 2 f.N - N.A N = ||u||^2 - ||e||^2,

    g(x) = [ theta_q^(-1/2) T_q s(x) for all q ; c(x) ],   T_q = F_q sum_k w_k tref_kq R_k

Interval arithmetic cannot bound it (the residual is a difference of numbers of order one), so g is interpolated on an
m^d Chebyshev grid; a norm is convex, so its maximum over the Bernstein control points bounds the interpolant's; the
remainder comes from interval Taylor jets (``enclose``). With E = sup |T s| + all rounding and C = inf c over the box,

    ||u - N|| / ||u|| <= E / max((C + E^2)^(1/2), U)         at every point of the box,

where ||u|| >= U by a single field (``energy_below``), which keeps the quotient finite while C is not yet positive.

The vector is scaled by the problem's known amplitude (u(c p) = u(p)/c for the thermal block), which drops out of the
quotient and keeps E and C from varying where it does not. Covered: the float64 evaluation of the surrogate
(``rounding_error``), of the field V c, of the grid values and control points, the defects of the reduced data; a box
is inflated by 1e-12 for lookups.
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

from ...solvers.box import Box
from ...solvers.classes.coercive import CoerciveProblem
from ...solvers.precision import RANGE, gamma
from ..enclose import ball as balls
from ..enclose import bernstein, coefficients, rounding_error
from ..enclose.ball import Ball
from ..proofs.bounds import SLACK
from ..proofs.reduced import ReducedData
from ..proofs.thomson import UNDERFLOW, simplex_weights

INFLATION = 1e-12  # of every box, in unit coordinates: a query's own rounding never leaves its leaf
VARIATION = 0.15  # weight of the control points' variation against the remainder, when an axis is chosen


class BoxResult(NamedTuple):
    upper: Float[Array, ""]  # proved sup of ||u - N|| / (scale + ||u||) over the box
    floor: Float[Array, ""]  # the absolute share of it that no splitting removes
    axis: Array  # which axis to halve
    best: Float[Array, " d"]  # the worst of the points looked at, unit coordinates


def unit_to_inputs(log: tuple[bool, ...], ends: Float[Array, "2 d"]) -> Callable[[Array], Array]:
    """x -> p in JAX: the exact inverse of ``Box.to_unit`` as a function of reals; ``ends``: see ``scaled_ends``."""
    low, width = ends[0], ends[1]
    if all(log):
        return lambda x: jnp.exp(low + x * width)
    if not any(log):
        return lambda x: low + x * width
    picks = [jnp.exp if flag else (lambda t: t) for flag in log]
    return lambda x: jnp.concatenate([pick((low + x * width)[i : i + 1]) for i, pick in enumerate(picks)])


def scaled_ends(box: Box) -> Float[np.ndarray, "2 d"]:
    """Lower ends and widths, of logarithms where the box has them."""
    return np.stack(box.scaled_ends())


ModelWeights = tuple[Any, ...]


class BoundInputs(NamedTuple):
    """What the compiled bound is given besides the box, so that it serves other boxes and weights."""

    ends: Float[Any, "2 d"]  # ``scaled_ends`` of the whole box
    data: Any  # ``ReducedData``; ``FluxData`` of box_flux.py
    weights: ModelWeights  # of the surrogate
    scale: Any = np.float64(0.0)  # what is added to the size of the solution in the error that is bounded


def make_box_bound(
    problem: CoerciveProblem, coefficients_of: Callable[[ModelWeights, Array], Array], log: tuple[bool, ...], order: int
) -> Callable[[Array, Array, BoundInputs, Array], BoxResult]:
    """A function of (low [d], high [d]) in unit coordinates, ``BoundInputs`` and a run-time True, to be vmapped
    over low and high only and jitted. ``coefficients_of``: weights and one input [d] to [k].
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
        """g, and behind it theta, load weights, coefficients, amplitude, theta amplitude: one walk for all of them."""
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
        data, order, d = self.data, self.order, low.shape[0]
        Q, rank = data.references.shape[1], data.factors.shape[-1]
        box = balls.from_bounds(low, high)
        K = Q * rank + 1  # the length of g
        ranges, jets = coefficients(whole, low, high, order, always_true)
        jets = jets[:, :, :K]
        losses = rounding_error(whole, low, high, always_true)
        slopes = jnp.sum(jnp.where(jnp.isfinite(balls.magnitude(jets)[0]), balls.magnitude(jets)[0], jnp.inf), axis=0)
        points = bernstein.grid(box, order)
        values = jax.vmap(whole)(points.mid)[:, :K]
        spread = losses[:K] + slopes * jnp.max(points.rad)
        controls = bernstein.control_points(Ball(values, jnp.broadcast_to(spread, values.shape)), order, d)
        highest = balls.magnitude(jets)[order - 1]  # [d, K]
        flux_controls, c_controls = balls.magnitude(controls)[:, :-1], balls.lower(controls)[:, -1]
        length = jnp.sqrt(jnp.max(jnp.sum(flux_controls**2, axis=1))) * (1 + gamma(2 * Q * rank + 8))
        flux_highest = jnp.sqrt(jnp.sum(highest[:, :-1] ** 2, axis=1)) * (1 + gamma(2 * Q * rank + 8))
        rest = bernstein.remainder(flux_highest, box.rad, order)
        c_rest = bernstein.remainder(highest[:, -1], box.rad, order)
        first, second = K + Q, K + Q + data.load_mode.shape[0]
        sizes_of = BoxExtrema(
            balls.lower(ranges[K:first]),
            balls.upper(ranges[K:first]),
            balls.magnitude(ranges[first:second]),
            balls.magnitude(ranges[second : second + len(c)]),
            losses[second : second + len(c)],
            balls.lower(ranges[second + len(c)]),
        )
        floor, c_floor, factor = rounding_floor(self.problem, data, w, sizes_of)
        upper = ((length + rest) * factor + floor) * SLACK
        c_low = jnp.min(c_controls) - c_rest - c_floor
        c_low = c_low - 1e-15 * (jnp.abs(jnp.min(c_controls)) + c_rest + c_floor)
        # what the surrogate's rounding and the field's product change of c: 2 |r.dN| + |dN|^2 <= floor (2 upper +
        # floor)
        c_low = c_low - 1.01 * floor * (2 * upper + floor)
        # everything here is divided by amplitude^(1/2), the scale by the largest over the box
        largest = balls.upper(ranges[second + len(c)])
        scale = self.scale / jnp.sqrt(jnp.where(largest > 0, largest, jnp.inf)) * (1 - 1e-12)
        relative = quotient(upper, c_low, energy_below(data, ranges[first:second], ranges[-Q:], c), scale)
        sizes = jnp.sum(values[:, :-1] ** 2, axis=1) / jnp.maximum(values[:, -1], 1e-300)
        best = points.mid[jnp.argmax(jnp.where(jnp.isfinite(sizes), sizes, jnp.inf))]
        axis = axis_to_halve(controls.mid[:, :-1], 2 * (box.rad / 2) ** order * flux_highest, box.rad, order, relative)
        inside = jnp.clip(best, 0.0, 1.0)
        return BoxResult(relative, floor, axis, inside)


def quotient(upper: Array, c_low: Array, energy_low: Array, scale: Any = 0.0) -> Float[Array, ""]:
    """sup ||e|| / (scale + ||u||) from E >= ||e||, and from below c = ||u||^2 - ||e||^2 and ||u||^2, over the box.

    ||e|| / (scale + (c + ||e||^2)^(1/2)) increases with ||e|| for c >= 0, whatever the scale, and falls with c.
    """
    energy = jnp.maximum(jnp.where(c_low > 0, c_low + upper**2, 0.0), energy_low)
    size = scale + jnp.where(energy > 0, jnp.sqrt(jnp.where(energy > 0, energy, 1.0)), 0.0)
    error = upper / jnp.where(size > 0, size, 1.0) * SLACK
    return jnp.where((size > 0) & (upper <= RANGE**4), error, jnp.inf)


def axis_to_halve(
    controls: Float[Array, "M n"], remainders: Float[Array, " d"], rad: Float[Array, " d"], order: int, relative: Array
) -> Array:
    """Along which remainder and variation of the control points are largest; the longest where there is no bound."""
    d = rad.shape[0]
    tensor = controls.reshape((order,) * d + (-1,))
    variation = jnp.stack([jnp.max(jnp.sum(jnp.diff(tensor, axis=a) ** 2, axis=-1)) ** 0.5 for a in range(d)])
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


class BoxExtrema(NamedTuple):
    """What ``rounding_floor`` has to know of a box: ranges of the weights, and sizes."""

    theta_low: Float[Array, " Q"]
    theta_high: Float[Array, " Q"]
    loads: Float[Array, " J"]  # largest |phi|
    modes: Float[Array, " k"]  # largest |c|
    losses: Float[Array, " k"]  # largest error of c as computed in float64: c is multiplied into the field
    amplitude: Float[Array, ""]  # smallest


def rounding_floor(
    problem: CoerciveProblem, data: ReducedData, w: Float[Array, " K"], box: BoxExtrema
) -> tuple[Array, Array, Any]:
    """Everything that is rounding or defect, over a whole box, scaled as ``vector`` is: of the bound, of c; and the
    factor of the flux (``CoerciveProblem.flux_factor``).
    """
    theta_low, theta_high, size_phi, size_c, losses, amplitude = box
    count, rank = len(w), data.factors.shape[-1]
    size = size_phi.max()
    trusted = jnp.all(theta_low >= 1 / RANGE) & jnp.all(theta_high <= RANGE) & (size_c.max() <= RANGE**2)
    trusted = trusted & ((size == 0) | ((size >= 1 / RANGE) & (size <= RANGE)))
    theta_low = jnp.where(trusted, theta_low, 1.0)
    size_s = jnp.concatenate([size_phi, (theta_high[:, None] * size_c[None, :]).reshape(-1)])
    scale = 1 / jnp.sqrt(jnp.where(amplitude > 0, amplitude, jnp.nan))
    least = problem.coercivity(theta_low)
    factor: Any = 1.0
    if problem.indefiniteness is not None:  # A(theta) >= A(theta_low) - sum (theta - theta_low)_q s_q
        shifts = jnp.asarray(problem.indefiniteness)
        least = least - 1.01 * ((theta_high - theta_low) @ shifts)
        factor = jnp.sqrt(1 + 1.01 * (theta_high @ shifts) / jnp.maximum(least, RANGE**-3))
    trusted = trusted & (least >= RANGE**-3)
    defect = jnp.abs(w) @ (data.defects @ size_s) / jnp.sqrt(jnp.where(trusted, least, 1.0)) + UNDERFLOW
    # the combined solves were formed in float64: gamma of their chain times absolute values, through the factors' norms
    formed = jnp.einsum("k,kq,krm,m->qr", jnp.abs(w), data.references, jnp.abs(data.solves), size_s)
    chain = gamma(2 * rank + count + 8) * jnp.sqrt(
        jnp.sum(jnp.einsum("qrs,qs->qr", jnp.abs(data.factors), formed) ** 2 / theta_low[:, None])
    )
    stiffness = jnp.abs(data.stiffness) + data.stiffness_error
    own = jnp.sqrt(jnp.sum(theta_high * ((stiffness @ losses) @ losses)))
    product = jnp.sqrt(theta_high @ data.row_sums) * gamma(len(size_c) + 4) * (data.mode_norms @ (size_c + losses))
    floor = jnp.where(trusted, (defect + chain + own + product) * 1.01 * scale, jnp.inf)
    given = 2 * (size_phi @ (data.load_mode_error @ size_c)) + theta_high @ ((data.stiffness_error @ size_c) @ size_c)
    return floor, 1.01 * given * scale**2 + UNDERFLOW * scale**2, factor
