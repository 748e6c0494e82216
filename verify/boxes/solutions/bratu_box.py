"""The relative error of a surrogate N = V c(p) of Bratu's problem (lower branch) over a whole box of inputs.

    F(v; p) = K(p) v - lambda m e^v,    J(v; p) = K(p) - lambda m diag(e^v),    ||v||^2 = v' K(p) v

v(p) is a polynomial in p whose values at Chebyshev nodes are near the solutions there, from a Galerkin iteration in a
space of solutions; any v is valid. With bounds that hold entrywise for all p of the box,

    phi >= |F(v(p); p)|,    sigma >= lambda m e^v(p),    w > 0 and tau <= J(v(p); p) w, tau > 0,

the theorem of ``proofs/bratu.py`` holds at every p of the box at once: phi <= t0 tau gives F(v) <= t0 J(v) w, and

    t tau - sigma (e^(t w) - 1 - t w) >= phi

gives the supersolution v + t w, so that |u - v| <= b = max(t, t0) w and, with K_low <= K(p) the operator of the least
weights, for which 0 <= K(p)^-1 <= K_low^-1 as forms,

    ||u(p) - v(p)|| <= r = ||phi||_(K_low^-1) + || sigma (e^b - 1) ||_(K_low^-1).

(|g| <= G entrywise gives ||g||_(K^-1) <= ||G||_(K^-1), for K^-1 >= 0 entrywise.) So the solution is the minimal one for
every p, and past the fold no w is found. phi comes from F at the nodes: entrywise control points, and remainders by the
Taylor coefficients of e^v, (e^v)_k = 1/k sum_j j v_j (e^v)_(k-j), in absolute values.

Then ||u - N|| <= ||v - N|| + r and ||u|| >= ||v|| - r, where v - N is analytic in p: with factors ||D_a [Z V] y|| =
|R_a y|, y = [z; -c], and weights w_a of the axes,

    g = [ q w_a^(1/2) R_a (z, -c) for all a ],    y = [ q w_a^(1/2) R_a (z, 0) for all a ],    q = exp(-beta.t)

are what ``interpolated.py`` takes; q, with beta the slope of log ||v||, keeps ||v|| from varying.
Reference: as in ``proofs/bratu.py``; Garloff 1986 (control points).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from ....solvers.box import Box
from ....solvers.precision import RANGE, UNIT_ROUNDOFF, gamma
from ....solvers.problems.bratu import Bratu
from ....solvers.problems.bratu_lower import conjugate_gradients
from ...answers.evaluate import Model
from ...answers.frozen import Frozen
from ...enclose import ball as balls
from ...enclose import bernstein, coefficients, norm_bound, rounding_error
from ...enclose.ball import Ball
from ...proofs.bounds import SLACK, UNDERFLOW
from ...proofs.sines import EIGENVALUE, Sines
from ...proofs.supersolution import ENTRY, LARGEST, supersolution
from ..box_bound import INFLATION, BoundInputs, BoxResult, ModelWeights, unit_to_inputs
from .bratu_data import BratuData, bratu_data, seconds
from .interpolated import Interpolated, Rest, normalised, quotient_over_box, result
from .solution_boxes import FieldPoints, SolutionBoxes

NEWTON, CHORD = 4, 6  # Galerkin steps at the box's centre, and from there at all nodes
COMPARISON = 8  # CG steps for w


class Approximant(NamedTuple):
    """v(p) in a box, and how far the solution is from it."""

    nodes: Float[Array, "M r"]  # z
    fields: Float[Array, "M ..."]  # v, of which Z z is the value but for rounding
    radius: Float[Array, ""]  # at least ||u - v|| over the box
    known: Array


def make_bratu_bound(
    problem: Bratu,
    log: tuple[bool, ...],
    coefficients_of: Callable[[ModelWeights, Array], Array],
    orders: tuple[int, ...],
) -> Callable[[Array, Array, BoundInputs, Array], BoxResult]:
    """The bound of one box as a function in JAX, with the arguments and the result of ``make_box_bound``'s."""

    def bound(low: Array, high: Array, given: BoundInputs, always_true: Array) -> BoxResult:
        low, high = low - INFLATION, high + INFLATION
        place = _Place(problem, orders, unit_to_inputs(log, given.ends), balls.from_bounds(low, high), given)
        v = place.approximant()
        return place.bound(lambda p: coefficients_of(given.weights, p), v, (low, high, always_true))

    return bound


