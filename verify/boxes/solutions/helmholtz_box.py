"""The relative error of a surrogate N = V c(p) of Helmholtz's equation over a whole box of inputs.

In discrete sines (``proofs/helmholtz.py``) the solution is known in closed form, and so is the error:

    e^ = f^ / (lambda - kappa) - V^ c,    ||e||^2 = sum (lambda + h^2) |e^|^2,    kappa = h^2 k2 (1 + i damping)

Both are multiplied by lambda_r - kappa, with r the wave that is strongest at the box's centre: this takes the nearest
resonance out of the denominators, where it would make every Taylor coefficient large, and leaves the quotient ||e|| /
||u|| as it is. With weights (lambda + h^2)^(1/2),

    y = w (lambda_r - kappa)/(lambda - kappa) f^,    g = y - w V^ (lambda_r - kappa) c

are what ``interpolated.py`` takes. Taylor coefficients: kappa is affine along k2 and along damping, with slopes a of
size h^2 |1 + i damping| and h^2 k2, so that the m-th one of (lambda_r - kappa)/(lambda - kappa) is, for m >= 1,

    (lambda_r - lambda) a^m / (lambda - kappa)^(m+1),

where |lambda - kappa| >= its smallest value over the box. Along the source's coordinates only f^ = (S b_x)(S b_y)'
varies; bells and (lambda_r - kappa) c are enclosed as programs. Hypothesis: no lambda is a kappa of the box, with all
of them rounded; where one is (an undamped resonance inside) nothing is proved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from ....solvers.box import Box
from ....solvers.precision import RANGE, UNIT_ROUNDOFF, gamma
from ....solvers.problems.helmholtz import Helmholtz
from ...answers.frozen import Architecture
from ...enclose import ball as balls
from ...enclose import bernstein, coefficients, gram_bound, norm_bound, rounding_error
from ...enclose.ball import Ball
from ...proofs.bounds import SLACK, UNDERFLOW
from ...proofs.indefinite.helmholtz_reduced import LOAD
from ...proofs.sines import EIGENVALUE, Sines
from ..box_bound import INFLATION, BoundInputs, BoxResult, ModelWeights, unit_to_inputs
from .interpolated import Interpolated, Rest, normalised, quotient_over_box, result
from .solution_boxes import BoundOfBox, SolutionBoxes

NORM = 3.0  # at least (lambda + h^2)^(1/2)


class HelmholtzData(NamedTuple):
    """Of the modes V, and of the grid."""

    pairs: Float[Any, "waves pairs"]  # w V^, which takes (Re c, Im c) to real and imaginary parts, waves in a row
    gram: Float[Any, "pairs pairs"]  # ``gram_bound`` of it
    sizes: Float[Any, " k"]  # at least || w V^_j ||
    errors: Float[Any, " k"]  # what w V^_j may be off by
    lengths: Float[Any, " k"]  # at least || V_j ||_2


def helmholtz_data(problem: Helmholtz, basis: Float[np.ndarray, "N k"]) -> HelmholtzData:
    sines, k = Sines(problem.cells), basis.shape[1]
    root = np.sqrt(sines.along[:, None] + sines.along[None, :] + problem.cells**-2.0)
    grid = basis.T.reshape(k, problem.cells + 1, problem.cells + 1, 2)[:, 1:-1, 1:-1]
    hats = np.stack([root * (sines.matrix @ grid[..., part] @ sines.matrix) for part in (0, 1)])
    real, imaginary = np.moveaxis(hats.reshape(2, k, -1), 1, 2)
    pairs = np.block([[real, -imaginary], [imaginary, real]])
    lengths = np.linalg.norm(basis, axis=0) * (1 + gamma(len(basis) + 8))
    errors = NORM * (2 * sines.eps + 4 * EIGENVALUE) * lengths + UNDERFLOW  # of either part, and the weights' own
    sizes = np.linalg.norm(pairs[:, :k], axis=0) * (1 + gamma(len(basis) + 8)) + errors
    return HelmholtzData(pairs, np.asarray(gram_bound(pairs)), sizes, errors, lengths)


def make_helmholtz_bound(
    problem: Helmholtz,
    log: tuple[bool, ...],
    coefficients_of: Callable[[ModelWeights, Array], Array],
    orders: tuple[int, ...],
) -> BoundOfBox:
    """The bound of one box as a function in JAX, with the arguments and the result of ``make_box_bound``'s."""

    def bound(low: Array, high: Array, given: BoundInputs, always_true: Array) -> BoxResult:
        to_inputs = unit_to_inputs(log, given.ends)
        low, high = low - INFLATION, high + INFLATION
        waves = _Waves(problem, to_inputs, balls.from_bounds(low, high), given.ends)
        return _bound(waves, lambda p: coefficients_of(given.weights, p), given, orders, (low, high, always_true))

    return bound


