"""Bratu's problem (solid fuel ignition): no solution beyond a fold.

    2D:  -(anisotropy u_xx + u_yy / anisotropy) = lambda e^u  in (0, 1)^2,    u = 0 on the boundary
    1D:  -u'' = lambda e^u  in (0, 1),    u(0) = u(1) = 0

Two solutions below the fold (lambda = 3.51383071912516 in 1D; 6.80812442258 in 2D at anisotropy 1, larger at any
other), one there, none beyond. Discretisation: three- or five-point differences, second order; the grid has a fold of
its own, O(h^2) away. Lower branch: Newton's method from u = 0. K is an M-matrix and e^u convex, so that the iterates
increase towards the smallest solution whenever one exists (bratu_lower.py). Upper branch: the curve is followed beyond
the fold (bratu_branch.py). Inputs: lambda and, in 2D, anisotropy (log-scaled); good ranges are lambda in [0.1, 0.98 of
the fold], anisotropy in [1/4, 4].
Reference: Bratu 1914; Boyd, Applied Mathematics and Computation (2003); Doedel et al., Int. J. Bif. Chaos 1
(1991).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float

from ..box import Box
from ..classes.nonlinear import NonlinearProblem
from ..discretisations import five_point
from ..field_norm import homogeneous
from ..linear_algebra.direct import callback_float64
from ..linear_algebra.implicit import Root, newton
from ..linear_algebra.sines import SineTransform
from ..linear_algebra.sparse_lu import ProbedJacobian, stencil
from ..outputs import Output, named, nodal
from ..precision import gamma
from ..problem import Attempt
from ..relations.comparison import Bounded, Growing
from ..relations.relation import Relation
from ..relations.symmetry import Symmetric, motions, unmoved
from ..representative import kept_by_problem
from ..settings import check_cells, check_range, halved
from ..size import length
from . import bratu_lower
from .bratu_branch import Curve, Point

TOLERANCE = 1e-12
DEFAULTS = {1: (256, (0.5, 3.4)), 2: (64, (0.5, 6.6))}  # cells, range of lambda
BRANCHES = ("lower", "upper")


@dataclass(frozen=True, eq=False)
class Bratu(NonlinearProblem):
    """See the module's docstring. ``lam`` and ``anisotropy`` are (low, high); cells and lam have defaults by dimension.

    Raises:
        ValueError: a dimension that is not 1 or 2, fewer than 4 cells, an unknown branch, ranges that are not
            increasing or not positive.
    """

    dimension: int = 2
    cells: int | None = None
    lam: tuple[float, float] | None = None
    anisotropy: tuple[float, float] = (0.5, 2.0)
    branch: str = "lower"

    def __post_init__(self) -> None:
        put = object.__setattr__
        if self.dimension not in DEFAULTS:
            raise ValueError(f"dimension must be 1 or 2, not {self.dimension!r}")
        cells, lam = DEFAULTS[self.dimension]
        put(self, "cells", check_cells(cells if self.cells is None else self.cells))
        put(self, "lam", check_range("lam", lam if self.lam is None else self.lam, 0.0, open_end=True))
        put(self, "anisotropy", check_range("anisotropy", self.anisotropy, 0.0, open_end=True))
        if self.branch not in BRANCHES:
            raise ValueError(f"branch must be one of {', '.join(BRANCHES)}, not {self.branch!r}")

    @property
    def n(self) -> int:
        """Cells per side."""
        assert self.cells is not None
        return self.cells

    @cached_property
    def inputs(self) -> Box:
        assert self.lam is not None
        if self.dimension == 1:
            return Box(("lambda",), np.array(self.lam[:1]), np.array(self.lam[1:]))
        low, high = zip(self.lam, self.anisotropy, strict=True)
        return Box(("lambda", "anisotropy"), np.array(low), np.array(high), log=(False, True))

    @property
    def shape(self) -> tuple[int, int, int]:
        return (1, (self.n + 1) ** self.dimension, 1)

    @cached_property
    def coordinates(self) -> Float[np.ndarray, "nodes dim"]:
        return np.arange(self.n + 1)[:, None] / self.n if self.dimension == 1 else five_point.coordinates(self.n)

    @cached_property
    def free(self) -> np.ndarray:
        inside = five_point.interior(self.n)
        return inside[:, 1] if self.dimension == 1 else inside.ravel()

    @cached_property
    def outputs(self) -> Mapping[str, Output]:
        """Mean and value at the centre."""
        return named(*nodal(self.coordinates))

    @property
    def grid_shape(self) -> tuple[int, ...]:
        return (self.n + 1,) * self.dimension

    @cached_property
    def relations(self) -> tuple[Relation, ...]:
        """K is an M-matrix and lambda e^u > 0, so that u >= 0. The smallest solution is the only one: reflections leave
        it as it is, a swap of the axes inverts the anisotropy, and it grows with lambda (that of a larger lambda is a
        supersolution).
        """

        def sizes(p: Array) -> Array:
            """The least eigenvalue of K: sum of weights times (2 sin(pi/2n))^2."""
            least = sum(self.difference_weights(p)) * (2 * np.sin(np.pi / (2 * self.n))) ** 2 * (1 - 1e-12)
            return jnp.where(self.free, jnp.sqrt(least), 0.0)

        positive = Bounded("maximum principle", "u >= 0", sizes, low=0.0)
        if self.branch != "lower":
            return (positive,)
        moved = dict.fromkeys(motions(self.grid_shape), unmoved)
        if self.dimension == 2:
            moved["swap of x and y"] = _turned
        entries = motions(self.grid_shape)
        return (
            positive,
            Growing("monotonicity", "u grows with lambda", sizes, 0),
            *(Symmetric(name, "u(g p) = g u(p)", there, entries[name]) for name, there in moved.items()),
        )

    @property
    def order(self) -> int:
        return 2

    @cached_property
    def coarser(self) -> Bratu:
        return replace(self, cells=halved(self.n, 4))

    @cached_property
    def sines(self) -> SineTransform:
        """In which the differences are diagonal."""
        return SineTransform(self.n, self.dimension)

    @cached_property
    def probing(self) -> ProbedJacobian:
        if self.dimension == 1:
            return stencil((self.n - 1,), [(-1,), (0,), (1,)], (1,), 3)
        star = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
        return stencil((self.n - 1, self.n - 1), star, (1, 2), 5)

    # ---- the scheme: sum_axis weight_axis (2 u_P - u_E - u_W) - lambda mass e^u --------------------------------------

    @property
    def mass(self) -> float:
        """Of a node: the length or area of a cell."""
        return float(self.n) ** -self.dimension

    def difference_weights(self, p: Any) -> list[Any]:
        """The weights of the second differences along the axes, the anisotropy and its inverse."""
        return [float(self.n)] if self.dimension == 1 else [p[1], 1 / p[1]]

    def inside(self, u: Float[Array, " N"]) -> Float[Array, "*m"]:
        """The interior values of a field, an array with an axis per dimension."""
        return u.reshape((self.n + 1,) * self.dimension)[(slice(1, -1),) * self.dimension]

    def around(self, inside: Float[Array, "*m"]) -> Float[Array, " N"]:
        """The field with these interior values, zero on the boundary."""
        return jnp.pad(inside, 1).reshape(-1)

    def differences(self, p: Any, v: Float[Array, "*k"], sign: int = -1) -> Float[Array, "*m"]:
        """The weighted second differences in the interior of a grid; ``sign`` = 1 of its absolute values adds them all:
        what roundings are proportional to.
        """
        line = self.dimension == 1
        inner, total = v[(slice(1, -1),) * self.dimension], jnp.zeros(())
        for axis, weight in enumerate(self.difference_weights(p)):
            before, after = (v[:-2], v[2:]) if line else five_point.neighbours(v, axis)
            total = total + weight * (2 * inner + sign * (before + after))
        return total

    def residual(self, p: Any, u: Any) -> Float[Array, " N"]:
        p, u = jnp.asarray(p, dtype=jnp.float64), jnp.asarray(u, dtype=jnp.float64)
        v = u.reshape((self.n + 1,) * self.dimension)
        inside = self.differences(p, v) - p[0] * self.mass * jnp.exp(self.inside(u))
        return jnp.where(self.free, self.around(inside), u - self.prescribe(p, u))

    def residual_rounding(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, ""]:
        v = jnp.abs(u).reshape((self.n + 1,) * self.dimension)
        total = self.differences(p, v, 1) + p[0] * self.mass * jnp.exp(self.inside(u))
        # Differences, weights and sums: 8 roundings at most; the exponential: 16 ulp, and its argument is exact.
        return gamma(40) * length(total)

    def load_size(self, p: Float[Array, " d"]) -> Float[Array, ""]:
        return p[0] * self.mass * np.sqrt((self.n - 1.0) ** self.dimension)

    def prescribe(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        return jnp.where(self.free, u, 0.0)

    def norm_matrix(self, p: Any) -> sp.csr_matrix:
        if self.dimension == 1:
            bands = [np.full(self.n - 2, -1.0), np.full(self.n - 1, 2.0), np.full(self.n - 2, -1.0)]
            return sp.diags(bands, [-1, 0, 1], format="csr") * self.n
        return sum(
            float(w) * five_point.second_matrix(self.n, axis) for axis, w in enumerate(self.difference_weights(p))
        )

    @property
    def norm_name(self) -> str:
        return "energy norm |v|_K" if self.dimension == 1 else "energy norm |v|_K(anisotropy)"

    @homogeneous
    def norm(self, p: Any, u: Any) -> Float[Array, ""]:
        p, u = jnp.asarray(p, dtype=jnp.float64), jnp.asarray(u, dtype=jnp.float64)
        v = u if self.dimension == 1 else u.reshape(self.n + 1, -1)
        total: Any = 0.0
        for axis, weight in enumerate(self.difference_weights(p)):
            jumps = jnp.diff(v, axis=axis)
            total = total + weight * jnp.vdot(jumps, jumps)
        return jnp.sqrt(total)

    # ---- the solve ---------------------------------------------------------------------------------------------------

    def solve_jax(self, p: Float[Array, " d"], tolerance: float | None = None) -> Attempt:
        tolerance = TOLERANCE if tolerance is None else tolerance

        def find(p: Array) -> Root:
            return bratu_lower.find(self, p, tolerance) if self.branch == "lower" else self._upper(p, tolerance)

        return self.finish(p, find, tolerance)

    def approximate_error(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        """About Newton's correction; on the lower branch by two applications of ``bratu_lower.near_inverse``."""
        if self.branch == "upper":
            return self.newton_error(p, u)
        inverse = bratu_lower.near_inverse(self, p, self.inside(u))
        r = self.inside(self.residual(p, u))
        e = inverse(r)
        image = jax.jvp(lambda v: self.residual(p, v), (u,), (self.around(e),))[1]
        return self.around(e + inverse(r - self.inside(image)))

    def _upper(self, p: Array, tolerance: float) -> Root:
        """Newton from a point of the curve beyond the fold; NaN where there is none."""

        def on_host(p: np.ndarray) -> np.ndarray:
            try:
                return _upper(self, float(p[0]), *(float(x) for x in p[1:]))
            except (ArithmeticError, ValueError):  # no point there, or a singular matrix on the way
                return np.full(int(self.free.sum()), np.nan)

        start = callback_float64(on_host, jnp.zeros(int(self.free.sum())), p)
        target = tolerance * self.load_size(p)
        return newton(lambda v: self.equation(p, v), lambda v, r: self.correction(p, v, r), start, target)

    def curve(self, anisotropy: float = 1.0) -> Curve:
        middle = np.ravel_multi_index((self.n // 2 - 1,) * self.dimension, (self.n - 1,) * self.dimension)
        return Curve(self.norm_matrix([1.0, anisotropy]), self.mass, int(middle))

    def fold(self, anisotropy: float = 1.0) -> float:
        """The largest lambda at which this grid has a solution; O(h^2) from that of the equation."""
        return _fold(self, float(anisotropy))[1].lam

    def explain(self, p: Float[np.ndarray, " d"], result: Attempt) -> str:
        try:
            fold = self.fold(*(float(x) for x in p[1:]))
        except (ArithmeticError, ValueError):  # the curve was lost before its fold: nothing is known
            return ""
        if p[0] > fold:
            where = "" if self.dimension == 1 else f" and anisotropy {p[1]:.6g}"
            return (
                f"no solution on this branch, nor on any other: lambda={p[0]:.6g} lies beyond the fold, which is at "
                f"{fold:.6g} for {self.n} cells{where}; take lambda below it"
            )
        if self.branch == "upper":
            return f"the upper branch was lost at lambda={p[0]:.6g}: take a larger lambda or more cells"
        return ""


@kept_by_problem(64)
def _fold(problem: Bratu, anisotropy: float) -> tuple[Curve, Point]:
    curve = problem.curve(anisotropy)
    return curve, curve.fold()


def _upper(problem: Bratu, lam: float, anisotropy: float = 1.0) -> np.ndarray:
    curve, fold = _fold(problem, anisotropy)
    return curve.upper(fold, lam)


def _turned(P: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """The inputs after a swap of the axes."""
    return np.stack([P[:, 0], 1 / P[:, 1]], axis=1)