class _Place:
    """One box."""

    def __init__(
        self,
        problem: Bratu,
        orders: tuple[int, ...],
        to_inputs: Callable[[Array], Array],
        box: Ball,
        given: BoundInputs,
    ) -> None:
        self.problem, self.orders, self.to_inputs, self.box = problem, orders, to_inputs, box
        self.data: BratuData = given.data
        self.scale, self.d, self.axes = given.scale, len(orders), problem.dimension
        self.shape = (problem.n - 1,) * problem.dimension
        self.sines = Sines(problem.n, problem.dimension)
        self.t = jnp.asarray(bernstein.tensor_nodes(orders, self.d))
        self.points = bernstein.grid(box, orders)
        self.growth = math.prod(np.abs(bernstein.control_matrix(m)).sum(axis=1).max() for m in orders) * (1 + 1e-12)
        low, width = given.ends[0], given.ends[1]
        s = balls.add(balls.point(low), balls.mul(box, balls.point(width)))  # lambda, log anisotropy
        self.least, self.most = balls.lower(s), balls.upper(s)
        self.half = width * box.rad * (1 + 1e-14)  # of lambda, log anisotropy
        self.steps = 16 * UNIT_ROUNDOFF * (1 + jnp.abs(low) + width)  # of them at a node, as rounded
        self.trusted = self.least[0] > 1 / RANGE
        # relative, of a term of F at a node: its own rounding, and that lambda and the weights are those of the node
        self.entry = ENTRY + jnp.sum(self.steps[1:]) + self.steps[0] / jnp.where(self.trusted, self.least[0], 1.0)

    # ---- weights of the axes, lambda m ---------------------------------------------------------------------------

    def weights(self, p: Array) -> list[Array]:
        return [jnp.asarray(x, dtype=jnp.float64) for x in self.problem.difference_weights(p)]

    def weight_ends(self) -> list[tuple[Array, Array]]:
        """Of every axis: the least and the largest weight of the box."""
        if self.axes == 1:
            (n,) = self.weights(self.to_inputs(self.box.mid))
            return [(n, n)]
        down, up = jnp.exp(self.least[1]) * (1 - 1e-14), jnp.exp(self.most[1]) * (1 + 1e-14)
        return [(down, up), ((1 - 1e-15) / up, (1 + 1e-15) / down)]

    def strengths(self) -> Array:
        """lambda m over the box, from above."""
        return self.most[0] * self.problem.mass * (1 + 1e-15)

    # ---- v ---------------------------------------------------------------------------------------------------------

    def _stiff(self, p: Array, x: Float[Array, "..."]) -> tuple[Array, Array]:
        """K(p) x, and |K(p)| |x|."""
        x = jnp.pad(x, 1)
        return self.problem.differences(p, x), self.problem.differences(p, jnp.abs(x), 1)

    def _galerkin(self, p: Array, z: Array) -> tuple[Array, Array]:
        """Z'F, and Z'J Z's part of the source."""
        v = (self.data.space @ z).reshape(self.shape)
        source = p[0] * self.problem.mass * jnp.exp(jnp.minimum(v, LARGEST))
        F = self._stiff(p, v)[0] - source
        return self.data.space.T @ F.reshape(-1), source.reshape(-1)

    def _jacobian(self, p: Array, source: Array) -> Array:
        Z = self.data.space
        stiff = jax.vmap(lambda x: self._stiff(p, x.reshape(self.shape))[0].reshape(-1), 1, 1)(Z)
        return Z.T @ (stiff - source[:, None] * Z)

    def _at_nodes(self) -> Float[Array, "M r"]:
        """z at the nodes: the nearest solution, Newton's method to the centre, a chord from there."""
        data, centre = self.data, self.to_inputs(self.box.mid)
        nearest = jnp.argmin(jnp.sum((data.places - self.box.mid) ** 2, axis=1))
        z = data.starts[nearest]

        def newton(_: Array, z: Array) -> Array:
            F, source = self._galerkin(centre, z)
            return z - jnp.linalg.solve(self._jacobian(centre, source), F)

        z = jax.lax.fori_loop(0, NEWTON, newton, z)
        inverse = jnp.linalg.inv(self._jacobian(centre, self._galerkin(centre, z)[1]))
        P = jax.vmap(self.to_inputs)(self.points.mid)

        def chord(_: Array, Z: Array) -> Array:
            return Z - jax.vmap(lambda p, z: self._galerkin(p, z)[0])(P, Z) @ inverse.T

        at_all: Array = jax.lax.fori_loop(0, CHORD, chord, jnp.tile(z, (len(P), 1)))
        return jnp.where(jnp.isfinite(at_all), at_all, 0.0)

    # ---- r ---------------------------------------------------------------------------------------------------------

    def approximant(self) -> Approximant:
        z = self._at_nodes()
        v = (z @ self.data.space.T).reshape(-1, *self.shape)
        trusted = self.trusted & jnp.all(jnp.abs(v) <= LARGEST)
        for low, high in self.weight_ends():
            trusted = trusted & (low > 1 / RANGE) & (high < RANGE)
        v = jnp.where(trusted, v, 0.0)
        phi, sigma = self._residual(v)
        slope, w = self._comparison(v, sigma)
        trusted = trusted & jnp.all(w > 0) & jnp.all(slope > 0) & jnp.all(phi <= RANGE)
        slope, w = jnp.where(trusted, slope, 1.0), jnp.where(trusted, w, 1.0)
        phi = jnp.where(trusted, phi, 1.0)
        t0 = jnp.max(phi / slope) * SLACK
        t, found = supersolution(slope, phi, sigma, w)
        b = jnp.maximum(t, t0) * w * SLACK
        eigenvalues = self.sines.eigenvalues([low for low, _ in self.weight_ends()]) * (1 - 2 * EIGENVALUE)
        grown = sigma * jnp.expm1(b) * (1 + 2 * ENTRY)
        nothing = jnp.zeros(())
        r = self.sines.dual_norm(phi, eigenvalues, nothing) + self.sines.dual_norm(grown, eigenvalues, nothing)
        known = trusted & found & jnp.isfinite(r)
        return Approximant(z, v, jnp.where(known, r * SLACK + UNDERFLOW, 0.0), known)

    def _series(self, controls: Float[Array, "M ..."], rounding: Array, axis: int) -> list[Array]:
        """Of the polynomials with these control points: bounds of their Taylor coefficients 0 .. m - 1 along an axis,
        in t and over the box; ``rounding``: of a control point.
        """
        m = self.orders[axis]
        tensor = controls.reshape(*self.orders, *controls.shape[1:])
        terms = []
        for k in range(m):
            scale = math.comb(m - 1, k) / 2.0**k
            largest = jnp.max(jnp.abs(tensor), axis=tuple(range(self.d)))
            terms.append(scale * (largest * (1 + 1e-14) + 2.0**k * 1.01 * rounding))
            if k + 1 < m:
                tensor = jnp.diff(tensor, axis=axis)
        return terms

    def _residual(self, v: Float[Array, "M ..."]) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """phi and sigma."""
        orders, d = self.orders, self.d
        P = jax.vmap(self.to_inputs)(self.points.mid)

        def at(p: Array, x: Array) -> tuple[Array, Array]:
            stiff, size = self._stiff(p, x)
            source = p[0] * self.problem.mass * jnp.exp(x)
            return stiff - source, self.entry * (size + source) * 1.01

        F, off = jax.vmap(at)(P, v)
        exact = jnp.zeros_like(v.reshape(len(v), -1))
        controls = bernstein.control_points(Ball(F.reshape(len(v), -1), off.reshape(len(v), -1)), orders, d)
        phi = jnp.max(balls.magnitude(controls), axis=0).reshape(self.shape)
        polynomial = bernstein.control_points(Ball(v.reshape(len(v), -1), exact), orders, d)
        rounding = jnp.max(polynomial.rad)
        tensor = polynomial.mid.reshape(v.shape)
        top = jnp.max(tensor, axis=0) + rounding
        exponential = jnp.exp(top) * (1 + ENTRY) * (1 + 1e-13)  # top itself is rounded
        sigma = self.strengths() * exponential
        highest = jnp.stack([self._highest(tensor, rounding, exponential, axis) for axis in range(d)])
        rest = bernstein.remainder(highest, jnp.ones(d), orders)
        return (phi + rest) * SLACK, sigma

    def _highest(self, tensor: Array, rounding: Array, exponential: Array, axis: int) -> Float[Array, "..."]:
        """At least the m-th Taylor coefficient of F in t along an axis."""
        m = self.orders[axis]
        series = self._series(tensor, rounding, axis)
        powers = [exponential]
        for k in range(1, m + 1):
            terms: Any = sum(j * series[j] * powers[k - j] for j in range(1, min(k, m - 1) + 1))
            powers.append(terms / k * (1 + 1e-14) + jnp.zeros_like(exponential))
        strength = self.strengths()
        if axis == 0:  # lambda varies along it, the weights do not
            slope = self.half[0] * self.problem.mass * (1 + 1e-14)
            return (strength * powers[m] + slope * powers[m - 1]) * (1 + 1e-13)
        total = strength * powers[m]
        for a, (_, most) in enumerate(self.weight_ends()):
            second = jax.vmap(lambda x, a=a: seconds(x, a))(tensor)
            parts = self._series(second, 8 * rounding + 8 * UNIT_ROUNDOFF * jnp.max(jnp.abs(tensor)), axis)
            bent = sum(self.half[1] ** (m - k) / math.factorial(m - k) * parts[k] for k in range(m))
            total = total + most * bent
        return total * (1 + 1e-13)

    def _comparison(self, v: Float[Array, "M ..."], sigma: Float[Array, "..."]) -> tuple[Array, Array]:
        """tau and w."""
        centre = self.to_inputs(self.box.mid)
        source = centre[0] * self.problem.mass * jnp.exp(jnp.max(v, axis=0))
        right = jnp.full(self.shape, self.problem.mass)
        w = conjugate_gradients(self.problem, centre, source, right, 0.0, COMPARISON).x
        least: Any = -sigma * w * (1 + 2 * ENTRY)
        for axis, (low, high) in enumerate(self.weight_ends()):
            second = seconds(w, axis)
            least = least + jnp.minimum(low * second, high * second)
            least = least - high * ENTRY * 4 * jnp.max(jnp.abs(w))
        return least - ENTRY * jnp.abs(least), w

    # ---- the quotient ----------------------------------------------------------------------------------------------

    def bound(
        self, coefficients_at: Callable[[Array], Array], v: Approximant, about: tuple[Array, Array, Array]
    ) -> BoxResult:
        data, z, orders = self.data, v.nodes, self.orders
        low, high, always_true = about
        r, k = z.shape[1], data.factors.shape[2] - z.shape[1]
        rad, mid = self.box.rad, self.box.mid
        beta = self._slopes(z)

        def roots(x: Array) -> list[Array]:
            q = jnp.exp(-jnp.sum(beta * (x - mid) / rad))
            return [q * jnp.sqrt(weight) for weight in self.weights(self.to_inputs(x))]

        def whole(x: Array) -> Array:
            c = coefficients_at(self.to_inputs(x))
            return jnp.concatenate([c, *(root * c for root in roots(x))])

        ranges, jets = coefficients(whole, low, high, max(orders), always_true)
        losses = rounding_error(lambda x: coefficients_at(self.to_inputs(x)), low, high, always_true)
        sized = balls.magnitude(ranges)[:k] + losses
        spread = jnp.sum(jnp.abs(beta)) * (1 + 1e-12)
        largest, least = jnp.exp(spread) * (1 + 1e-12), jnp.exp(-spread) * (1 - 1e-12)
        heavy = [largest * jnp.sqrt(high) * (1 + 1e-14) for _, high in self.weight_ends()]

        # values at the nodes
        X = self.points.mid
        c = jax.vmap(lambda x: coefficients_at(self.to_inputs(x)))(X)
        scales = jax.vmap(lambda x: jnp.stack(roots(x)))(X)  # [M, A]
        truth = self._vector(scales, jnp.concatenate([z, jnp.zeros_like(c)], axis=1))
        g = self._vector(scales, jnp.concatenate([z, -c], axis=1))
        central = self._vector(jnp.stack(roots(mid))[None], jnp.concatenate([self._middle(z), jnp.zeros(k)])[None])[0]
        sizes = truth @ normalised(central)

        # Taylor coefficients in unit coordinates, of v's part and of the surrogate's
        controls = bernstein.control_points(Ball(z, jnp.zeros_like(z)), orders, self.d)
        reach = jnp.max(balls.magnitude(controls), axis=0)
        tensor = balls.Ball(controls.mid, controls.rad)
        solution = jnp.stack([self._solution(tensor, heavy, beta, a, m) for a, m in enumerate(orders)])
        steep = jnp.stack([self._solution(tensor, heavy, beta, a, 1) for a in range(self.d)])
        moving = jnp.stack([self._surrogate(jets, a, m) for a, m in enumerate(orders)])
        first = balls.magnitude(jets[0])[:, k:].reshape(self.d, self.axes, k)
        columns = jnp.sqrt(jnp.sum(data.factors**2, axis=1)) * (1 + gamma(r + k + 8))  # [A, r + k]
        moved = jnp.sum(first * columns[None, :, r:])

        # roundings
        misplaced = jnp.max(self.points.rad)
        every = jnp.concatenate([reach, sized])
        relative = gamma(4 * (r + k) + 64) + gamma(64) * (1 + jnp.sum(jnp.abs(beta))) + jnp.sum(self.steps)
        weight = jnp.stack(heavy)
        formed = relative * jnp.sum(weight @ (columns * every))
        defect = jnp.sum(weight @ (data.defects * every))
        euclid = largest * jnp.sqrt(sum(4 * high for _, high in self.weight_ends())) * 1.01
        between = bernstein.lebesgue(max(orders)) ** self.d  # by which what v is off at the nodes grows
        product = euclid * between * gamma(r + k + 16) * (every @ data.lengths)  # Z z as v, V c as it is returned
        lost = jnp.sum(weight @ (columns[:, r:] * losses)) + jnp.sum(weight @ (data.defects[:, r:] * losses))
        rest = (largest * v.radius + defect + product + lost) * 1.01 + UNDERFLOW
        off = (formed + lost + (jnp.sum(steep) + moved) * misplaced) * 1.01 + UNDERFLOW
        error = Interpolated(g, off, solution + moving)
        size = Interpolated(sizes, off, solution)
        proved = v.known & jnp.all(every <= RANGE)
        upper, axis = quotient_over_box(error, size, Rest(rest, rest, self.scale * least, proved), rad, orders)
        upper = upper * (1 + 4 * data.orthogonality) * SLACK
        return result(upper, axis, rest, error, size, X)

    def _vector(self, scales: Float[Array, "M A"], y: Float[Array, "M rk"]) -> Float[Array, "M K"]:
        return jnp.einsum("ma,aij,mj->mai", scales, self.data.factors, y).reshape(len(y), -1)

    def _middle(self, z: Float[Array, "M r"]) -> Float[Array, " r"]:
        return z[jnp.argmin(jnp.sum(self.t**2, axis=1))]

    def _slopes(self, z: Float[Array, "M r"]) -> Float[Array, " d"]:
        """beta: any is valid."""
        scales = jax.vmap(lambda x: jnp.stack([jnp.sqrt(w) for w in self.weights(self.to_inputs(x))]))(self.points.mid)
        k = self.data.factors.shape[2] - z.shape[1]
        v = self._vector(scales, jnp.concatenate([z, jnp.zeros((len(z), k))], axis=1))
        size = 0.5 * jnp.log(jnp.maximum(jnp.sum(v**2, axis=1), 1e-300))
        beta = jnp.sum(self.t * size[:, None], axis=0) / jnp.maximum(jnp.sum(self.t**2, axis=0), 1e-9)
        return jnp.where(jnp.isfinite(beta) & (jnp.abs(beta) < 10), beta, 0.0)

    def _solution(self, controls: Ball, heavy: list[Array], beta: Array, axis: int, m: int) -> Array:
        """At least the length of the m-th Taylor coefficient of q w_a^(1/2) R_a (z, 0) along an axis."""
        order, r = self.orders[axis], controls.shape[1]
        tensor = controls.mid.reshape(*self.orders, r)
        rounding = jnp.max(controls.rad) * 2
        parts = []
        for k in range(order):
            scale = math.comb(order - 1, k) / 2.0**k
            parts.append((scale, tensor, 2.0**k * rounding))
            if k + 1 < order:
                tensor = jnp.diff(tensor, axis=axis)
        total: Any = 0.0
        for a, most in enumerate(heavy):
            F = self.data.factors[a][:, :r]
            bent = jnp.abs(beta[axis]) + (self.half[1] / 2 if axis == 1 else 0.0)
            length = jnp.sqrt(jnp.sum(F**2)) * (1 + gamma(F.size + 8)) * math.sqrt(r)
            found: Any = 0.0
            for k in range(min(order, m + 1)):
                scale, rows, lost = parts[k]
                largest = jnp.sqrt(jnp.max(jnp.sum((rows @ F.T) ** 2, axis=-1))) * (1 + gamma(4 * r + 64))
                slack = gamma(2 * r + 64) * length * jnp.max(jnp.abs(rows))
                coefficient = scale * (largest + slack + length * lost)
                found = found + bent ** (m - k) / math.factorial(m - k) * coefficient
            total = total + (most * found) ** 2
        return jnp.sqrt(total) * (1 + 1e-12) / self.box.rad[axis] ** m

    def _surrogate(self, jets: Ball, axis: int, m: int) -> Array:
        """At least the length of the m-th Taylor coefficient of q w_a^(1/2) R_a (0, c) along an axis."""
        k = self.data.grams.shape[1]
        total: Any = 0.0
        for a in range(self.axes):
            part = jets[m - 1, axis][k * (1 + a) : k * (2 + a)]
            F = self.data.factors[a][:, -k:]
            total = total + norm_bound(F, self.data.grams[a], part) ** 2
        return jnp.sqrt(total) * (1 + 1e-12)