class _Waves:
    """lambda, kappa and their distances over a box, waves in a row [M]."""

    def __init__(self, problem: Helmholtz, to_inputs: Callable[[Array], Array], box: Ball, ends: Array) -> None:
        self.problem, self.to_inputs, self.box = problem, to_inputs, box
        self.sines = Sines(problem.cells)
        along = self.sines.along
        self.eigenvalues = jnp.asarray((along[:, None] + along[None, :]).ravel())
        self.area = float(problem.cells) ** -2
        self.root = jnp.sqrt(self.eigenvalues + self.area)
        p = balls.add(balls.point(ends[0]), balls.mul(box, balls.point(ends[1])))
        self.low, self.high = balls.lower(p), balls.upper(p)  # of the inputs
        self.widths = ends[1] * (1 + 1e-14)
        k2, damping = (jnp.maximum(self.low[i], 0.0) for i in (0, 1))
        self.damped = jnp.maximum(jnp.abs(self.low[1]), jnp.abs(self.high[1]))
        largest = self.area * self.high[0] * (1 + self.damped)
        self.mu = 4 * EIGENVALUE * (self.eigenvalues + largest)  # of lambda, kappa, and theta(p) as computed
        below, above = self.eigenvalues - self.area * self.high[0], self.area * self.low[0] - self.eigenvalues
        gap = jnp.maximum(jnp.maximum(below, above) - self.mu, 0.0)
        loss = self.area * k2 * damping * (1 - 8 * EIGENVALUE)
        self.near = jnp.sqrt(gap**2 + loss**2) * (1 - 8 * UNIT_ROUNDOFF) - self.mu
        self.known = jnp.all(self.near > 0) & (self.low[0] > 0)
        self.near = jnp.where(self.near > 0, self.near, 1.0)
        # |slope of kappa| along k2 and damping, in unit coordinates
        bent = jnp.sqrt(1 + self.damped**2)
        self.slopes = self.area * jnp.stack([self.widths[0] * bent, self.widths[1] * self.high[0]]) * (1 + 1e-14)

    def kappa(self, p: Array) -> tuple[Array, Array]:
        return p[0] * self.area, p[0] * p[1] * self.area

    def strongest(self, load: Float[Array, " M"], p: Array) -> Array:
        """lambda_r of the wave that is strongest at p."""
        real, loss = self.kappa(p)
        strength = self.root**2 * load**2 / ((self.eigenvalues - real) ** 2 + loss**2)
        return self.eigenvalues[jnp.argmax(jnp.where(jnp.isfinite(strength), strength, jnp.inf))]


