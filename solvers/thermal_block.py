"""Thermal block: steady heat conduction in a square of bx x by blocks, each with its own conductivity.

    -div(k grad u) = 1  in (0, 1)^2,    u = 0 on the boundary,    k = p[i * by + j] in the block i-th in x and j-th in y

Discretisation: bilinear (Q1) elements on cells x cells equal squares, exact integration; second order in L2, first in
the energy norm (regularity near the block corners permitting). Inputs: bx * by conductivities, log-scaled in [low,
high]; good ranges are 2 to 9 blocks and contrasts high/low of 10 to 1000. Homogeneous: u(c p) = u(p) / c.
Reference: Quarteroni, Manzoni, Negri, Reduced Basis Methods for PDEs (2016), section 6.1.1 (there with a Neumann side).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax import lax
from jaxtyping import Array, Float

from . import multigrid, q1, sine
from .box import Box
from .coercive import CoerciveProblem
from .direct import host_call, solve_refined
from .precision import gamma
from .problem import METHODS, Attempt

TOLERANCE = 1e-12


@dataclass(frozen=True, eq=False)
class ThermalBlock(CoerciveProblem):
    """See the module's docstring. ``cells`` per side must be a multiple of both block counts.

    Raises:
        ValueError: no blocks, cells not a multiple of the blocks or too few, low >= high or not positive.
    """

    blocks: tuple[int, int] = (2, 2)
    cells: int = 64
    low: float = 0.1
    high: float = 10.0

    def __post_init__(self) -> None:
        try:
            bx, by = (operator.index(b) for b in self.blocks)
        except (TypeError, ValueError):
            raise ValueError(f"blocks are two whole numbers, along x and along y, not {self.blocks!r}") from None
        object.__setattr__(self, "blocks", (bx, by))
        if bx < 1 or by < 1:
            raise ValueError(f"a thermal block needs at least one block along x and along y, not {bx} x {by}")
        if not isinstance(self.cells, int | np.integer) or self.cells < 2:
            raise ValueError(f"cells must be a whole number of at least 2, not {self.cells!r}")
        if self.cells % bx or self.cells % by:
            raise ValueError(
                f"cells={self.cells} is not a multiple of the blocks {bx} x {by}: "
                f"take a multiple of {np.lcm(bx, by)} so that no block ends inside a cell"
            )
        if not (all(isinstance(x, Real) for x in (self.low, self.high)) and 0 < self.low < self.high < np.inf):
            raise ValueError(f"conductivities need 0 < low < high < infinity, not low={self.low}, high={self.high}")
        object.__setattr__(self, "cells", int(self.cells))

    @property
    def name(self) -> str:
        return "thermal-block"

    @property
    def settings(self) -> dict[str, Any]:
        return {"blocks": list(self.blocks), "cells": self.cells, "low": float(self.low), "high": float(self.high)}

    @cached_property
    def inputs(self) -> Box:
        bx, by = self.blocks
        names = tuple(f"k{i}{j}" if max(bx, by) <= 10 else f"k{i}_{j}" for i in range(bx) for j in range(by))
        d = bx * by
        return Box(names, np.full(d, self.low), np.full(d, self.high), log=(True,) * d)

    @property
    def shape(self) -> tuple[int, int, int]:
        return (1, (self.cells + 1) ** 2, 1)

    @cached_property
    def coordinates(self) -> Float[np.ndarray, "N 2"]:
        ticks = np.linspace(0, 1, self.cells + 1)
        x, y = np.meshgrid(ticks, ticks, indexing="ij")
        return np.stack([x.ravel(), y.ravel()], axis=1)

    @cached_property
    def free(self) -> np.ndarray:
        return q1.interior(self.cells, self.cells).ravel()

    @property
    def rounding_count(self) -> int:
        return q1.APPLY_ROUNDINGS + 1

    def _grid(self, u: Array) -> Array:
        return u.reshape(self.cells + 1, self.cells + 1)

    def _flat(self, v: Array) -> Array:
        return jnp.pad(v, 1).reshape(-1)

    def cell_weights(self, theta: Float[Array, " Q"]) -> Float[Array, "n n"]:
        """One value per block to one per cell."""
        bx, by = self.blocks
        spread = theta.reshape(bx, 1, by, 1)
        return jnp.broadcast_to(spread, (bx, self.cells // bx, by, self.cells // by)).reshape(self.cells, self.cells)

    def theta(self, p: Float[Array, " d"]) -> Float[Array, " Q"]:
        return p

    @cached_property
    def _load(self) -> np.ndarray:
        return self.free / self.cells**2

    def load(self, p: Float[Array, " d"]) -> Float[Array, " N"]:
        return jnp.asarray(self._load)

    def load_terms(self) -> Float[np.ndarray, "J N"] | None:
        return self._load[None]

    def prescribe(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        return jnp.where(self.free, u, 0.0)

    def apply(self, theta: Float[Array, " Q"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        return self._flat(q1.apply(self.cell_weights(theta), self._grid(u)))

    def apply_absolute(self, theta: Float[Array, " Q"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        return self._flat(q1.apply_absolute(self.cell_weights(theta), self._grid(u)))

    def terms(self, u: Float[Array, " N"]) -> Float[Array, "Q N"]:
        return jnp.stack([self.apply(e, u) for e in jnp.eye(len(self.inputs.names))])

    def flux_energy(self, scales: Float[Array, "K Q"], fields: Float[Array, "K N"]) -> tuple[Array, Array]:
        total: Any = 0.0
        bound: Any = 0.0
        for scale, u in zip(scales, fields, strict=True):
            v = self._grid(u)
            total = total + self.cell_weights(scale) * q1.flux(v)
            bound = bound + jnp.max(jnp.abs(scale)) * jnp.sqrt(jnp.vdot(u, u))
        energy = jnp.vdot(total, total)
        # A flux row is a combination of nodal differences: its error is at most gamma_8 |B_c| |u|, plus 8 roundings for
        # the scales, which callers compute. The matrix of all |B_c| has row sums <= 2 and column sums <= 5.64, so its
        # norm is at most 11.28^(1/2) < 3.4; 3.5 also covers the rounding of this bound. Summing 3 n^2 squares adds
        # gamma of their number.
        error = gamma(16 + len(scales)) * 3.5 * bound
        return energy, 2 * jnp.sqrt(energy) * error + error**2 + gamma(3 * self.cells**2 + 8) * energy

    def coercivity(self, theta: Float[Array, " Q"]) -> Float[Array, ""]:
        """A(theta) >= min(theta) A_1, whose smallest eigenvalue is known in closed form."""
        return jnp.min(theta) * sine.smallest_eigenvalue(self.cells, self.cells)

    @cached_property
    def reference_theta(self) -> np.ndarray:
        return np.ones(len(self.inputs.names))

    def reference_solve(self, r: Float[Array, " N"]) -> Float[Array, " N"]:
        return self._flat(sine.poisson_solve(self._grid(r)[1:-1, 1:-1]))

    def preconditioner(self, theta: Float[Array, " Q"]) -> Callable[[Array], Array] | None:
        h = multigrid.hierarchy(self.cell_weights(theta))
        return lambda r: self._flat(multigrid.v_cycle(h, self._grid(r)[1:-1, 1:-1]))

    @cached_property
    def _csr(self) -> q1.CsrMap:
        return q1.CsrMap(self.cells, self.cells)

    def matrix(self, theta: Float[np.ndarray, " Q"]) -> sp.csr_matrix:
        bx, by = self.blocks
        blocks = np.asarray(theta, dtype=np.float64).reshape(bx, by)
        return self._csr(np.repeat(np.repeat(blocks, self.cells // bx, 0), self.cells // by, 1))

    def features(self, p: Float[Array, " d"]) -> tuple[Float[Array, " m"], Float[Array, ""]]:
        """u(c p) = u(p)/c: learn the field of geometric mean one, from the deviations of the logarithms."""
        logs = jnp.log(p)
        mean = jnp.mean(logs)
        return 2 * (logs - mean) / np.log(self.high / self.low), jnp.exp(-mean)

    def attempt(self, p: Float[Array, " d"], tolerance: float | None = None) -> Attempt:
        tolerance = TOLERANCE if tolerance is None else tolerance
        theta = self.theta(p)
        w = self.cell_weights(theta)
        b = jnp.full((self.cells - 1, self.cells - 1), 1 / self.cells**2)

        def on_host(theta: np.ndarray, b: np.ndarray) -> np.ndarray:
            return solve_refined(self.matrix(theta), b.ravel())

        def truth(matvec: Any, b: Array) -> tuple[Array, tuple[Array, Array]]:
            result = multigrid.solve(lax.stop_gradient(w), b, tolerance)
            direct = ~result.converged & jnp.all(theta > 0)
            u = lax.cond(direct, lambda: host_call(on_host, b, lax.stop_gradient(theta), b), lambda: result.u)
            return u, (result.iterations, direct)

        u, (iterations, direct) = lax.custom_linear_solve(
            lambda v: multigrid.stiffness(w, v), b, truth, symmetric=True, has_aux=True
        )
        residual, good = multigrid.check(w, b, u, tolerance)
        method = jnp.where(direct, METHODS.index("direct"), METHODS.index("multigrid-cg"))
        return Attempt(jnp.where(good, self._flat(u), jnp.nan), residual, iterations, method)
