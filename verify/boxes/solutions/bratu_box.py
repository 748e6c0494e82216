"""The relative error of a surrogate N = V c(p) of Bratu's problem (lower branch) over a whole box of inputs.

With v(p) of ``bratu_place.py`` and r >= ||u - v|| over the box of ``bratu_comparison.py``, ||u - N|| <= ||v - N|| + r
and ||u|| >= ||v|| - r, where v - N is analytic in p: with factors ||D_a [Z V] y|| = |R_a y|, y = [z; -c], and weights
w_a of the axes,

    g = [ q w_a^(1/2) R_a (z, -c) for all a ],    y = [ q w_a^(1/2) R_a (z, 0) for all a ],    q = exp(-beta.t)

are what ``interpolated.py`` takes; q, with beta the slope of log ||v||, keeps ||v|| from varying. A factor R_a is known
to a relative error o (``BratuData.orthogonality``): (1 - o) |R_a y| <= ||D_a [Z V] y|| <= (1 + o) |R_a y| but for the
defects.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from ....solvers.box import Box
from ....solvers.precision import RANGE, gamma
from ....solvers.problems.bratu import Bratu
from ...answers.frozen import Architecture
from ...enclose import ball as balls
from ...enclose import bernstein, coefficients, norm_bound, rounding_error
from ...enclose.ball import Ball
from ...proofs.bounds import SLACK, UNDERFLOW
from ..box_bound import INFLATION, BoundInputs, BoxResult, ModelWeights, unit_to_inputs
from .bratu_comparison import Approximant, approximant
from .bratu_data import BratuData, bratu_data
from .bratu_place import Place
from .interpolated import Interpolated, Rest, normalised, quotient_over_box, result
from .solution_boxes import BoundOfBox, SolutionBoxes


def make_bratu_bound(
    problem: Bratu,
    log: tuple[bool, ...],
    coefficients_of: Callable[[ModelWeights, Array], Array],
    orders: tuple[int, ...],
) -> BoundOfBox:
    """The bound of one box as a function in JAX, with the arguments and the result of ``make_box_bound``'s."""

    def bound(low: Array, high: Array, given: BoundInputs, always_true: Array) -> BoxResult:
        low, high = low - INFLATION, high + INFLATION
        place = Place(problem, orders, unit_to_inputs(log, given.ends), balls.from_bounds(low, high), given)
        v = approximant(place)
        return _bound(place, lambda p: coefficients_of(given.weights, p), v, (low, high, always_true))

    return bound