def _bound(
    waves: _Waves,
    coefficients_at: Callable[[Array], Array],
    given: BoundInputs,
    orders: tuple[int, ...],
    about: tuple[Array, Array, Array],
) -> BoxResult:
    data, problem, sines = given.data, waves.problem, waves.sines
    low, high, always_true = about
    n, k = problem.cells - 1, data.sizes.shape[0]
    box, root = waves.box, waves.root
    matrix = jnp.asarray(sines.matrix)

    def loads(p: Array) -> Array:
        return jnp.concatenate([matrix @ bell for bell in problem.bells(p)])

    def given_by(p: Array) -> Array:
        return jnp.concatenate([*problem.bells(p), coefficients_at(p)])

    def product(hats: Array) -> Array:
        return (hats[:n, None] * hats[None, n:]).reshape(-1) * problem.source_scale

    centre = waves.to_inputs(box.mid)
    resonance = waves.strongest(product(loads(centre)), centre)

    def whole(x: Array) -> Array:
        p = waves.to_inputs(x)
        c, (real, loss) = coefficients_at(p), waves.kappa(p)
        return jnp.concatenate([loads(p), c, (resonance - real) * c, -loss * c])

    ranges, jets = coefficients(whole, low, high, max(orders), always_true)
    lost = rounding_error(lambda x: given_by(waves.to_inputs(x)), low, high, always_true)
    losses = lost[2 * n :]
    hats, sized = balls.magnitude(ranges[: 2 * n]), balls.magnitude(ranges[2 * n : 2 * n + k])

    # |lambda_r - kappa|, and |(lambda_r - kappa) / (lambda - kappa)| per wave
    real_far = jnp.maximum(
        jnp.abs(resonance - waves.area * waves.low[0]), jnp.abs(resonance - waves.area * waves.high[0])
    )
    mu = 4 * EIGENVALUE * (resonance + waves.area * waves.high[0] * (1 + waves.damped))
    factor = jnp.sqrt(real_far**2 + (waves.area * waves.high[0] * waves.damped) ** 2) * (1 + 1e-14) + mu
    real_near = jnp.maximum(resonance - waves.area * waves.high[0], waves.area * waves.low[0] - resonance)
    loss_near = waves.area * jnp.maximum(waves.low[0], 0.0) * jnp.maximum(waves.low[1], 0.0)
    least_factor = jnp.sqrt(jnp.maximum(real_near, 0.0) ** 2 + loss_near**2) * (1 - 1e-14) - mu
    apart = jnp.abs(resonance - waves.eigenvalues) + EIGENVALUE * (resonance + waves.eigenvalues)
    ratio = jnp.minimum(factor / waves.near, 1 + apart / waves.near) * (1 + 1e-14)

    load = product(hats) * (1 + 1e-14)
    bells = [jnp.sqrt(jnp.sum(x**2)) * (1 + gamma(n + 8)) for x in (hats[:n], hats[n:])]
    load_size = bells[0] * bells[1] * problem.source_scale * (1 + 1e-12) * (1 + sines.eps)
    load_off = 2 * (sines.eps + LOAD) * load_size  # in the 2-norm: of what is computed, and of S itself
    missed = [jnp.sqrt(jnp.sum(x**2)) for x in (lost[:n], lost[n : 2 * n])]
    load_off = load_off + 1.01 * (missed[0] * bells[1] + (bells[0] + missed[0]) * missed[1]) * problem.source_scale

    def length(per_wave: Array, spread: Array) -> Array:
        """Of the vector whose entries are at most ``per_wave`` f^, with f^ off by ``load_off`` beside its own size."""
        return (jnp.sqrt(jnp.sum((root * per_wave * spread) ** 2)) + jnp.max(root * per_wave) * load_off) * (1 + 1e-12)

    # the solution's Taylor coefficients of order m along axis a
    def solution(axis: int, m: int) -> Array:
        if axis < 2:
            bent = apart * (waves.slopes[axis] / waves.near) ** m / waves.near
            return length(bent, load)
        moved = balls.magnitude(jets[m - 1, axis])[: 2 * n]
        first, second = (moved, hats) if axis == 2 else (hats, moved)
        grown = (first[:n, None] * second[None, n:]).reshape(-1) * problem.source_scale
        sizes = [jnp.sqrt(jnp.sum(x**2)) for x in (first[:n], second[n:])]
        off = 2 * (sines.eps + LOAD) * sizes[0] * sizes[1] * problem.source_scale
        return (jnp.sqrt(jnp.sum((root * ratio * grown) ** 2)) + jnp.max(root * ratio) * off) * (1 + 1e-12)

    def surrogate(axis: int, m: int) -> Array:
        part = jets[m - 1, axis][2 * n + k :]
        own = norm_bound(data.pairs, data.gram, part)
        size = balls.magnitude(part)
        return (own + (size[:k] + size[k:]) @ data.errors) * (1 + 1e-12)

    highest = jnp.stack([solution(a, m) for a, m in enumerate(orders)])
    moving = jnp.stack([surrogate(a, m) for a, m in enumerate(orders)])
    steepest = jnp.stack([solution(a, 1) for a in range(len(orders))])
    first = balls.magnitude(jets[0])[:, 2 * n + k :]
    steep = steepest + (first[:, :k] + first[:, k:]) @ data.sizes

    # at the nodes
    points = bernstein.grid(box, orders)
    misplaced = jnp.max(points.rad)
    y = _at_nodes(waves, lambda x: product(loads(waves.to_inputs(x))), resonance, points.mid)
    c = _stacked(lambda x: coefficients_at(waves.to_inputs(x)), points.mid)
    scaled = _times(waves, resonance, c, points.mid)
    g = y - scaled @ data.pairs.T
    off = length(mu / waves.near + (ratio + 1) * (2 * waves.mu / waves.near + gamma(32)), load)
    off = off + jnp.max(root * ratio) * load_off + jnp.sum(steepest) * misplaced
    reach = (sized + losses) * (1 + 1e-14)
    own = factor * (losses @ data.sizes)  # of the surrogate's program in float64
    formed = factor * (reach @ data.errors) + 2 * mu * (reach @ data.sizes)
    formed = formed + 1.5 * gamma(2 * k + 16) * factor * (reach @ (data.sizes + 2 * NORM * data.lengths))
    field = factor * gamma(k + 4) * NORM * (reach @ data.lengths)  # of V c as it is returned
    v = normalised(_at_nodes(waves, lambda x: product(loads(waves.to_inputs(x))), resonance, box.mid[None])[0])

    floor = (own + field) * 1.01 + UNDERFLOW
    error = Interpolated(g, (off + own + formed + jnp.sum(steep) * misplaced) * 1.01 + UNDERFLOW, highest + moving)
    sizes = y @ v
    size = Interpolated(sizes, off * 1.01 + gamma(2 * y.shape[1]) * jnp.max(ratio * root) * load_size, highest)
    proved = waves.known & jnp.all(reach <= RANGE) & (load_size <= RANGE)
    scale = given.scale * jnp.maximum(least_factor, 0.0)
    upper, axis = quotient_over_box(error, size, Rest(floor, jnp.zeros(()), scale, proved), box.rad, orders)
    return result(upper * SLACK, axis, floor, error, size, points.mid)