class BratuBoxes(SolutionBoxes):
    """By approximants of the solution, and sub- and supersolutions around them."""

    problem: Bratu

    def unbounded(self, low: np.ndarray, high: np.ndarray) -> str:
        return (
            "are too wide, or too near the fold or beyond it, for a supersolution to be found: more seconds halve "
            "them, beyond the fold there is no solution"
        )

    def leaves(self, box: Box, low: np.ndarray, high: np.ndarray, claimed: np.ndarray) -> tuple[Any, Any]:
        from ...recheck.prepare import bratu_leaves, plain_leaves  # for audits alone

        way = bratu_leaves(self.problem, self._given.data, self.model, box)
        return way, plain_leaves(low, high, claimed, self.points.scale)


def bratu_boxes(
    problem: Bratu,
    model: Model,
    basis: Float[np.ndarray, "N k"],
    inputs: Box,
    assumptions: tuple[str, ...],
    scale: float,
) -> BratuBoxes | str:
    """The proof over boxes, or why there is none.

    Raises:
        jax.errors.JAXTypeError, ValueError: of ``Frozen``.
    """
    if inputs.log != (False, True)[: problem.dimension]:
        return f"proofs over boxes of {problem.name} take lambda and, logarithmic, the anisotropy"
    frozen, data = Frozen(model, inputs.dimension, basis), bratu_data(problem, basis, inputs)
    if isinstance(data, str):
        return f"box proofs of {problem.name} need a few solutions to start from, but {data}"
    return BratuBoxes(
        problem, frozen, data, inputs, assumptions, make_bratu_bound, FieldPoints(problem, basis, scale, 1)
    )
