"""One leaf of a trust map proved again, in ball arithmetic: the bound of ``box_bound`` by other means.

The same theorem (interpolation at Chebyshev nodes, Bernstein control points, a remainder from Taylor coefficients over
the box), evaluated by Arb at 106 bits on the traced program, with rational control matrices and its own weights. Where
that is not sharp enough the leaf is halved, so that a bound is accepted if and only if it holds on every part. What is
taken over from float64: the reduced data with their error terms, and the a-priori rounding of the surrogate's float64
evaluation (``rounding_floor``), about 1e-13 of the bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flint import arb, arb_mat, arb_series, ctx, fmpq

from ..solvers.box import Box
from ..solvers.coercive import CoerciveProblem
from .ball_series import BITS, balls, between, evaluate, objects
from .box_bound import INFLATION, Sizes, rounding_floor, scaled_ends, unit_to_inputs
from .enclose import rounding_error
from .reduced import ReducedBound
from .thomson import simplex_weights

ORDER = 4
DEEPEST = 8  # halvings of one leaf
# Nodes rounded to multiples of 2^-40 move by 2^-41: prod |t - t_i| changes by at most m 2^-41 2^(m-1), which is below
# 2^-30 of its maximum 2^(1-m) for m <= 5; the Lebesgue constant by less.
MOVED = 1 + 2.0**-30


class LeafProof:
    """Bounds over boxes in unit coordinates for one problem, surrogate and box of inputs."""

    def __init__(self, problem: CoerciveProblem, reduced: ReducedBound, surrogate: Any, inputs: Box) -> None:
        self.problem, self.data, self.inputs = problem, reduced.data, inputs
        to_inputs = unit_to_inputs(inputs.log, jnp.asarray(scaled_ends(inputs)))

        def program(x: jax.Array) -> jax.Array:
            p = to_inputs(x)
            theta, amplitude = problem.theta(p), problem.features(p)[1]
            parts = (theta, problem.load_weights(p), surrogate.coefficients(p[None])[0])
            return jnp.concatenate([*parts, amplitude[None], theta * amplitude])

        d = inputs.dimension
        self.program = jax.make_jaxpr(program)(jnp.zeros(d))
        self.value = jax.jit(program)
        self.losses = jax.jit(lambda low, high: rounding_error(program, low, high))
        self.floor = jax.jit(lambda w, box: rounding_floor(problem, self.data, w, box))
        self.count, self.Q = self.data.references.shape
        self.rank = self.data.factors.shape[-1]
        self.J, self.k = self.data.load_mode.shape

    def holds(self, low: np.ndarray, high: np.ndarray, claimed: float) -> bool:
        """Whether the relative error is at most ``claimed`` all over the box."""
        return holds(self.bound, low, high, claimed)

    def bound(self, low: np.ndarray, high: np.ndarray) -> tuple[float, int]:
        """(an upper bound over the box, the axis whose remainder is largest), in the context's precision."""
        d = self.inputs.dimension
        box = objects([between(a, b) for a, b in zip(low, high, strict=True)])
        half = [(arb(b) - arb(a)) / 2 for a, b in zip(low, high, strict=True)]
        w, T = self._weights((low + high) / 2)
        rests, rests_c, ranges = [], [], None
        for axis in range(d):
            x = box.copy()
            x[axis] = arb_series([box[axis], 1], ORDER + 1)
            parts = evaluate(self.program, x, ORDER + 1)
            ranges = objects([v[0] for v in parts])
            flux, c = self._vector(T, parts, ORDER + 1)
            size = length(v[ORDER] for v in flux)
            factor = 2 * (half[axis] / 2) ** ORDER * MOVED
            rests.append(factor * size)
            rests_c.append(factor * abs(c[ORDER]))
        control, lowest = self._controls(T, low, high)
        lebesgue = (1 + 2 / arb.pi() * arb(ORDER).log()) * MOVED
        order = sorted(range(d), key=lambda a: -float(rests[a].upper()))
        rest = sum((rests[a] * lebesgue**i for i, a in enumerate(order)), arb(0))
        rest_c = sum((rests_c[a] * lebesgue ** (d - 1) for a in range(d)), arb(0))
        floor, floor_c, factor_flux = self._floors(w, ranges, low, high)
        upper = (control + rest) * arb(factor_flux) + arb(floor)
        c_low = lowest - rest_c - arb(floor_c) - arb(1.02 * floor) * (2 * upper + arb(floor))
        energy = c_low + upper * upper if c_low > 0 else arb(0)
        energy = energy.max(self._energy_below(ranges, (low + high) / 2))
        value = float((upper / energy.sqrt()).upper()) if energy > 0 else math.inf
        widest = order[0] if np.isfinite(value) else int(np.argmax(high - low))
        return (value * (1 + 1e-15) if np.isfinite(value) else math.inf), widest

    def _weights(self, centre: np.ndarray) -> tuple[np.ndarray, Any]:
        """Weights of the references at the centre, summing to one exactly, and T [Q rank, J + Q k] that follows."""
        data, Q, k = self.data, self.Q, self.k
        parts = np.asarray(self.value(jnp.asarray(centre)))
        theta, phi, c = parts[:Q], parts[Q : Q + self.J], parts[Q + self.J :][:k]
        s = np.concatenate([phi, -np.outer(theta, c).ravel()])
        x = np.asarray(data.solves) @ s
        fluxes = np.einsum("qrs,ks->kqr", data.factors, x) * (np.asarray(data.references) / np.sqrt(theta))[:, :, None]
        flat = fluxes.reshape(self.count, -1)
        w = np.ones(1) if self.count == 1 else np.array(simplex_weights(jnp.asarray(flat @ flat.T)))
        exact = [arb(float(v)) for v in w[:-1]]
        exact.append(1 - sum(exact, arb(0)))
        rows: list[list[Any]] = []
        columns = self.J + Q * k
        solves = [arb_mat(np.asarray(R).tolist()) for R in data.solves]
        for q in range(Q):
            combined = arb_mat(self.rank, columns)
            for weight, reference, R in zip(exact, np.asarray(data.references)[:, q], solves, strict=True):
                combined = combined + R * (weight * arb(float(reference)))
            product = arb_mat(np.asarray(data.factors)[q].tolist()) * combined
            rows += [[product[i, j] for j in range(columns)] for i in range(self.rank)]
        return w, arb_mat(rows)

    def _vector(self, T: Any, parts: np.ndarray, length: int) -> tuple[list[Any], Any]:
        """The flux's entries and c as series."""
        before = ctx.cap
        ctx.cap = length
        try:
            theta, phi, c, amplitude = self._split(parts)
            s = [*phi, *(-(t * v) for t in theta for v in c)]
            coefficients = arb_mat([[v[j] for j in range(length)] for v in s])
            product = T * coefficients
            scales = [(t * amplitude).rsqrt() for t in theta]
            flux = [
                arb_series([product[i, j] for j in range(length)], length) * scales[i // self.rank]
                for i in range(self.Q * self.rank)
            ]
            return flux, self._difference(theta, phi, c) / amplitude
        finally:
            ctx.cap = before

    def _split(self, parts: np.ndarray) -> tuple[list[Any], list[Any], list[Any], Any]:
        Q, J = self.Q, self.J
        return list(parts[:Q]), list(parts[Q : Q + J]), list(parts[Q + J :][: self.k]), parts[Q + J + self.k]

    def _difference(self, theta: list[Any], phi: list[Any], c: list[Any]) -> Any:
        """2 f.N - N.A N."""
        data, c_ = self.data, objects(c)
        work = objects(phi) @ (balls(data.load_mode) @ c_)
        energy = sum(t * (c_ @ (balls(S) @ c_)) for t, S in zip(theta, np.asarray(data.stiffness), strict=True))
        return 2 * work - energy

    def _energy_below(self, ranges: Any, centre: np.ndarray) -> Any:
        """||u||^2 / amplitude over the box from below, by the surrogate's field at its centre (``energy_below``)."""
        data, Q, J = self.data, self.Q, self.J
        c = balls(np.asarray(self.value(jnp.asarray(centre)))[Q + J :][: self.k])
        size, phi = objects([abs(v) for v in c]), ranges[Q : Q + J]
        error = objects([abs(v).upper() for v in phi]) @ (balls(data.load_mode_error) @ size)
        least = abs(phi @ (balls(data.load_mode) @ c)).lower() - error
        pairs = zip(np.asarray(data.stiffness), np.asarray(data.stiffness_error), ranges[-Q:], strict=True)
        most = sum((t.upper() * (c @ (balls(S) @ c) + size @ (balls(E) @ size)) for S, E, t in pairs), arb(0))
        return (least * least / most).lower() if least > 0 and most > 0 else arb(0)

    def _controls(self, T: Any, low: np.ndarray, high: np.ndarray) -> tuple[Any, Any]:
        """(the largest length among the control points of the flux, the smallest control point of c)."""
        d, K = self.inputs.dimension, self.Q * self.rank
        nodes, matrix = control_matrix(ORDER)
        centre = [(arb(a) + arb(b)) / 2 for a, b in zip(low, high, strict=True)]
        half = [(arb(b) - arb(a)) / 2 for a, b in zip(low, high, strict=True)]
        values = np.empty((ORDER,) * d + (K + 1,), dtype=object)
        for index in np.ndindex(*(ORDER,) * d):
            x = objects([centre[a] + half[a] * nodes[i] for a, i in enumerate(index)])
            flux, c = self._vector(T, evaluate(self.program, x, 1), 1)
            values[index] = [*(v[0] for v in flux), c[0]]
        for axis in range(d):
            values = np.moveaxis(np.tensordot(matrix, values, axes=(1, axis)), 0, axis)
        flat = values.reshape(-1, K + 1)
        lengths = [length(row[:-1]) for row in flat]
        control, lowest = lengths[0], flat[0, -1]
        for here, row in zip(lengths[1:], flat[1:], strict=True):
            control, lowest = control.max(here), lowest.min(row[-1])
        return control, lowest

    def _floors(self, w: np.ndarray, ranges: Any, low: np.ndarray, high: np.ndarray) -> tuple[float, float, float]:
        Q, J = self.Q, self.J
        lower = np.array([float(v.lower()) for v in ranges]) * (1 - 1e-14)
        upper = np.array([float(v.upper()) for v in ranges])
        size = np.array([float(abs(v).upper()) for v in ranges]) * (1 + 1e-14)
        losses = np.asarray(self.losses(jnp.asarray(low), jnp.asarray(high)))
        first, last = Q + J, Q + J + self.k
        parts = (lower[:Q], upper[:Q] * (1 + 1e-14), size[Q:first], size[first:last], losses[first:last], lower[last])
        floor, floor_c, factor = self.floor(jnp.asarray(w), Sizes(*map(jnp.asarray, parts)))
        return float(floor), float(floor_c), float(factor)


def holds(
    bound: Callable[[np.ndarray, np.ndarray], tuple[float, int]],
    low: np.ndarray,
    high: np.ndarray,
    claimed: float,
    depth: int = 0,
) -> bool:
    """Whether ``bound`` (value, axis to halve) is at most ``claimed`` on every part of the box, each inflated as leaves
    are.
    """
    with ctx.workprec(BITS):
        value, axis = bound(low - INFLATION, high + INFLATION)
    if value <= claimed:
        return True
    if depth == DEEPEST:
        return False
    middle = (low[axis] + high[axis]) / 2
    below, above = high.copy(), low.copy()
    below[axis] = above[axis] = middle
    return holds(bound, low, below, claimed, depth + 1) and holds(bound, above, high, claimed, depth + 1)


def length(entries: Iterable[Any]) -> Any:
    """An upper bound of the Euclidean length of a vector of balls."""
    return sum((abs(v).upper() ** 2 for v in entries), arb(0)).sqrt()


@cache
def control_matrix(m: int) -> tuple[list[Any], np.ndarray]:
    """Chebyshev nodes, rounded to multiples of 2^-40, and the rational map from values there to control points."""
    t = [Fraction(round(math.cos((2 * i + 1) * math.pi / (2 * m)) * 2**40), 2**40) for i in range(m)]
    s = [(x + 1) / 2 for x in t]
    matrix = np.empty((m, m), dtype=object)
    for i in range(m):
        power = [Fraction(1)]  # the i-th Lagrange polynomial in powers of s
        for j in (j for j in range(m) if j != i):
            shifted, scaled = [Fraction(0), *power], [s[j] * c for c in power] + [Fraction(0)]
            power = [(a - b) / (s[i] - s[j]) for a, b in zip(shifted, scaled, strict=True)]
        for row in range(m):
            terms = (Fraction(math.comb(row, n), math.comb(m - 1, n)) * power[n] for n in range(row + 1))
            value = sum(terms, Fraction(0))
            matrix[row, i] = arb(fmpq(value.numerator, value.denominator))
    return [arb(fmpq(x.numerator, x.denominator)) for x in t], matrix
