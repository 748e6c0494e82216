"""One leaf of a trust map by fluxes proved again, in ball arithmetic: the bound of ``box_flux`` by other means.

The same theorem, evaluated by Arb at 106 bits on the traced program of the coefficients: fields, fluxes and their
divergences from the float64 numbers that basis and family are, taken as exact; rational control matrices; Taylor
coefficients as power series. Any flux proves what it proves, so the family is not believed but measured anew. What is
taken over from float64: that log a is affine, with its slopes (``log_weights``), the smallest eigenvalue of B'B, and
the a-priori rounding of the surrogate's float64 evaluation, about 1e-13 of the bound.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flint import arb, arb_mat, arb_series, ctx

from ..solvers.box import Box
from ..solvers.precision import gamma
from .ball_series import BITS, balls, between, evaluate, objects
from .box_bound import scaled_ends, unit_to_inputs
from .enclose import rounding_error
from .flux_data import FLUX_NORM
from .flux_path import FluxPath
from .frozen import Frozen
from .leaf_proof import MOVED, control_matrix, holds, length

ORDER = 5


class FluxProof:
    """Bounds over boxes in unit coordinates for one problem, surrogate and box of inputs."""

    def __init__(self, path: FluxPath, surrogate: Frozen, inputs: Box) -> None:
        self.problem, self.data, self.inputs = path.problem, path.data, inputs
        self.ends = scaled_ends(inputs)
        to_inputs = unit_to_inputs(inputs.log, jnp.asarray(self.ends))

        def program(x: jax.Array) -> jax.Array:
            return jnp.asarray(surrogate.coefficients(to_inputs(x)[None])[0])

        self.program = jax.make_jaxpr(program)(jnp.zeros(inputs.dimension))
        self.value = jax.jit(program)
        self.losses = jax.jit(lambda low, high: rounding_error(program, low, high))
        self.best = jax.jit(path.data.family.best)
        with ctx.workprec(BITS):
            self._prepare(surrogate.basis)

    def _prepare(self, basis: np.ndarray) -> None:
        """What does not depend on the box, from the float64 numbers of basis, family and load."""
        problem, n = self.problem, self.problem.cells
        f = balls(problem.load(jnp.asarray(self.inputs.lower))).reshape(n + 1, n + 1)[1:-1, 1:-1]
        V = balls(basis.T).reshape(-1, n + 1, n + 1)
        self.work = objects([(f * v[1:-1, 1:-1]).sum() for v in V])
        self.modes = _matrix(np.stack([gradient(v).ravel() for v in V]))
        family = self.data.family
        fluxes = balls(np.concatenate([np.asarray(family.start)[None], np.asarray(family.modes)]))
        self.defects = [length((f * (j == 0) - divergence(y.reshape(3, n, n))).ravel()) for j, y in enumerate(fluxes)]
        self.fluxes = _matrix(fluxes.reshape(len(fluxes), -1))
        self.mode_norms = [length(v.ravel()) for v in V]
        weights = self.data
        self.centre = _balls(weights.centre.mid, weights.centre.rad)
        self.slopes = _balls(weights.slopes.mid, weights.slopes.rad)

    def holds(self, low: np.ndarray, high: np.ndarray, claimed: float) -> bool:
        """Whether the relative error is at most ``claimed`` all over the box."""
        return holds(self.bound, low, high, claimed)

    def bound(self, low: np.ndarray, high: np.ndarray) -> tuple[float, int]:
        """(an upper bound over the box, the axis whose remainder is largest), in the context's precision."""
        d = self.inputs.dimension
        half = [(arb(float(b)) - arb(float(a))) / 2 for a, b in zip(low, high, strict=True)]
        middle = [(arb(float(b)) + arb(float(a))) / 2 for a, b in zip(low, high, strict=True)]
        z, slopes, beta = self._weights(middle, half, (low + high) / 2)
        values, mu, lowest_inputs = self._nodes(z, slopes, beta, middle, half)
        control, lowest = self._controls(values, lowest_inputs)
        below = [(beta[a] - slopes[a]) / 2 for a in range(d)]  # of the logarithms of s a^(-1/2), s a^(1/2), in t
        above = [(beta[a] + slopes[a]) / 2 for a in range(d)]
        wide = [
            _exponential(sign * z / 2 + sum(_symmetric(r) for r in rates)) for sign, rates in ((-1, below), (1, above))
        ]
        box = objects([between(float(a), float(b)) for a, b in zip(low, high, strict=True)])
        rests, rests_c = [], []
        for axis in range(d):
            rest, rest_c = self._remainder(axis, box, half[axis], mu, (below[axis], above[axis]), wide, beta)
            rests.append(rest)
            rests_c.append(rest_c)
        lebesgue = (1 + 2 / arb.pi() * arb(ORDER).log()) * MOVED
        order = sorted(range(d), key=lambda a: -float(rests[a].upper()))
        rest = sum((rests[a] * lebesgue**i for i, a in enumerate(order)), arb(0))
        rest_c = sum((rests_c[a] * lebesgue ** (d - 1) for a in range(d)), arb(0))
        floor = self._floor(low, high, wide, mu, lebesgue**d)
        upper = control + rest + floor
        c_low = lowest - rest_c - floor * (2 * upper + floor)
        energy = c_low + upper * upper if c_low > 0 else arb(0)
        energy = energy.max(self._energy_below(z, slopes, beta, (low + high) / 2))
        value = float((upper / energy.sqrt()).upper()) if energy > 0 else math.inf
        widest = order[0] if np.isfinite(value) else int(np.argmax(high - low))
        return (value * (1 + 1e-15) if np.isfinite(value) else math.inf), widest

    def _weights(self, middle: list[Any], half: list[Any], at: np.ndarray) -> tuple[Any, list[Any], list[Any]]:
        """log a at the centre, its slopes in t, and the slopes of the amplitude, which may be any numbers."""
        ends, d = self.ends, len(middle)
        away = [arb(ends[0, a]) + arb(ends[1, a]) * middle[a] - arb(float(self.data.at[a])) for a in range(d)]
        z = self.centre + sum(self.slopes[a] * away[a] for a in range(d))
        slopes = [self.slopes[a] * (arb(ends[1, a]) * half[a]) for a in range(d)]
        v = np.tensordot(np.asarray(self.value(jnp.asarray(at))), np.asarray(self.data.modes), 1)
        shares = (v**2).sum(axis=0) * np.exp([float(x) for x in z])
        total = shares.sum()
        beta = [float(shares @ np.array([float(x) for x in s]) / total) if total > 0 else 0.0 for s in slopes]
        return z, slopes, [arb(b if np.isfinite(b) else 0.0) for b in beta]

    def _nodes(
        self, z: Any, slopes: list[Any], beta: list[Any], middle: list[Any], half: list[Any]
    ) -> tuple[Any, np.ndarray, list[Any]]:
        """g [M, 3 C] as a matrix, the multipliers [M, r] that were chosen, and s^2 (2 f.N - N.A N) [M]."""
        d, C = len(slopes), len(z)
        nodes = control_matrix(ORDER)[0]
        steps = [[_exponential(slopes[a] * t / 2) for t in nodes] for a in range(d)]
        root = _exponential(z / 2)
        roots, amplitudes, c = [], [], []
        for index in itertools.product(range(ORDER), repeat=d):
            here = root
            for a, i in enumerate(index):
                here = here * steps[a][i]
            roots.append(here)
            amplitudes.append((sum((beta[a] * nodes[i] for a, i in enumerate(index)), arb(0)) / 2).exp())
            x = objects([middle[a] + half[a] * nodes[i] for a, i in enumerate(index)])
            c.append([v[0] for v in evaluate(self.program, x, 1)])
        inverse = np.array([[float(1 / (v * v).mid()) for v in row] for row in roots])
        mu = np.asarray(self.best(inverse))
        multipliers = np.concatenate([np.ones((len(mu), 1)), mu], axis=1)
        flux = _array(arb_mat(multipliers.tolist()) * self.fluxes).reshape(len(mu), 3, C)
        field = _array(arb_mat(c) * self.modes).reshape(len(mu), 3, C)
        g, differences = [], []
        for y, v, a, s, coefficients in zip(flux, field, roots, amplitudes, c, strict=True):
            energy = v * a * s
            g.append((y * (s / a) - energy).ravel())
            differences.append(2 * s * s * (objects(coefficients) @ self.work) - (energy * energy).sum())
        return _matrix(np.stack(g)), mu, differences

    def _controls(self, values: Any, differences: list[Any]) -> tuple[Any, Any]:
        """(the largest length among the control points of g, the smallest control point of the difference)."""
        matrix = control_matrix(ORDER)[1]
        whole = matrix
        for _ in range(self.inputs.dimension - 1):
            whole = np.kron(whole, matrix)
        points = _array(_matrix(whole) * values)
        lowest = whole @ objects(differences)
        largest, smallest = length(points[0]), lowest[0]
        for row, value in zip(points[1:], lowest[1:], strict=True):
            largest, smallest = largest.max(length(row)), smallest.min(value)
        return largest, smallest

    def _remainder(
        self, axis: int, box: np.ndarray, half: Any, mu: np.ndarray, rates: tuple[Any, Any], wide: list[Any], beta: Any
    ) -> tuple[Any, Any]:
        """Interpolation errors along one axis, before Lebesgue constants: of g in length, of the difference."""
        x = box.copy()
        x[axis] = arb_series([box[axis], half], ORDER + 1)
        c = [[v[j] for v in evaluate(self.program, x, ORDER + 1)] for j in range(ORDER + 1)]
        field = _array(arb_mat(c) * self.modes).reshape(ORDER + 1, 3, -1)
        along = self._derivatives(mu, axis)
        flux = _array(_matrix(along) * self.fluxes).reshape(ORDER, 3, -1)
        low, high = (_powers(rate, ORDER) for rate in rates)
        top = sum(low[ORDER - i] * flux[i] for i in range(ORDER))
        products = [wide[1] * sum(high[j - i] * field[i] for i in range(j + 1)) for j in range(ORDER + 1)]
        factor = 2 / arb(2) ** ORDER * MOVED
        lengths = [length(p.ravel()) for p in products]
        energy = sum(lengths[i] * lengths[ORDER - i] for i in range(ORDER + 1))
        amplitude = sum((abs(b) for b in beta), arb(0)).exp()
        steps = _powers(objects([beta[axis]]), ORDER)
        work = sum((steps[ORDER - i][0] * (objects(c[i]) @ self.work) for i in range(ORDER + 1)), arb(0))
        return factor * length((wide[0] * top - products[ORDER]).ravel()), factor * (energy + 2 * amplitude * abs(work))

    def _derivatives(self, mu: np.ndarray, axis: int) -> np.ndarray:
        """Taylor coefficients [m, 1 + r] of the polynomial through (1, mu), over the box and along the axis in t."""
        matrix, d = control_matrix(ORDER)[1], self.inputs.dimension
        tensor = balls(mu).reshape((ORDER,) * d + (-1,))
        for a in range(d):
            tensor = np.moveaxis(np.tensordot(matrix, tensor, axes=(1, a)), 0, a)
        tensor = np.moveaxis(tensor, axis, 0)
        out = np.full((ORDER, 1 + mu.shape[1]), arb(0), dtype=object)
        out[0, 0] = arb(1)
        for k in range(ORDER):
            rows = tensor.reshape(-1, mu.shape[1])
            for j in range(mu.shape[1]):
                hull = rows[0, j]
                for value in rows[1:, j]:
                    hull = hull.union(value)
                out[k, 1 + j] = hull * math.comb(ORDER - 1, k) / 2**k
            tensor = tensor[1:] - tensor[:-1]
        return out

    def _floor(self, low: np.ndarray, high: np.ndarray, wide: list[Any], mu: np.ndarray, lebesgue: Any) -> Any:
        """The flux's divergence, and the rounding of the surrogate's float64 evaluation."""
        largest = [max((v.upper() for v in w), key=float) for w in wide]
        sizes = [arb(1), *(arb(float(v)) * lebesgue for v in np.abs(mu).max(axis=0))]
        defect = sum((s * e for s, e in zip(sizes, self.defects, strict=True)), arb(0))
        defect = defect / arb(float(self.data.coercivity)).sqrt()
        box = objects([between(float(a), float(b)) for a, b in zip(low, high, strict=True)])
        reach = [abs(v[0]).upper() for v in evaluate(self.program, box, 1)]
        losses = [arb(float(v)) for v in np.asarray(self.losses(jnp.asarray(low), jnp.asarray(high)))]
        rounding = gamma(len(reach) + 4)
        own = sum(
            (FLUX_NORM * norm * (loss + rounding * (size + loss)))
            for norm, loss, size in zip(self.mode_norms, losses, reach, strict=True)
        )
        return 1.01 * (largest[0] * defect + largest[1] * own)

    def _energy_below(self, z: Any, slopes: list[Any], beta: list[Any], at: np.ndarray) -> Any:
        """s^2 ||u||^2 from below by the surrogate's field at the centre; its energy is largest in a corner."""
        c = np.asarray(self.value(jnp.asarray(at)))
        if not np.isfinite(c).all():
            return arb(0)
        v = _array(arb_mat([c.tolist()]) * self.modes).reshape(3, -1)
        energies, most = (v * v).sum(axis=0), arb(0)
        for corner in itertools.product((-1, 1), repeat=len(slopes)):
            exponents = z + sum(t * (s - b) for t, s, b in zip(corner, slopes, beta, strict=True))
            most = most.max((energies * _exponential(exponents)).sum())
        work = abs(balls(c) @ self.work)
        return (work * work / most).lower() if most > 0 and work > 0 else arb(0)