def _bound(
    place: Place, coefficients_at: Callable[[Array], Array], v: Approximant, about: tuple[Array, Array, Array]
) -> BoxResult:
    data, z, orders = place.data, v.nodes, place.orders
    low, high, always_true = about
    r, k = z.shape[1], data.factors.shape[2] - z.shape[1]
    rad, mid = place.box.rad, place.box.mid
    beta = _slopes(place, z)

    def roots(x: Array) -> list[Array]:
        q = jnp.exp(-jnp.sum(beta * (x - mid) / rad))
        return [q * jnp.sqrt(weight) for weight in place.weights(place.to_inputs(x))]

    def whole(x: Array) -> Array:
        c = coefficients_at(place.to_inputs(x))
        return jnp.concatenate([c, *(root * c for root in roots(x))])

    ranges, jets = coefficients(whole, low, high, max(orders), always_true)
    losses = rounding_error(lambda x: coefficients_at(place.to_inputs(x)), low, high, always_true)
    sized = balls.magnitude(ranges)[:k] + losses
    spread = jnp.sum(jnp.abs(beta)) * (1 + 1e-12)
    largest, least = jnp.exp(spread) * (1 + 1e-12), jnp.exp(-spread) * (1 - 1e-12)
    heavy = [largest * jnp.sqrt(high) * (1 + 1e-14) for _, high in place.weight_ends()]

    # values at the nodes
    X = place.points.mid
    c = jax.vmap(lambda x: coefficients_at(place.to_inputs(x)))(X)
    scales = jax.vmap(lambda x: jnp.stack(roots(x)))(X)  # [M, A]
    truth = _vector(place, scales, jnp.concatenate([z, jnp.zeros_like(c)], axis=1))
    g = _vector(place, scales, jnp.concatenate([z, -c], axis=1))
    central = _vector(place, jnp.stack(roots(mid))[None], jnp.concatenate([_middle(place, z), jnp.zeros(k)])[None])[0]
    sizes = truth @ normalised(central)

    # Taylor coefficients in unit coordinates, of v's part and of the surrogate's
    controls = bernstein.control_points(Ball(z, jnp.zeros_like(z)), orders, place.d)
    reach = jnp.max(balls.magnitude(controls), axis=0)
    tensor = balls.Ball(controls.mid, controls.rad)
    solution = jnp.stack([_solution(place, tensor, heavy, beta, a, m) for a, m in enumerate(orders)])
    steep = jnp.stack([_solution(place, tensor, heavy, beta, a, 1) for a in range(place.d)])
    moving = jnp.stack([_surrogate(place, jets, a, m) for a, m in enumerate(orders)])
    first = balls.magnitude(jets[0])[:, k:].reshape(place.d, place.axes, k)
    columns = jnp.sqrt(jnp.sum(data.factors**2, axis=1)) * (1 + gamma(r + k + 8))  # [A, r + k]
    moved = jnp.sum(first * columns[None, :, r:])

    # roundings
    misplaced = jnp.max(place.points.rad)
    every = jnp.concatenate([reach, sized])
    relative = gamma(4 * (r + k) + 64) + gamma(64) * (1 + jnp.sum(jnp.abs(beta))) + jnp.sum(place.steps)
    weight = jnp.stack(heavy)
    formed = relative * jnp.sum(weight @ (columns * every))
    defect = jnp.sum(weight @ (data.defects * every))
    euclid = largest * jnp.sqrt(sum(4 * high for _, high in place.weight_ends())) * 1.01
    between = bernstein.lebesgue(max(orders)) ** place.d  # by which what v is off at the nodes grows
    product = euclid * between * gamma(r + k + 16) * (every @ data.lengths)  # Z z as v, V c as it is returned
    lost = jnp.sum(weight @ (columns[:, r:] * losses)) + jnp.sum(weight @ (data.defects[:, r:] * losses))
    rest = (largest * v.radius + defect + product + lost) * 1.01 + UNDERFLOW
    off = (formed + lost + (jnp.sum(steep) + moved) * misplaced) * 1.01 + UNDERFLOW
    error = Interpolated(g, off, solution + moving)
    size = Interpolated(sizes, off, solution)
    proved = v.known & jnp.all(every <= RANGE)
    less = rest + data.orthogonality * jnp.sum(weight @ (columns[:, :r] * reach)) * 1.01  # |y| is at most the sum
    upper, axis = quotient_over_box(error, size, Rest(rest, less, place.scale * least, proved), rad, orders)
    upper = upper * (1 + data.orthogonality) * SLACK
    return result(upper, axis, rest, error, size, X)


def _vector(place: Place, scales: Float[Array, "M A"], y: Float[Array, "M rk"]) -> Float[Array, "M K"]:
    return jnp.einsum("ma,aij,mj->mai", scales, place.data.factors, y).reshape(len(y), -1)


def _middle(place: Place, z: Float[Array, "M r"]) -> Float[Array, " r"]:
    return z[jnp.argmin(jnp.sum(place.t**2, axis=1))]


