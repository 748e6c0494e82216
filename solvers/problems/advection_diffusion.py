"""Steady advection-diffusion with boundary or interior layers, monotone and second-order schemes.

    -diffusion Lap u + b . grad u = f  in (0, 1)^2,    b = speed (cos angle, sin angle)
    data = "source":  f = 1, u = 0 on the boundary (a layer along the outflow sides)
    data = "step":    f = 0, u = 1 on the side y = 0 and 0 on the others (a layer from the corner (0, 0) along b)

Discretisation: five-point differences on cells x cells squares, with a diffusion of the scheme's own along each axis a:

    central:   diffusion               second order; oscillates where the cell Peclet number |z_a| exceeds 1
    upwind:    diffusion + |b_a| h/2   first order; an M-matrix always: maximum principle, no oscillation
    fitted:    diffusion z_a coth z_a  second order once h resolves the layers; an M-matrix always; exact in the nodes
                                       for exp(b . x/diffusion) (Allen, Southwell 1955; Il'in 1969)
    z_a = b_a h/(2 diffusion)

Solved directly, by Fourier transforms with walls (``five_point_solve.py``). Inputs: angle in radians, speed, diffusion
(log-scaled); good ranges are speed/diffusion up to 1000. Reference: Roos, Stynes, Tobiska, Robust Numerical Methods for
Singularly Perturbed Differential Equations (2008), part III.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax import lax
from jaxtyping import Array, Float

from ..box import Box
from ..classes.indefinite import IndefiniteProblem
from ..discretisations import five_point, five_point_solve
from ..field_norm import homogeneous
from ..outputs import Output, named, nodal
from ..problem import Attempt, nan_unless
from ..relations.comparison import Bounded
from ..relations.relation import Relation
from ..relations.scaling import Homogeneous
from ..relations.symmetry import Symmetric, mirrored, motions
from ..settings import check_cells, check_range, halved

TOLERANCE = 1e-12
ORDERS = {"central": 2, "upwind": 1, "fitted": 2}
DATA = ("source", "step")


@dataclass(frozen=True, eq=False)
class AdvectionDiffusion(IndefiniteProblem):
    """See the module's docstring. ``angle``, ``speed`` and ``diffusion`` are (low, high).

    Raises:
        ValueError: fewer than 4 cells, an unknown scheme or data, ranges that are not increasing, a negative speed, a
            diffusion that is not positive.
    """

    methods = ("direct",)

    cells: int = 64
    scheme: str = "fitted"
    data: str = "source"
    angle: tuple[float, float] = (0.0, float(np.pi / 2))
    speed: tuple[float, float] = (0.5, 2.0)
    diffusion: tuple[float, float] = (0.01, 0.5)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "cells", check_cells(self.cells))
        if self.scheme not in ORDERS:
            raise ValueError(f"scheme must be one of {', '.join(ORDERS)}, not {self.scheme!r}")
        if self.data not in DATA:
            raise ValueError(f"data must be one of {', '.join(DATA)}, not {self.data!r}")
        put(self, "angle", check_range("angle", self.angle))
        put(self, "speed", check_range("speed", self.speed, 0.0))
        put(self, "diffusion", check_range("diffusion", self.diffusion, 0.0, open_end=True))

    @cached_property
    def inputs(self) -> Box:
        low, high = zip(self.angle, self.speed, self.diffusion, strict=True)
        names = ("angle", "speed", "diffusion")
        return Box(names, np.array(low), np.array(high), log=(False, False, True), units=("rad", "", ""))

    @property
    def shape(self) -> tuple[int, int, int]:
        return (1, (self.cells + 1) ** 2, 1)

    @cached_property
    def coordinates(self) -> Float[np.ndarray, "nodes 2"]:
        return five_point.coordinates(self.cells)

    @cached_property
    def free(self) -> np.ndarray:
        return five_point.interior(self.cells).ravel()

    @cached_property
    def outputs(self) -> Mapping[str, Output]:
        """Means and the value at the centre."""
        return named(*nodal(self.coordinates))

    @property
    def rounding_count(self) -> int:
        return 10  # a second difference (3), two central ones, four products and their sum, the load

    @property
    def input_field_names(self) -> tuple[str, ...]:
        return ("velocity x", "velocity y", "diffusion")

    def input_field(self, p: Float[Array, " d"]) -> Float[Array, "nodes channels"]:
        velocity = p[1] * jnp.stack([jnp.cos(p[0]), jnp.sin(p[0])])
        return self.constant_channels(jnp.append(velocity, self.scaled_inputs(p)[2]))

    @property
    def grid_shape(self) -> tuple[int, int]:
        return (self.cells + 1, self.cells + 1)

    @cached_property
    def relations(self) -> tuple[Relation, ...]:
        """Motions of the velocity, where the data allow them; only the cell Peclet number shapes the scheme; where its
        matrix is an M-matrix 0 <= u, and of the step also u <= 1, its values on the boundary.
        """
        motion, step = motions(self.grid_shape), self.data == "step"
        angles = {"reflection of x": np.pi, "reflection of y": 0.0, "swap of x and y": np.pi / 2}
        kept = {k: v for k, v in angles.items() if not step or k == "reflection of x"}
        in_values = jnp.asarray(self.free / self.cells)  # the norm is |u| / cells
        return (
            Bounded(
                "maximum principle", "0 <= u <= 1" if step else "0 <= u", lambda p: in_values, 0.0,
                1.0 if step else np.inf, lambda P: np.array([self.is_monotone(p) for p in P], dtype=bool),
            ),
            Homogeneous(
                "homogeneity", f"u(angle, c speed, c diffusion) = u(angle, speed, diffusion){'' if step else '/c'}",
                np.array([1, 2]), 0.0 if step else -1.0,
            ),
            *(Symmetric(k, "u(g angle) = g u(angle)", mirrored(0, total), motion[k]) for k, total in kept.items()),
        )  # fmt: skip

    @property
    def order(self) -> int:
        return ORDERS[self.scheme]

    @cached_property
    def coarser(self) -> AdvectionDiffusion:
        return replace(self, cells=halved(self.cells, 4))

    # ---- the operator: theta = (diffusion along x, along y, b_x, b_y) ------------------------------------------------

    def theta(self, p: Float[Array, " d"]) -> Float[Array, " Q"]:
        b = p[1] * jnp.stack([jnp.cos(p[0]), jnp.sin(p[0])])
        along = self._scheme_diffusion(b, p[2])
        return jnp.concatenate([along, b])

    def _scheme_diffusion(self, b: Float[Array, " 2"], diffusion: Array) -> Float[Array, " 2"]:
        if self.scheme == "upwind":
            return diffusion + jnp.abs(b) / (2 * self.cells)
        if self.scheme == "fitted":
            return diffusion * _z_coth_z(b / (2 * self.cells * diffusion))
        return jnp.broadcast_to(diffusion, b.shape)

    def is_monotone(self, p: Any) -> bool:
        """Whether the matrix is an M-matrix at p: no off-diagonal entry is positive, so a maximum principle holds."""
        theta = np.asarray(self.theta(jnp.asarray(p, dtype=jnp.float64)))
        return bool((theta[:2] >= np.abs(theta[2:]) / (2 * self.cells)).all())

    def load(self, p: Float[Array, " d"]) -> Float[Array, " N"]:
        return jnp.asarray(self.free / self.cells**2 if self.data == "source" else np.zeros(self.size))

    @cached_property
    def _boundary(self) -> np.ndarray:
        """The prescribed values, zero inside. Corners enter no stencil; they lie on y = 0 as well as on x = 0, 1."""
        values = np.zeros((self.cells + 1, self.cells + 1))
        if self.data == "step":
            values[:, 0] = 1.0
        return values.ravel()

    def prescribe(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        return jnp.where(self.free, u, jnp.asarray(self._boundary))

    def _grid(self, u: Array) -> Array:
        return u.reshape(self.cells + 1, self.cells + 1)

    def apply(self, theta: Float[Array, " Q"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        v = self._grid(u)
        total: Any = 0.0
        for axis in (0, 1):
            advection = theta[2 + axis] / (2 * self.cells)
            total = total + theta[axis] * five_point.second(v, axis) + advection * five_point.central(v, axis)
        return five_point.pad(total).reshape(-1)

    def apply_absolute(self, theta: Float[Array, " Q"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        v, weight = jnp.abs(self._grid(u)), jnp.abs(theta)
        total: Any = 0.0
        for axis in (0, 1):
            beside = sum(five_point.neighbours(v, axis))
            total = total + weight[axis] * (2 * v[1:-1, 1:-1] + beside) + weight[2 + axis] / (2 * self.cells) * beside
        return five_point.pad(total).reshape(-1)

    @cached_property
    def _parts(self) -> list[sp.csr_matrix]:
        second = [five_point.second_matrix(self.cells, axis) for axis in (0, 1)]
        return second + [five_point.central_matrix(self.cells, axis) / (2 * self.cells) for axis in (0, 1)]

    def matrix(self, theta: Float[np.ndarray, " Q"]) -> sp.csr_matrix:
        first, *others = (w * part for w, part in zip(np.asarray(theta, dtype=np.float64), self._parts, strict=True))
        return sum(others, first)

    def norm_matrix(self) -> sp.csr_matrix:
        return sp.identity((self.cells - 1) ** 2, format="csr") / self.cells**2

    @property
    def norm_name(self) -> str:
        return "L2 norm"

    @homogeneous
    def norm(self, p: Any, u: Any) -> Float[Array, ""]:
        u = jnp.asarray(u, dtype=jnp.float64)
        return jnp.sqrt(jnp.vdot(u, u)) / self.cells

    # ---- the solve ---------------------------------------------------------------------------------------------------

    def solve_inside(self, theta: Float[Array, " Q"], b: Float[Array, "m m"]) -> Float[Array, "m m"]:
        """A(theta)^-1 b in the interior nodes, refined once; differentiable in both."""

        def apply(theta: Array, v: Array) -> Float[Array, "m m"]:
            return self._grid(self.apply(theta, five_point.pad(v).reshape(-1)))[1:-1, 1:-1]

        def solve(theta: Array, b: Array) -> Float[Array, "m m"]:
            factors = five_point_solve.factors(theta, self.cells)
            v = five_point_solve.solve(factors, b)
            return v + five_point_solve.solve(factors, b - apply(theta, v))

        known = lax.stop_gradient(theta)
        return lax.custom_linear_solve(
            lambda v: apply(theta, v),
            b,
            lambda _, b: solve(known, b),
            lambda _, b: solve(five_point_solve.transposed(known), b),
        )

    def approximate_error(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        """The error itself: that of another operator says little where diffusion is small."""
        theta = self.theta(p)
        r = self._grid(self.apply(theta, u) - self.load(p))[1:-1, 1:-1]
        return five_point.pad(self.solve_inside(theta, r)).reshape(-1)

    def solve_jax(self, p: Float[Array, " d"], tolerance: float | None = None) -> Attempt:
        tolerance = TOLERANCE if tolerance is None else tolerance
        theta = self.theta(p)
        f = self.load(p)
        b = self._grid(f - self.apply(theta, jnp.asarray(self._boundary)))[1:-1, 1:-1]
        u = five_point.pad(self.solve_inside(theta, b)).reshape(-1) + self._boundary
        defect = jnp.where(self.free, f - self.apply(theta, u), 0.0)
        size = jnp.sqrt(jnp.vdot(b, b))
        residual = jnp.sqrt(jnp.vdot(defect, defect)) / size
        good = residual <= jnp.maximum(tolerance, 4 * self.residual_rounding(theta, f, u) / size)
        return Attempt(nan_unless(good, u), residual, jnp.asarray(1), jnp.asarray(0))


def _z_coth_z(z: Float[Array, " k"]) -> Float[Array, " k"]:
    """z coth z and its derivatives, also at and near z = 0 (where its Taylor series takes over) and for large z."""
    small = jnp.abs(z) < 0.1
    away = jnp.where(small, 1.0, z)
    q = z * z
    # z coth z = sum of 2^(2k) B_2k z^2k/(2k)!; the first term left out is 2.2e-6 z^12 < 3e-18 here.
    series = 1 + q * (1 / 3 + q * (-1 / 45 + q * (2 / 945 + q * (-1 / 4725 + q * 2 / 93555))))
    decay = jnp.exp(-2 * jnp.abs(away))
    return jnp.where(small, series, jnp.abs(away) * (1 + decay) / (1 - decay))
