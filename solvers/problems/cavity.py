"""Lid-driven cavity: steady incompressible Navier-Stokes in the unit square, by the streamfunction alone.

    u w_x + v w_y = (w_xx + w_yy) / reynolds,   w = -Lap psi,   u = psi_y,   v = -psi_x
    psi = 0 on the boundary;  u = g(x) on the lid y = 1, no slip on the other walls
    g(x) = 1 - profile + profile 16 x^2 (1 - x)^2

profile = 0 is the classical lid, whose velocity jumps in the upper corners (the vorticity is infinite there); profile
= 1 is the regularised one (Shen 1991). The field is psi in the nodes; ``velocity`` and ``vorticity`` read it.

Discretisation: finite volumes on the image of cells x cells equal squares under x = t - stretch sin(2 pi t)/(2 pi) in
both directions, dense at the walls. With K the stiffness of the five-point Laplacian on all nodes, M the areas of the
dual cells:

    w = M^-1 (K psi - b(g))          at the walls this is Thom's formula
    K w + reynolds J(psi, w) = 0     in interior nodes; J is Arakawa's J^{+x}, for which sum psi J(psi, w) = 0 exactly

Second order in the velocity for profile = 1 and, away from the corners, for every profile; with the corners first
order for profile < 1. Newton's method (thirteen-point Jacobian, sparse LU, whose factors serve as long as steps with
them are good), started on coarser grids and, on the coarsest, from lower Reynolds numbers. Inputs: reynolds
(log-scaled), profile; good ranges are reynolds up to 1000 for 64 cells, 3000 for 128. Reference: Arakawa, J. Comput.
Phys. 1 (1966); Botella, Peyret, Computers & Fluids 27 (1998);
E, Liu, J. Comput. Phys. 124 (1996).
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
from scipy.interpolate import make_interp_spline

from ..box import Box
from ..classes.nonlinear import NonlinearProblem
from ..discretisations import five_point
from ..field_norm import homogeneous
from ..linear_algebra.implicit import Root, chord
from ..linear_algebra.sparse_lu import ProbedJacobian, stencil
from ..outputs import Output, named, output
from ..precision import gamma
from ..problem import Attempt
from ..settings import check_cells, check_range, halved

TOLERANCE = 1e-10
COARSEST = 16  # cells of the grid that starts from rest
START_TOLERANCE = 1e-3  # relative residual of the solutions that only start others
KEEP = 0.1  # a Jacobian is kept while a step with it leaves at most this of the residual
# Shares of the Reynolds number at which Newton's method runs: at the whole from the solution on a coarser grid; where
# that fails or there is none, at a tenth from rest, and from there at four tenths and at the whole.
STAGES = np.array([1.0, 0.1, 0.4, 1.0])


@dataclass(frozen=True, eq=False)
class Cavity(NonlinearProblem):
    """See the module's docstring. ``reynolds`` and ``profile`` are (low, high).

    Raises:
        ValueError: fewer than 8 cells, a stretch outside [0, 0.95], ranges that are not increasing, a Reynolds number
            that is not positive, a profile outside [0, 1].
    """

    cells: int = 96
    stretch: float = 0.8
    reynolds: tuple[float, float] = (10.0, 1000.0)
    profile: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "cells", check_cells(self.cells, 8))
        if not 0 <= self.stretch <= 0.95:
            raise ValueError(f"stretch must lie in [0, 0.95], 0 for equal cells, not {self.stretch}")
        put(self, "reynolds", check_range("reynolds", self.reynolds, 0.0, open_end=True))
        put(self, "profile", check_range("profile", self.profile, 0.0))
        if self.profile[1] > 1:
            raise ValueError(f"profile blends two lids and lies in [0, 1], not up to {self.profile[1]:g}")

    @cached_property
    def inputs(self) -> Box:
        low, high = zip(self.reynolds, self.profile, strict=True)
        return Box(("reynolds", "profile"), np.array(low), np.array(high), log=(True, False))

    @property
    def shape(self) -> tuple[int, int, int]:
        return (1, (self.cells + 1) ** 2, 1)

    @cached_property
    def ticks(self) -> Float[np.ndarray, " n+1"]:
        """The nodes along each axis."""
        t = np.arange(self.cells + 1) / self.cells
        return t - self.stretch / (2 * np.pi) * np.sin(2 * np.pi * t)

    @cached_property
    def coordinates(self) -> Float[np.ndarray, "nodes 2"]:
        x, y = np.meshgrid(self.ticks, self.ticks, indexing="ij")
        return np.stack([x.ravel(), y.ravel()], axis=1)

    @cached_property
    def free(self) -> np.ndarray:
        return five_point.interior(self.cells).ravel()

    @property
    def input_field_names(self) -> tuple[str, ...]:
        return ("reynolds", "lid velocity")

    def input_field(self, p: Float[Array, " d"]) -> Float[Array, "nodes channels"]:
        lid = jnp.zeros(self.grid_shape).at[:, -1].set(self.lid(p)).reshape(-1)
        return jnp.column_stack([self.constant_channels(self.scaled_inputs(p)[:1]), lid])

    @property
    def grid_shape(self) -> tuple[int, int]:
        return (self.cells + 1, self.cells + 1)

    @property
    def order(self) -> int:
        return 2

    def order_at(self, p: Any) -> int:
        """Of the velocity in L2: one where it jumps in the corners."""
        return 2 if np.asarray(p, dtype=np.float64).reshape(-1)[1] >= 1 else 1

    @cached_property
    def coarser(self) -> Cavity:
        return replace(self, cells=halved(self.cells, 8))

    @cached_property
    def probing(self) -> ProbedJacobian:
        diamond = [(i, j) for i in range(-2, 3) for j in range(-2, 3) if abs(i) + abs(j) <= 2]
        return stencil((self.cells - 1, self.cells - 1), diamond, (1, 8), 13)

    # ---- the scheme --------------------------------------------------------------------------------------------------

    @cached_property
    def widths(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the cells and, halves at the walls, of the dual cells around the nodes."""
        h = np.diff(self.ticks)
        return h, (np.append(h, 0) + np.append(0, h)) / 2

    def lid(self, p: Float[Array, " d"]) -> Float[Array, " n+1"]:
        """g in the nodes of the lid."""
        return (1 - p[1]) + p[1] * (16 * self.ticks**2 * (1 - self.ticks) ** 2)

    def curl(self, psi: Array, g: Array, sign: float = -1.0) -> Float[Array, "n+1 n+1"]:
        """w in all nodes (the four corners, where it has no meaning, enter no equation).

        ``sign`` = +1 with nonnegative arguments: the same with all terms added, to bound rounding errors.
        """
        h, dual = self.widths
        slopes_x = (psi[1:] + sign * psi[:-1]) / h[:, None]
        slopes_y = (psi[:, 1:] + sign * psi[:, :-1]) / h[None, :]
        slopes_x = jnp.pad(slopes_x, ((1, 1), (0, 0)))  # psi_x = -v = 0 on the side walls
        slopes_y = jnp.concatenate([jnp.zeros((len(g), 1)), slopes_y, g[:, None]], axis=1)
        falls_x = sign * slopes_x[1:] + slopes_x[:-1]
        falls_y = sign * slopes_y[:, 1:] + slopes_y[:, :-1]
        return falls_x / dual[:, None] + falls_y / dual[None, :]

    def transport(self, reynolds: Array, psi: Array, w: Array, sign: float = -1.0) -> Float[Array, "n-1 n-1"]:
        """K w + reynolds J(psi, w) in interior nodes; ``sign`` as above."""
        h, dual = self.widths
        slopes_x = (w[1:, 1:-1] + sign * w[:-1, 1:-1]) / h[:, None]
        slopes_y = (w[1:-1, 1:] + sign * w[1:-1, :-1]) / h[None, :]
        falls_x = (sign * slopes_x[1:] + slopes_x[:-1]) * dual[None, 1:-1]
        falls_y = (sign * slopes_y[:, 1:] + slopes_y[:, :-1]) * dual[1:-1, None]
        along_y = psi[:, 2:] + sign * psi[:, :-2]  # 2 u times the width, in every column
        along_x = psi[2:] + sign * psi[:-2]
        flux_x = w[:, 1:-1] * along_y
        flux_y = w[1:-1] * along_x
        advection = (flux_x[2:] + sign * flux_x[:-2]) + sign * (flux_y[:, 2:] + sign * flux_y[:, :-2])
        return falls_x + falls_y + reynolds / 4 * advection

    def grid(self, u: Array) -> Array:
        return u.reshape(self.cells + 1, self.cells + 1)

    def residual(self, p: Any, u: Any) -> Float[Array, " N"]:
        p, u = jnp.asarray(p, dtype=jnp.float64), jnp.asarray(u, dtype=jnp.float64)
        psi = self.grid(u)
        inside = self.transport(p[0], psi, self.curl(psi, self.lid(p)))
        return jnp.where(self.free, five_point.pad(inside).reshape(-1), u - self.prescribe(p, u))

    def residual_rounding(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, ""]:
        psi = jnp.abs(self.grid(u))
        total = self.transport(p[0], psi, self.curl(psi, jnp.abs(self.lid(p)), 1.0), 1.0)
        # At most 9 roundings to w (lid included), 9 more to the sum, and those of the widths, 2 for each of 4 divisors.
        return gamma(26) * jnp.sqrt(jnp.vdot(total, total))

    def load_size(self, p: Float[Array, " d"]) -> Float[Array, ""]:
        at_rest = self.residual(p, jnp.zeros(self.size))
        return jnp.sqrt(jnp.vdot(at_rest, at_rest))

    def prescribe(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        return jnp.where(self.free, u, 0.0)

    def norm_matrix(self, p: Any) -> sp.csr_matrix:
        h, dual = self.widths
        bands = [-1 / h[1:-1], 1 / h[:-1] + 1 / h[1:], -1 / h[1:-1]]
        stiff, mass = sp.diags(bands, [-1, 0, 1]), sp.diags(dual[1:-1])
        return (sp.kron(stiff, mass) + sp.kron(mass, stiff)).tocsr()

    @property
    def norm_name(self) -> str:
        return "L2 norm of the velocity"

    @homogeneous
    def norm(self, p: Any, u: Any) -> Float[Array, ""]:
        psi = self.grid(jnp.asarray(u, dtype=jnp.float64))
        h, dual = self.widths
        along_x, along_y = jnp.diff(psi, axis=0), jnp.diff(psi, axis=1)
        return jnp.sqrt(
            jnp.sum(along_x**2 / h[:, None] * dual[None, :]) + jnp.sum(along_y**2 / h[None, :] * dual[:, None])
        )

    def vorticity(self, p: Any, u: Any) -> Float[Array, " N"]:
        """w of the scheme in all nodes; zero in the four corners, where it has no meaning."""
        p, u = jnp.asarray(p, dtype=jnp.float64), jnp.asarray(u, dtype=jnp.float64)
        w = self.curl(self.grid(u), self.lid(p))
        ends = np.array([0, 0, -1, -1]), np.array([0, -1, 0, -1])
        return w.at[ends].set(0.0).reshape(-1)

    def velocity(self, p: Any, u: Any) -> Float[Array, "nodes 2"]:
        """(u, v) in all nodes: on the walls as prescribed, inside from cubic splines with the walls' slopes."""
        p, u = jnp.asarray(p, dtype=jnp.float64), jnp.asarray(u, dtype=jnp.float64)
        inner, ends = self._slopes
        g = self.lid(p)
        across = jnp.asarray(inner) @ self.grid(u).T + jnp.outer(ends, g)  # psi_y, y first
        upward = -(jnp.asarray(inner) @ self.grid(u))
        across = five_point.pad(across.T[1:-1, 1:-1]).at[:, -1].set(g)
        return jnp.stack([across.reshape(-1), five_point.pad(upward[1:-1, 1:-1]).reshape(-1)], axis=1)

    @cached_property
    def outputs(self) -> Mapping[str, Output]:
        """Velocity at the centre, streamfunction there, and the kinetic energy."""
        n, (inner, ends) = self.cells, self._slopes
        i = n // 2

        def row(index: Any, slopes: Any) -> np.ndarray:
            weights = np.zeros((n + 1, n + 1))
            weights[index] = slopes
            return weights.ravel()

        across = Output(
            "u-centre", constant=row(np.s_[i, :], inner[i]), offset=lambda p: self.lid(p)[i] * float(ends[i])
        )
        upward = output("v-centre", row(np.s_[:, i], -inner[i]))
        return named(across, upward, output("psi-centre", row(np.s_[i, i], 1.0)), Output("kinetic-energy", square=0.5))

    @cached_property
    def _slopes(self) -> tuple[Float[np.ndarray, "n+1 n+1"], Float[np.ndarray, " n+1"]]:
        """Slopes of the splines through unit vectors, flat at both ends, and of that with slope 1 at the end."""
        unit = np.eye(self.cells + 1)
        flat = [(1, np.zeros(self.cells + 1))]
        inner = make_interp_spline(self.ticks, unit, k=3, bc_type=(flat, flat)).derivative()(self.ticks)
        end = make_interp_spline(self.ticks, unit[0] * 0, k=3, bc_type=([(1, 0.0)], [(1, 1.0)]))
        return inner, end.derivative()(self.ticks)

    # ---- the solve ---------------------------------------------------------------------------------------------------

    @cached_property
    def _starter(self) -> Cavity | None:
        """The coarser problem whose solution starts this one's."""
        return self.coarser if self.cells % 2 == 0 and self.cells // 2 >= COARSEST else None

    @cached_property
    def _prolongation(self) -> Float[np.ndarray, "n+1 m+1"]:
        """Cubic spline interpolation from the coarser ticks."""
        return make_interp_spline(self.coarser.ticks, np.eye(self.cells // 2 + 1), k=3)(self.ticks)

    def _find(self, p: Array, tolerance: float) -> Root:
        """Newton's method from the coarser solution; without one, or where that fails, from rest by ``STAGES``."""
        guess, done, first = jnp.zeros(int(self.free.sum())), jnp.zeros(()), 1
        if self._starter is not None:
            rough = self._starter._find(p, START_TOLERANCE)
            across = jnp.asarray(self._prolongation)
            psi = across @ self._starter.grid(self._starter.field(p, rough.u)) @ across.T
            guess, done, first = psi[1:-1, 1:-1].reshape(-1), rough.iterations, 0
        enough = jnp.sqrt(tolerance) * self.load_size(p)  # a stage that has come this far has converged

        def go_on(state: tuple[Array, Root]) -> Array:
            k, root = state
            return (k < len(STAGES)) & ((k != 1) | ~(root.residual <= enough) | (first == 1))

        def stage(state: tuple[Array, Root]) -> tuple[Array, Root]:
            k, root = state
            at = p.at[0].multiply(jnp.asarray(STAGES)[k])
            start = jnp.where(k == 1, 0.0, root.u)
            target = tolerance * self.load_size(at)
            now = chord(
                lambda v: self.equation(at, v),
                lambda v: self.jacobian_entries(at, v),
                self.probing.lu.solve,
                start,
                target,
                KEEP,
            )
            return k + 1, now._replace(iterations=root.iterations + now.iterations)

        return lax.while_loop(go_on, stage, (jnp.asarray(first), Root(guess, jnp.asarray(jnp.inf), done)))[1]

    def solve_jax(self, p: Float[Array, " d"], tolerance: float | None = None) -> Attempt:
        tolerance = TOLERANCE if tolerance is None else tolerance
        return self.finish(p, lambda p: self._find(p, tolerance), tolerance)

    def explain(self, p: Float[np.ndarray, " d"], result: Attempt) -> str:
        widest = float(self.widths[0].max())
        return (
            f"Newton's method diverged at reynolds={p[0]:.6g}, where the widest cell's Reynolds number is "
            f"{p[0] * widest:.3g}: take more than {self.cells} cells or a lower Reynolds number"
        )