def gradient(u: np.ndarray) -> np.ndarray:
    """B u [3, n, n] of a field of balls (``q1.flux``)."""
    a, b, c, e = u[:-1, :-1], u[1:, :-1], u[:-1, 1:], u[1:, 1:]
    return np.stack([(b - a + e - c) / 2, (c - a + e - b) / 2, (a - b - c + e) / arb(6).sqrt()])


def divergence(y: np.ndarray) -> np.ndarray:
    """B'y in the interior nodes, as the transpose of ``gradient``."""
    x, z, h = y[0] / 2, y[1] / 2, y[2] / arb(6).sqrt()
    return (h - x - z)[1:, 1:] + (x - z - h)[:-1, 1:] + (z - x - h)[1:, :-1] + (x + z + h)[:-1, :-1]


def _powers(rate: Any, order: int) -> list[Any]:
    """rate^j / j!, j = 0 .. order."""
    out = [objects([arb(1)] * len(rate))]
    for j in range(1, order + 1):
        out.append(out[-1] * rate / j)
    return out


def _symmetric(rates: Any) -> Any:
    """rate t for t in [-1, 1]."""
    return objects([arb(0, abs(r).upper()) for r in rates])


def _exponential(z: Any) -> Any:
    return objects([v.exp() for v in z])


def _balls(mid: Any, rad: Any) -> np.ndarray:
    return np.vectorize(lambda m, r: arb(float(m), float(r)), otypes=[object])(np.asarray(mid), np.asarray(rad))


def _matrix(rows: np.ndarray) -> Any:
    return arb_mat(len(rows), rows.shape[1], list(rows.ravel()))


def _array(matrix: Any) -> np.ndarray:
    return objects(matrix.entries()).reshape(matrix.nrows(), matrix.ncols())