def _slopes(place: Place, z: Float[Array, "M r"]) -> Float[Array, " d"]:
    """beta: any is valid."""
    scales = jax.vmap(lambda x: jnp.stack([jnp.sqrt(w) for w in place.weights(place.to_inputs(x))]))(place.points.mid)
    k = place.data.factors.shape[2] - z.shape[1]
    v = _vector(place, scales, jnp.concatenate([z, jnp.zeros((len(z), k))], axis=1))
    size = 0.5 * jnp.log(jnp.maximum(jnp.sum(v**2, axis=1), 1e-300))
    beta = jnp.sum(place.t * size[:, None], axis=0) / jnp.maximum(jnp.sum(place.t**2, axis=0), 1e-9)
    return jnp.where(jnp.isfinite(beta) & (jnp.abs(beta) < 10), beta, 0.0)


def _solution(place: Place, controls: Ball, heavy: list[Array], beta: Array, axis: int, m: int) -> Array:
    """At least the length of the m-th Taylor coefficient of q w_a^(1/2) R_a (z, 0) along an axis."""
    order, r = place.orders[axis], controls.shape[1]
    tensor = controls.mid.reshape(*place.orders, r)
    rounding = jnp.max(controls.rad) * 2
    parts = []
    for k in range(order):
        scale = math.comb(order - 1, k) / 2.0**k
        parts.append((scale, tensor, 2.0**k * rounding))
        if k + 1 < order:
            tensor = jnp.diff(tensor, axis=axis)
    total: Any = 0.0
    for a, most in enumerate(heavy):
        F = place.data.factors[a][:, :r]
        bent = jnp.abs(beta[axis]) + (place.half[1] / 2 if axis == 1 else 0.0)
        length = jnp.sqrt(jnp.sum(F**2)) * (1 + gamma(F.size + 8)) * math.sqrt(r)
        found: Any = 0.0
        for k in range(min(order, m + 1)):
            scale, rows, lost = parts[k]
            largest = jnp.sqrt(jnp.max(jnp.sum((rows @ F.T) ** 2, axis=-1))) * (1 + gamma(4 * r + 64))
            slack = gamma(2 * r + 64) * length * jnp.max(jnp.abs(rows))
            coefficient = scale * (largest + slack + length * lost)
            found = found + bent ** (m - k) / math.factorial(m - k) * coefficient
        total = total + (most * found) ** 2
    return jnp.sqrt(total) * (1 + 1e-12) / place.box.rad[axis] ** m


def _surrogate(place: Place, jets: Ball, axis: int, m: int) -> Array:
    """At least the length of the m-th Taylor coefficient of q w_a^(1/2) R_a (0, c) along an axis."""
    k = place.data.grams.shape[1]
    total: Any = 0.0
    for a in range(place.axes):
        part = jets[m - 1, axis][k * (1 + a) : k * (2 + a)]
        F = place.data.factors[a][:, -k:]
        total = total + norm_bound(F, place.data.grams[a], part) ** 2
    return jnp.sqrt(total) * (1 + 1e-12)


class BratuBoxes(SolutionBoxes):
    """By approximants of the solution, and sub- and supersolutions around them."""

    problem: Bratu
    effort = 1

    @classmethod
    def given(cls, problem: Bratu, basis: Float[np.ndarray, "N k"], inputs: Box) -> BratuData | str:
        if inputs.log != (False, True)[: problem.dimension]:
            return f"proofs over boxes of {problem.name} take lambda and, logarithmic, the anisotropy"
        data = bratu_data(problem, basis, inputs)
        if isinstance(data, str):
            return f"box proofs of {problem.name} need a few solutions to start from, but {data}"
        return data

    def bound_of(self, architecture: Architecture, orders: tuple[int, ...]) -> BoundOfBox:
        return make_bratu_bound(self.problem, self.inputs.log, architecture, orders)

    def again(self, box: Box) -> Any:
        from ...recheck.prepare import bratu_leaves  # for audits alone

        return bratu_leaves(self.problem, self._given.data, self.model, box)

    def unbounded(self, low: np.ndarray, high: np.ndarray) -> str:
        return (
            "are too wide, or too near the fold or beyond it, for a supersolution to be found: more seconds halve "
            "them, beyond the fold there is no solution"
        )
