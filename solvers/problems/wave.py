"""The wave equation on an interval or a square made of blocks, each with its own speed, clamped at the boundary.

    u_tt = div(c^2 grad u)  in (0, 1) or (0, 1)^2,   u = 0 on the boundary
    u = sum a_kl sin(k pi x) sin(l pi y), k, l = 1..modes,  and  u_t = 0  at time 0

Discretisation: linear (Q1) elements with lumped mass M and stiffness K = sum_q c_q^2 K_q; in time the leapfrog scheme,
written for the displacement u and the velocity v at the same times (Stoermer-Verlet), the two components of a state:

    v' = v^n - dt/2 M^-1 K u^n,   u^{n+1} = u^n + dt v',   v^{n+1} = v' - dt/2 M^-1 K u^{n+1}

so that u^{n+1} - 2 u^n + u^{n-1} = -dt^2 M^-1 K u^n and v^n = (u^{n+1} - u^{n-1})/(2 dt). Order 2 in both. Explicit,
and stable for dt max c <= h, which is checked: the eigenvalues of M^-1 K are below 4 max c^2/h^2 in one and two
dimensions. Then a step is an isometry of the norm |(u, v)|^2 = v'Mv + u'Ku - dt^2/4 |M^-1/2 K u|^2.
With c equal everywhere each mode oscillates with the omega of sin^2(omega dt/2) = dt^2 lambda/4, lambda its
eigenvalue of M^-1 K; in one dimension with c dt = h that is the exact one.

Inputs: the speeds (log-scaled) and the coefficients a, within +-amplitude. Good ranges: 10 cells a wavelength or more,
contrasts of the speeds up to 10. Reference: Cohen, Higher-Order Numerical Methods for Transient Wave Equations (2002).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..box import Box
from ..classes.evolution import EvolutionProblem, Step, StepInverse, check_steps, divide, trapezoidal
from ..discretisations import q1
from ..discretisations.blocks import checked_blocks, checked_cells, numbered, on_nodes, spread
from ..field_norm import homogeneous
from ..problem import ZERO_SHARE
from ..relations.balance import Balance
from ..relations.limit import Vanishing
from ..relations.relation import Relation
from ..relations.semigroup import semigroup
from ..relations.superposition import Superposed
from ..relations.symmetry import Symmetric, at_all_times, motions


@dataclass(frozen=True, eq=False)
class Wave(EvolutionProblem):
    """See the module's docstring. ``blocks`` along each axis: one number for the interval, two for the square.

    Raises:
        ValueError: cells not a multiple of the blocks, numbers out of range, steps too long to be stable (CFL).
    """

    blocks: tuple[int, ...] = (2, 2)
    modes: int = 2
    cells: int = 32
    steps: int = 64
    end_time: float = 1.0
    low: float = 0.5
    high: float = 2.0
    amplitude: float = 1.0

    def __post_init__(self) -> None:
        check_steps(self.steps, self.end_time)
        object.__setattr__(self, "blocks", checked_blocks(self.blocks, (1, 2)))
        object.__setattr__(self, "cells", checked_cells(self.cells, self.blocks))
        if int(self.modes) != self.modes or not 1 <= self.modes < self.cells:
            raise ValueError(f"modes must be a whole number from 1 to cells-1={self.cells - 1}, not {self.modes}")
        if not 0 < self.low < self.high < np.inf:
            raise ValueError(f"speeds need 0 < low < high < infinity, not low={self.low}, high={self.high}")
        if not 0 < self.amplitude < np.inf:
            raise ValueError(f"amplitude must be positive and finite, not {self.amplitude}")
        courant = self.high * self.time_step * self.cells
        if courant > 1 + 1e-12:
            needed = int(np.ceil(self.high * self.end_time * self.cells * (1 - 1e-12)))
            raise ValueError(
                f"unstable: the Courant number high dt/h = {courant:.3g} is above 1 (CFL condition). Take steps >= "
                f"{needed} instead of {self.steps}, or fewer cells, a lower speed `high` or a shorter end_time"
            )

    @property
    def _dimension(self) -> int:
        return len(self.blocks)

    @cached_property
    def inputs(self) -> Box:
        speeds = numbered("c", self.blocks)
        top = np.full(self.modes**self._dimension, float(self.amplitude))
        return Box(
            (*speeds, *numbered("a", [self.modes] * self._dimension, first=1)),
            np.append(np.full(len(speeds), self.low), -top),
            np.append(np.full(len(speeds), self.high), top),
            log=(True,) * len(speeds) + (False,) * len(top),
        )

    @property
    def input_field_names(self) -> tuple[str, ...]:
        return ("speed squared", "initial displacement")

    def input_field(self, p: Float[Array, " d"]) -> Float[Array, "nodes channels"]:
        return jnp.column_stack([on_nodes(self.cell_weights(p)).reshape(-1), self.initial(p)[::2]])

    @property
    def grid_shape(self) -> tuple[int, ...]:
        return (self.cells + 1,) * self._dimension

    @property
    def components(self) -> int:
        """Two numbers for each node: displacement and velocity."""
        return 2

    @cached_property
    def relations(self) -> tuple[Relation, ...]:
        """Linear in the coefficients, on which the norm does not depend; the energy stays, and so do its products of
        states as far apart, where the waves are resolved (at dt = h/c the energy of the fastest one is lost in
        rounding); a motion of the blocks moves the modes as well, sin(k pi (1 - x)) = (-1)^(k+1) sin(k pi x).
        """
        count, d = int(np.prod(self.blocks)), self.inputs.dimension
        k = np.unravel_index(np.arange(d - count), (self.modes,) * self._dimension)
        blocks, nodes = motions(self.blocks), motions(self.grid_shape, 2)
        coefficients = np.arange(count, d)
        found: list[Relation] = [
            Superposed("superposition", "u is affine in a", coefficients),
            Vanishing("limit", "u = 0 at a = 0", coefficients, np.zeros(d - count)),
            Balance("conservation of energy", "E(u^n) = E(u^0)", self._energy_lengths, trapezoidal(self.times)),
        ]
        if 2 * self.modes <= self.cells:
            found += semigroup(
                "semigroup", "(S(s) u, S(t) u) = (u, S(t - s) u)", self.states, self._products, self.steps + 1,
                2 / self.time_step, symmetric=False,
            )  # fmt: skip
        for axis in range(self._dimension):
            name = f"reflection of {'xy'[axis]}"
            order, signs = np.append(blocks[name], coefficients), np.append(np.ones(count), -((-1.0) ** (k[axis] + 1)))

            def moved(P: np.ndarray, order: np.ndarray = order, signs: np.ndarray = signs) -> np.ndarray:
                return np.asarray(signs * P[:, order])

            found.append(Symmetric(name, "u(g p) = g u(p)", moved, at_all_times(nodes[name], self.shape[0])))
        return tuple(found)

    def _energy_lengths(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " times"]:
        """The norm of every state; the energy is one half of its square."""
        return jnp.sqrt(jnp.maximum(2 * self.conserved(p, u), 0.0))

    def _products(self, p: Float[Array, " d"], rows: Float[Array, "r S"]) -> Float[Array, "r r"]:
        """Those that ``energy`` is half the squares of."""
        weights, r = self.cell_weights(p), len(rows)
        u, v = jax.vmap(self._interior)(rows)
        ku = jax.vmap(lambda one: self.stiffness(weights, one))(u).reshape(r, -1)
        u, v = u.reshape(r, -1), v.reshape(r, -1)
        return self.mass * v @ v.T + (u @ ku.T + ku @ u.T) / 2 - self.time_step**2 / 4 * (ku @ ku.T) / self.mass

    @property
    def order(self) -> int:
        return 2

    @cached_property
    def points(self) -> Float[np.ndarray, "nodes dim"]:
        grid = np.meshgrid(*[np.linspace(0, 1, self.cells + 1)] * self._dimension, indexing="ij")
        return np.stack([g.ravel() for g in grid], axis=1)

    @cached_property
    def coarser(self) -> Wave:
        return replace(self, cells=divide("cells", self.cells, 2, 2), steps=divide("steps", self.steps, 2, 1))

    @property
    def mass(self) -> float:
        """The lumped mass of an interior node."""
        return 1 / self.cells**self._dimension

    def cell_weights(self, p: Float[Array, " d"]) -> Float[Array, "..."]:
        """c^2 in every cell, [n] or [n, n]."""
        return spread(p[: np.prod(self.blocks)] ** 2, self.blocks, [self.cells] * self._dimension)

    def stiffness(self, w: Float[Array, "..."], v: Float[Array, "..."]) -> Float[Array, "..."]:
        """K v for interior values [n-1] or [n-1, n-1] and cell weights ``w``; zero on the boundary."""
        if self._dimension == 2:
            return q1.apply(w, jnp.pad(v, 1))
        flux = self.cells * w * jnp.diff(jnp.pad(v, 1))
        return flux[:-1] - flux[1:]

    def _interior(self, state: Array) -> tuple[Array, Array]:
        both = state.reshape((self.cells + 1,) * self._dimension + (2,))[(slice(1, -1),) * self._dimension]
        return both[..., 0], both[..., 1]

    def _state(self, u: Array, v: Array) -> Array:
        return jnp.pad(jnp.stack([u, v], axis=-1), ((1, 1),) * self._dimension + ((0, 0),)).reshape(-1)

    def initial(self, p: Float[Array, " d"]) -> Float[Array, " S"]:
        ticks = np.arange(1, self.cells) / self.cells
        along = jnp.sin(np.pi * np.outer(ticks, np.arange(1, self.modes + 1)))
        a = p[int(np.prod(self.blocks)) :].reshape((self.modes,) * self._dimension)
        u = along @ a if self._dimension == 1 else along @ a @ along.T
        return self._state(u, jnp.zeros_like(u))

    def constrain(self, p: Float[Array, " d"], state: Float[Array, " S"]) -> Float[Array, " S"]:
        return self._state(*self._interior(state))

    def _leap(self, w: Array, state: Array) -> Array:
        dt = self.time_step
        u, v = self._interior(state)
        half = v - dt / 2 * self.stiffness(w, u) / self.mass
        u = u + dt * half
        return self._state(u, half - dt / 2 * self.stiffness(w, u) / self.mass)

    def step_residual(
        self, p: Float[Array, " d"], before: Float[Array, " S"], after: Float[Array, " S"]
    ) -> Float[Array, " S"]:
        """The new state minus the leapfrog step of the old one."""
        return after - self._leap(self.cell_weights(p), before)

    def stepper(self, p: Float[Array, " d"], tolerance: float) -> Callable[[Float[Array, " S"]], Step]:
        """Explicit: nothing is iterated, and the tolerance plays no part."""
        w = self.cell_weights(p)
        stable = jnp.max(jnp.abs(p[: np.prod(self.blocks)])) * self.time_step * self.cells <= 1 + 1e-9
        good = stable & jnp.all(p[: np.prod(self.blocks)] > 0)

        def advance(state: Array) -> Step:
            return Step(self._leap(w, state), jnp.zeros(()), jnp.ones(()), good)

        return advance

    def step_inverse(self, p: Float[Array, " d"]) -> StepInverse:
        """The new state stands alone in the residual of the explicit step."""
        return lambda before, after, r: r

    @property
    def vanishes_with(self) -> tuple[int, ...]:
        return tuple(np.flatnonzero(self.inputs.lower < 0).tolist())

    @property
    def zero_scale(self) -> float:
        """All coefficients may vanish; typical is the energy of uniformly drawn ones at the mean speed: of sin(k pi x)
        ... it is c^2 pi^2 sum k^2 / 2^dimension.
        """
        k = np.arange(1, self.modes + 1)
        waves = (np.add.outer(k**2, k**2) if self._dimension == 2 else k**2).sum() * np.pi**2 / 2**self._dimension
        return ZERO_SHARE * self.amplitude * float(np.sqrt(self.low * self.high * self.end_time * waves / 3))

    @property
    def component_names(self) -> tuple[str, ...]:
        return ("displacement", "velocity")

    def energy(self, p: Float[Array, " d"], state: Float[Array, " S"]) -> Float[Array, ""]:
        """Half the square of the norm in which the scheme is an isometry: exactly conserved."""
        u, v = self._interior(state)
        ku = self.stiffness(self.cell_weights(p), u)
        square = self.mass * jnp.vdot(v, v) + jnp.vdot(u, ku) - self.time_step**2 / 4 * jnp.vdot(ku, ku) / self.mass
        return square / 2

    def conserved(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " times"]:
        return jax.vmap(lambda state: self.energy(p, state))(self.states(u))

    def conserve(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        """Every state scaled to the energy of the first one."""
        energies = self.conserved(p, u)
        ratio = energies[0] / jnp.where(energies > 0, energies, 1.0)
        factors = jnp.sqrt(jnp.where((energies > 0) & (ratio > 0), ratio, 1.0))
        return (factors[:, None] * self.states(u)).reshape(-1)

    @property
    def norm_name(self) -> str:
        return "L2 norm in time of the conserved discrete energy norm"

    @homogeneous
    def norm(self, p: Any, u: Any) -> Float[Array, ""]:
        """sqrt(sum_n tau_n 2 energy(u^n)), tau the weights of the trapezoidal rule."""
        p, u = jnp.asarray(p, dtype=jnp.float64), jnp.asarray(u, dtype=jnp.float64)
        energies = jax.vmap(lambda state: self.energy(p, state))(self.states(u))
        return jnp.sqrt(2 * trapezoidal(self.times) @ energies)