def _stacked(function: Callable[[Array], Array], X: Float[Array, "M d"]) -> Array:
    return jax.vmap(function)(X)


def _at_nodes(waves: _Waves, load: Callable[[Array], Array], resonance: Array, X: Float[Array, "M d"]) -> Array:
    """w (lambda_r - kappa)/(lambda - kappa) f^: real parts, then imaginary ones."""

    def one(x: Array) -> Array:
        real, loss = waves.kappa(waves.to_inputs(x))
        gap, distance = waves.eigenvalues - real, resonance - real
        square = gap**2 + loss**2
        square = jnp.where(square > 0, square, 1.0)
        weighted = waves.root * load(x)
        # (d - i l) (g + i l) / (g^2 + l^2)
        return jnp.concatenate(
            [weighted * (distance * gap + loss**2) / square, weighted * (loss * (distance - gap)) / square]
        )

    return _stacked(one, X)


def _times(waves: _Waves, resonance: Array, c: Float[Array, "M k"], X: Float[Array, "M d"]) -> Float[Array, "M pairs"]:
    """(lambda_r - kappa) c, real parts and then imaginary ones."""

    def one(x: Array, c: Array) -> Array:
        real, loss = waves.kappa(waves.to_inputs(x))
        return jnp.concatenate([(resonance - real) * c, -loss * c])

    return jax.vmap(one)(X, c)


class HelmholtzBoxes(SolutionBoxes):
    """By the solution in sines."""

    problem: Helmholtz
    effort = 0

    @classmethod
    def given(cls, problem: Helmholtz, basis: Float[np.ndarray, "N k"], inputs: Box) -> HelmholtzData | str:
        if inputs.dimension != 4 or any(inputs.log):
            return (
                f"proofs over boxes of {problem.name} take k2, damping and the source's coordinates, none logarithmic"
            )
        return helmholtz_data(problem, basis)

    def bound_of(self, architecture: Architecture, orders: tuple[int, ...]) -> BoundOfBox:
        return make_helmholtz_bound(self.problem, self.inputs.log, architecture, orders)

    def again(self, box: Box) -> Any:
        from ...recheck.prepare import helmholtz_leaves  # for audits alone

        return helmholtz_leaves(self.problem, self.model.basis, self.model, box)

    def unbounded(self, low: np.ndarray, high: np.ndarray) -> str:
        return (
            "hold an undamped resonance of this grid, or may hold one, so that no solution exists there: add damping, "
            "or keep away from k2 = pi^2 (m^2 + n^2)"
        )
