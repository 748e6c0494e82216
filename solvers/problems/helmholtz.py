"""Interior Helmholtz equation with damping and a source, near and across resonances.

    -Lap u - k2 (1 + i damping) u = g  in (0, 1)^2,    u = 0 on the boundary,    u complex
    g(x) = exp(-|x - (source_x, source_y)|^2 / (2 width^2)) / (2 pi width^2)

Undamped resonances at k2 = pi^2 (m^2 + n^2) = 19.74, 49.35, 78.96, ...: there no solution exists without damping.
Discretisation: five-point differences on cells x cells squares, second order: (k h)^2/12 relative in the wave number
squared, so that near a resonance at distance d the error is about k2 (k h)^2/(12 d). Solved exactly by sine
transforms. The field has two components per node, the real and the imaginary part. Inputs: k2, damping, source_x,
source_y; good ranges are k2 up to (cells/3)^2 (twenty cells per wave) and damping from 0.01; with damping from 0
resonances can be hit. Reference: Ihlenburg, Finite Element Analysis of Acoustic Scattering (1998), chapter 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float

from ..box import Box
from ..classes.indefinite import IndefiniteProblem
from ..discretisations import five_point
from ..field_norm import homogeneous
from ..outputs import Output, named, nodal
from ..precision import gamma
from ..problem import Attempt, nan_unless
from ..relations.relation import Relation
from ..relations.symmetry import Symmetric, mirrored, motions, permuted
from ..settings import check_cells, check_range, halved

TOLERANCE = 1e-11
EXACT_HIT = 1e-9  # relative distance of k2 (1 + i damping) to a resonance at which no solution is given


@dataclass(frozen=True, eq=False)
class Helmholtz(IndefiniteProblem):
    """See the module's docstring. ``k2``, ``damping`` and ``place`` (of the source, both coordinates) are (low, high).

    Raises:
        ValueError: fewer than 4 cells; ranges that are not increasing, k2 not positive, damping negative, a source
            outside the square or narrower than a cell.
    """

    methods = ("sine-transform",)

    cells: int = 64
    k2: tuple[float, float] = (5.0, 75.0)
    damping: tuple[float, float] = (0.01, 0.1)
    place: tuple[float, float] = (0.2, 0.8)
    width: float = 0.08

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "cells", check_cells(self.cells))
        put(self, "k2", check_range("k2", self.k2, 0.0, open_end=True))
        put(self, "damping", check_range("damping", self.damping, 0.0))
        put(self, "place", check_range("place", self.place, 0.0))
        if self.place[1] > 1:
            raise ValueError(f"place must lie in the unit square, not reach {self.place[1]:g}")
        if not 1 / self.cells <= self.width < np.inf:
            raise ValueError(
                f"width={self.width} of the source is less than a cell: take more than {self.cells} cells "
                "or a wider source"
            )

    @cached_property
    def inputs(self) -> Box:
        low, high = zip(self.k2, self.damping, self.place, self.place, strict=True)
        return Box(("k2", "damping", "source_x", "source_y"), np.array(low), np.array(high))

    @property
    def shape(self) -> tuple[int, int, int]:
        return (1, (self.cells + 1) ** 2, 2)

    @property
    def component_names(self) -> tuple[str, ...]:
        return ("real part", "imaginary part")

    @cached_property
    def coordinates(self) -> Float[np.ndarray, "nodes 2"]:
        return five_point.coordinates(self.cells)

    @cached_property
    def free(self) -> np.ndarray:
        return np.repeat(five_point.interior(self.cells).ravel(), 2)

    @cached_property
    def outputs(self) -> Mapping[str, Output]:
        """Means and the value at the centre, real and imaginary part."""
        return named(*nodal(self.coordinates, ("-real", "-imaginary")))

    @property
    def rounding_count(self) -> int:
        return 14  # two second differences (3 each), two products and sums of them (4), the load's subtraction

    @property
    def input_field_names(self) -> tuple[str, ...]:
        return ("k2", "damping", "source")

    def input_field(self, p: Float[Array, " d"]) -> Float[Array, "nodes channels"]:
        square = sum((x - place) ** 2 for x, place in zip(self.coordinates.T, p[2:], strict=True))
        source = jnp.exp(-square / (2 * self.width**2)) / (2 * np.pi * self.width**2)
        return jnp.column_stack([self.constant_channels(self.scaled_inputs(p)[:2]), source])

    @property
    def grid_shape(self) -> tuple[int, int]:
        return (self.cells + 1, self.cells + 1)

    @cached_property
    def relations(self) -> tuple[Relation, ...]:
        """The source is moved, the operator and the norm stay as they are."""
        moved = {
            "reflection of x": mirrored(2, 1.0),
            "reflection of y": mirrored(3, 1.0),
            "swap of x and y": permuted(np.array([0, 1, 3, 2])),
        }
        entries = motions(self.grid_shape, 2)
        return tuple(
            Symmetric(name, "u(g source) = g u(source)", there, entries[name]) for name, there in moved.items()
        )

    @property
    def order(self) -> int:
        return 2

    @cached_property
    def coarser(self) -> Helmholtz:
        return replace(self, cells=halved(self.cells, 4))

    # ---- the operator: theta = (1, k2, k2 damping), A_1 = -h^2 Lap, A_2 = -h^2, A_3 = -h^2 i -------------------------

    def theta(self, p: Float[Array, " d"]) -> Float[Array, " Q"]:
        return jnp.stack([jnp.ones_like(p[0]), p[0], p[0] * p[1]])

    def _parts(self, u: Array) -> tuple[Array, Array]:
        grid = u.reshape(self.cells + 1, self.cells + 1, 2)
        return grid[..., 0], grid[..., 1]

    def _flat(self, real: Array, imaginary: Array) -> Float[Array, " N"]:
        """The field with these interior values of the real and the imaginary part."""
        return jnp.stack([five_point.pad(real), five_point.pad(imaginary)], axis=-1).reshape(-1)

    def bells(self, p: Float[Array, " d"]) -> list[Float[Array, " m"]]:
        """The source's factors along each axis, inside; their product times ``source_scale`` is the load."""
        x = jnp.asarray(np.arange(1, self.cells) / self.cells)
        return [jnp.exp(-((x - place) ** 2) / (2 * self.width**2)) for place in (p[2], p[3])]

    @property
    def source_scale(self) -> float:
        return float(1 / (2 * np.pi * self.width**2 * self.cells**2))

    def load(self, p: Float[Array, " d"]) -> Float[Array, " N"]:
        bells = self.bells(p)
        g = self.source_scale * bells[0][:, None] * bells[1][None, :]
        return self._flat(g, jnp.zeros_like(g))

    def prescribe(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        return jnp.where(self.free, u, 0.0)

    def apply(self, theta: Float[Array, " Q"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        a, b = self._parts(u)
        mass = theta[1:] / self.cells**2
        stiff = [theta[0] * (five_point.second(v, 0) + five_point.second(v, 1)) for v in (a, b)]
        a, b = a[1:-1, 1:-1], b[1:-1, 1:-1]
        return self._flat(stiff[0] - (mass[0] * a - mass[1] * b), stiff[1] - (mass[0] * b + mass[1] * a))

    def apply_absolute(self, theta: Float[Array, " Q"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        a, b = (jnp.abs(v) for v in self._parts(u))
        weight = jnp.abs(theta)
        mass = weight[1:] / self.cells**2

        def stiff(v: Array) -> Array:
            return weight[0] * (4 * v[1:-1, 1:-1] + sum(sum(five_point.neighbours(v, axis)) for axis in (0, 1)))

        inner, outer = a[1:-1, 1:-1], b[1:-1, 1:-1]
        return self._flat(stiff(a) + mass[0] * inner + mass[1] * outer, stiff(b) + mass[0] * outer + mass[1] * inner)

    @cached_property
    def _laplacian(self) -> sp.csr_matrix:
        return five_point.second_matrix(self.cells, 0) + five_point.second_matrix(self.cells, 1)

    def matrix(self, theta: Float[np.ndarray, " Q"]) -> sp.csr_matrix:
        theta = np.asarray(theta, dtype=np.float64)
        mass = theta[1:] / self.cells**2
        coupling = np.array([[-mass[0], mass[1]], [-mass[1], -mass[0]]])
        unit = sp.identity((self.cells - 1) ** 2, format="csr")
        return (theta[0] * sp.kron(self._laplacian, np.eye(2)) + sp.kron(unit, coupling)).tocsr()

    def norm_matrix(self) -> sp.csr_matrix:
        unit = sp.identity((self.cells - 1) ** 2, format="csr")
        return sp.kron(self._laplacian + unit / self.cells**2, np.eye(2), format="csr")

    @property
    def norm_name(self) -> str:
        return "H1 norm (|grad v|^2 + |v|^2)^(1/2)"

    @homogeneous
    def norm(self, p: Any, u: Any) -> Float[Array, ""]:
        total: Any = 0.0
        for v in self._parts(jnp.asarray(u, dtype=jnp.float64)):
            along_x, along_y = jnp.diff(v, axis=0), jnp.diff(v, axis=1)
            total = total + jnp.vdot(along_x, along_x) + jnp.vdot(along_y, along_y) + jnp.vdot(v, v) / self.cells**2
        return jnp.sqrt(total)

    # ---- the solve ---------------------------------------------------------------------------------------------------

    @cached_property
    def _eigen(self) -> tuple[np.ndarray, np.ndarray]:
        """The orthonormal sine matrix and the eigenvalues of the discrete -h^2 Lap by wave numbers."""
        n = self.cells
        wave = np.arange(1, n)
        sines = np.sqrt(2 / n) * np.sin(np.pi * np.outer(wave, wave) / n)
        along = 4 * np.sin(np.pi * wave / (2 * n)) ** 2
        return sines, along[:, None] + along[None, :]

    @cached_property
    def _resonances(self) -> tuple[np.ndarray, np.ndarray]:
        """k2 of the resonances of the equation and of this grid, by wave numbers."""
        wave = np.arange(1, self.cells)
        return np.pi**2 * (wave[:, None] ** 2 + wave[None, :] ** 2), self._eigen[1] * self.cells**2

    def solve_jax(self, p: Float[Array, " d"], tolerance: float | None = None) -> Attempt:
        tolerance = TOLERANCE if tolerance is None else tolerance
        n = self.cells
        sines, eigenvalues = self._eigen
        f = self.load(p)
        hats = [sines @ bell for bell in self.bells(p)]
        g = self.source_scale * hats[0][:, None] * hats[1][None, :]
        # g / (gap - i loss), written out in real numbers
        gap, loss = eigenvalues - p[0] / n**2, p[0] * p[1] / n**2
        hit = jnp.min(jnp.stack([jnp.min((p[0] - k2) ** 2) for k2 in self._resonances]))
        hit = hit + (p[0] * p[1]) ** 2 <= (EXACT_HIT * p[0]) ** 2
        scale = jnp.where(hit, 1.0, gap**2 + loss**2)
        u = self._flat(sines @ (g * gap / scale) @ sines, sines @ (g * loss / scale) @ sines)
        theta = self.theta(p)
        defect = f - self.apply(theta, u)
        size = jnp.sqrt(jnp.vdot(f, f))
        residual = jnp.sqrt(jnp.vdot(defect, defect)) / size
        absolute = self.apply_absolute(theta, u)
        floor = gamma(4 * n) * jnp.sqrt(jnp.vdot(absolute, absolute)) / size  # the transform sums n terms four times
        good = ~hit & (residual <= jnp.maximum(tolerance, floor))
        method = jnp.asarray(0)
        return Attempt(nan_unless(good, u), residual, jnp.asarray(1), method)

    def approximate_error(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        """The error itself: sine transforms invert the operator whatever k2 is. Any other operator would have other
        resonances, and near one a small residual may be a large error.
        """
        sines, eigenvalues = self._eigen
        a, b = (sines @ part[1:-1, 1:-1] @ sines for part in self._parts(self.apply(self.theta(p), u) - self.load(p)))
        gap, loss = eigenvalues - p[0] / self.cells**2, p[0] * p[1] / self.cells**2
        scale = gap**2 + loss**2
        real, imaginary = (a * gap - b * loss) / scale, (a * loss + b * gap) / scale
        return self._flat(sines @ real @ sines, sines @ imaginary @ sines)

    def explain(self, p: Float[np.ndarray, " d"], result: Attempt) -> str:
        equation, grid = self._resonances
        for k2, whose in ((equation, "of the equation"), (grid, f"of the grid of {self.cells} cells")):
            m, n = np.unravel_index(np.argmin(abs(k2 - p[0])), k2.shape)
            if np.hypot(k2[m, n] - p[0], p[0] * p[1]) <= EXACT_HIT * p[0]:
                return (
                    f"k2 is the undamped resonance ({m + 1}, {n + 1}) {whose} at {k2[m, n]:.12g} and damping is zero, "
                    "so that no solution exists: take damping above 0 or move k2 off the resonance"
                )
        return ""
