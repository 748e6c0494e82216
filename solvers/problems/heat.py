"""Heat equation in a square of bx x by blocks, each with its own diffusivity, with a uniform source.

    u_t - div(k grad u) = s  in (0, 1)^2,   u = 0 on the boundary,   u(t=0) = initial_amplitude sin(m pi x) sin(n pi y)

Discretisation: bilinear (Q1) elements on cells x cells squares, lumped mass h^2 (M), stiffness A(k) = sum_q k_q A_q:

    h^2 (u^{n+1} - u^n)/dt + A(k) (theta u^{n+1} + (1 - theta) u^n) = s h^2

theta = 1 is implicit Euler (order 1 in time, damps everything), theta = 1/2 Crank-Nicolson (order 2, keeps the fastest
modes of a rough state alive with alternating sign). Order 2 in space, block corners permitting. A lumped mass keeps
the matrix an M-matrix: implicit Euler obeys the maximum principle. Each step is solved by multigrid-preconditioned
conjugate gradients. With k equal everywhere the solution is exact: each mode decays with exp(-k pi^2 (m^2 + n^2) t),
the discrete one by a factor per step in closed form.

Inputs: bx * by diffusivities (log-scaled) and the amplitude s of the source. Good ranges: contrasts high/low up to
1000. Reference: Thomee, Galerkin Finite Element Methods for Parabolic Problems (2006), chapters 1 and 15.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from ..box import Box
from ..classes.evolution import SCHEMES, EvolutionProblem, Step, StepInverse, check_scheme, check_steps, divide
from ..discretisations import q1, q1_mass_multigrid, q1_sine
from ..discretisations.blocks import checked_blocks, checked_cells, numbered, on_nodes, spread
from ..discretisations.q1_multigrid import FLOOR, stiffness
from ..field_norm import homogeneous
from ..meshes.symmetry import Symmetry, rectangle_group
from ..problem import ZERO_SHARE, Attempt
from ..relations.comparison import Bounded, Growing
from ..relations.limit import Known, alike
from ..relations.relation import Relation
from ..relations.semigroup import semigroup
from ..relations.superposition import Superposed
from ..relations.symmetry import Symmetric, at_all_times, motions, permuted
from ..size import powers

STIFFEST = 1e4  # dt k l/m, up to which an answer of float64 has twelve digits of r and of 1 + r
LARGEST = 1e100  # and its inverse: amplitudes whose squares are far inside float64


@dataclass(frozen=True, eq=False)
class Heat(EvolutionProblem):
    """See the module's docstring. ``source``: the range of s; ``mode``: (m, n) of the initial state.

    Raises:
        ValueError: cells not a multiple of the blocks, an unknown scheme, numbers out of range.
    """

    blocks: tuple[int, int] = (2, 2)
    cells: int = 32
    steps: int = 32
    end_time: float = 0.5
    low: float = 0.1
    high: float = 1.0
    source: tuple[float, float] = (0.0, 10.0)
    initial_amplitude: float = 1.0
    mode: tuple[int, int] = (1, 1)
    scheme: str = "implicit-euler"

    def __post_init__(self) -> None:
        check_scheme(self.scheme)
        check_steps(self.steps, self.end_time)
        for what, kind in (("source", float), ("mode", operator.index)):
            try:
                first, second = (kind(b) for b in getattr(self, what))
            except (TypeError, ValueError):
                raise ValueError(f"{what} are two numbers, not {getattr(self, what)!r}") from None
            object.__setattr__(self, what, (first, second))
        object.__setattr__(self, "blocks", checked_blocks(self.blocks))
        object.__setattr__(self, "cells", checked_cells(self.cells, self.blocks))
        if not 0 < self.low < self.high < np.inf:
            raise ValueError(f"diffusivities need 0 < low < high < infinity, not low={self.low}, high={self.high}")
        if not -np.inf < self.source[0] < self.source[1] < np.inf:
            raise ValueError(f"source needs two finite numbers, the first one smaller, not {self.source}")
        if not np.isfinite(self.initial_amplitude):
            raise ValueError(f"initial_amplitude must be finite, not {self.initial_amplitude}")
        if not all(1 <= m < self.cells for m in self.mode):
            raise ValueError(f"mode needs two whole numbers from 1 to cells-1={self.cells - 1}, not {self.mode}")

    @cached_property
    def inputs(self) -> Box:
        names = numbered("k", self.blocks)
        d = len(names)
        lower = np.append(np.full(d, self.low), self.source[0])
        upper = np.append(np.full(d, self.high), self.source[1])
        return Box((*names, "s"), lower, upper, log=(True,) * d + (False,))

    @property
    def input_field_names(self) -> tuple[str, ...]:
        return ("diffusivity", "source")

    def input_field(self, p: Float[Array, " d"]) -> Float[Array, "nodes channels"]:
        k = on_nodes(self.cell_weights(p[:-1])).reshape(-1)
        return jnp.stack([k, jnp.broadcast_to(p[-1], k.shape)], axis=1)

    @property
    def grid_shape(self) -> tuple[int, int]:
        return (self.cells + 1, self.cells + 1)

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """Those of the blocks, where the initial state has them."""
        if self.mode != (1, 1):
            return ()
        motions = rectangle_group(self.blocks, self.grid_shape)
        nodes = self.shape[1] * np.arange(self.shape[0])[:, None]
        return tuple(Symmetry(np.append(g.inputs, len(g.inputs)), (nodes + g.entries).ravel()) for g in motions)

    @cached_property
    def relations(self) -> tuple[Relation, ...]:
        """Motions of the blocks; affine in the source, on which the norm does not depend. By implicit Euler (M/dt + A
        is an M-matrix) u grows with the source, and is positive where source and initial state are. Middle states,
        which the norm is of, follow M^-1 A(k) as states do, and it is symmetric in their inner product.
        """
        d = self.inputs.dimension
        found: list[Relation] = [
            Superposed("superposition", "u is affine in s", np.array([d - 1])),
            Known("limit", "u^n = r(k)^n u^0 at equal k and s = 0", alike(np.arange(d - 1), 0.0), self._decayed),
            *semigroup(
                "semigroup", "(S(s) w, S(t) w) = (w, S(s + t) w) of changes w", self._middle, self._products,
                self.steps, 1 / self.time_step, symmetric=True, lag=max(1, self.steps // 3), holds=self._resolved,
            ),
        ]  # fmt: skip
        if self.mode == (1, 1):
            blocks, nodes = motions(self.blocks), motions(self.grid_shape)
            for name in blocks.keys() & nodes.keys():
                there, entries = permuted(np.append(blocks[name], d - 1)), at_all_times(nodes[name], self.shape[0])
                found.append(Symmetric(name, "u(g k, s) = g u(k, s)", there, entries))
        if self.scheme == "implicit-euler":
            found.append(Growing("monotonicity", "u grows with s", self._least, d - 1))
            if self.mode == (1, 1) and self.initial_amplitude >= 0:
                found.append(Bounded("maximum principle", "u >= 0 for s >= 0", self._least, 0.0, np.inf, _heated))
        return tuple(sorted(found, key=lambda relation: relation.name))

    def _decayed(self, p: Float[Array, " d"]) -> Float[Array, " N"]:
        """The initial state is an eigenvector of the operator A(k) = k A(1) at equal k: with its eigenvalue l of A(1)

        r = (1 - (1 - theta) z)/(1 + theta z),    z = dt k l/m.

        Nothing is said of stiffer steps than ``STIFFEST``: an answer of float64 loses 1 + z in r, and in 1 + r what
        the middle states are; nor of states whose squares may leave float64.
        """
        v = jnp.asarray(self._initial)
        top = jnp.max(jnp.abs(v))  # the eigenvalue does not know of amplitudes, and their squares may overflow
        v = v / top  # NaN without an initial state: it says nothing then
        spread_out = stiffness(jnp.ones((self.cells, self.cells)), v)
        z = self.time_step / self.mass * p[0] * jnp.vdot(v, spread_out) / jnp.vdot(v, v)
        says = (z <= STIFFEST) & (top >= 1 / LARGEST) & (top <= LARGEST)
        r = jnp.where(says, (1 - (1 - self._theta) * z) / (1 + self._theta * z), jnp.nan)
        return (r ** jnp.arange(self.steps + 1)[:, None] * self.initial(p)).reshape(-1)

    def _middle(self, u: Float[Array, " N"]) -> Float[Array, "steps S"]:
        states = self.states(u)
        return self._theta * states[1:] + (1 - self._theta) * states[:-1]

    def _products(self, p: Float[Array, " d"], rows: Float[Array, "r S"]) -> Float[Array, "r r"]:
        """(v, A(p) w), of fluxes as in ``norm``."""
        root = jnp.sqrt(self.cell_weights(p[:-1]))
        flux = lax.map(lambda v: root * q1.flux(v.reshape(self.grid_shape)), rows).reshape(len(rows), -1)
        return flux @ flux.T

    def _resolved(self, P: Float[np.ndarray, "n d"]) -> Bool[np.ndarray, " n"]:
        """No step is stiffer than ``STIFFEST``: the eigenvalues of A(1) are at most 4."""
        return np.asarray(4 * self.time_step / self.mass * P[:, :-1].max(axis=1) <= STIFFEST)

    def _least(self, p: Float[Array, " d"]) -> Float[Array, " N"]:
        """kappa^2 = dt times the least eigenvalue of A(p) for what is free: |v|^2 = sum_n dt |v^n|_A^2, n >= 1."""
        inside = np.tile(q1.interior(self.cells, self.cells).ravel(), (self.shape[0], 1))
        inside[0] = False
        least = self.time_step * jnp.min(p[:-1]) * q1_sine.smallest_eigenvalue(self.cells, self.cells)
        return jnp.where(inside.ravel(), jnp.sqrt(least), 0.0)

    @property
    def order(self) -> int:
        return 2

    @cached_property
    def points(self) -> Float[np.ndarray, "nodes 2"]:
        return q1.coordinates(self.cells)

    @cached_property
    def coarser(self) -> Heat:
        times = 2 if self.scheme == "crank-nicolson" else 4  # of order 2 and 1
        return replace(self, cells=divide("cells", self.cells, 2, 2), steps=divide("steps", self.steps, times, 1))

    @property
    def mass(self) -> float:
        """The lumped mass of an interior node."""
        return 1 / self.cells**2

    @property
    def _theta(self) -> float:
        return SCHEMES[self.scheme]

    def explain(self, p: Float[np.ndarray, " d"], result: Attempt) -> str:
        """What the diffusivities have to do with it."""
        k = np.asarray(p)[:-1]
        contrast = float(k.max() / k.min())
        if contrast < 1e5:
            return ""
        names = ", ".join(self.inputs.names[:-1])
        return f"{names} differ by a factor of {contrast:.1g}, more than a step resolves in float64: take less contrast"

    def cell_weights(self, k: Float[Array, " Q"]) -> Float[Array, "n n"]:
        """One diffusivity per block to one per cell."""
        return spread(k, self.blocks, (self.cells, self.cells))

    def _interior(self, state: Array) -> Array:
        return state.reshape(self.cells + 1, self.cells + 1)[1:-1, 1:-1]

    def _state(self, v: Array) -> Array:
        return jnp.pad(v, 1).reshape(-1)

    @cached_property
    def _initial(self) -> np.ndarray:
        ticks = np.arange(1, self.cells) / self.cells
        along = [np.sin(np.pi * m * ticks) for m in self.mode]
        return self.initial_amplitude * np.outer(*along)

    def initial(self, p: Float[Array, " d"]) -> Float[Array, " S"]:
        return self._state(jnp.asarray(self._initial))

    def constrain(self, p: Float[Array, " d"], state: Float[Array, " S"]) -> Float[Array, " S"]:
        return self._state(self._interior(state))

    def step_residual(
        self, p: Float[Array, " d"], before: Float[Array, " S"], after: Float[Array, " S"]
    ) -> Float[Array, " S"]:
        """Left minus right-hand side of the scheme in interior nodes, the value itself on the boundary."""
        w = self.cell_weights(p[:-1])
        a, b = self._interior(before), self._interior(after)
        middle = stiffness(w, self._theta * b + (1 - self._theta) * a)
        r = self.mass * (b - a) / self.time_step + middle - p[-1] * self.mass
        return after - self.constrain(p, after) + self._state(r)

    def stepper(self, p: Float[Array, " d"], tolerance: float) -> Callable[[Float[Array, " S"]], Step]:
        # The unknown is the increment, so that the old state is the initial guess:
        # (h^2 + theta dt A) du = dt (s h^2 - A u^n).
        w = self.time_step * self.cell_weights(p[:-1])
        source = self.time_step * p[-1] * self.mass
        h = lax.stop_gradient(q1_mass_multigrid.hierarchy(self._theta * w, self.mass))

        def operator(v: Array) -> Array:
            return self.mass * v + self._theta * stiffness(w, v)

        def solve(_: Any, b: Array) -> tuple[Array, Array]:
            done = q1_mass_multigrid.solve(h, b, tolerance)
            return done.u, done.iterations

        def advance(state: Array) -> Step:
            a = self._interior(state)
            spread = stiffness(w, a)
            b = source - spread
            du, iterations = lax.custom_linear_solve(operator, b, solve, symmetric=True, has_aux=True)
            scale = self.mass * jnp.abs(a) + q1.apply_absolute(w, jnp.pad(a, 1)) + jnp.abs(source)
            down, _ = powers(scale)  # the three are compared with each other alone
            norm = jnp.linalg.norm((b - operator(du)) * down)
            size = jnp.linalg.norm((self.mass * a + b + self._theta * spread) * down)
            good = (norm <= jnp.maximum(tolerance * size, FLOOR * jnp.linalg.norm(scale * down))) & h.positive
            return Step(self._state(a + du), norm / jnp.where(size > 0, size, 1.0), iterations.astype(float), good)

        return advance

    def step_inverse(self, p: Float[Array, " d"]) -> StepInverse:
        """One multigrid cycle."""
        w = self.time_step * self.cell_weights(p[:-1])
        h = q1_mass_multigrid.hierarchy(self._theta * w, self.mass)
        return lambda before, after, r: self._state(q1_mass_multigrid.v_cycle(h, self.time_step * self._interior(r)))

    @property
    def zero_scale(self) -> float:
        """Zero only without an initial state and a source; typical is the steady state of a mean source, |u|_A^2 =
        0.0351 s^2/k (the integral of Poisson's solution over the square is 0.0351).
        """
        first, last = self.source
        if self.initial_amplitude != 0 or not first <= 0 <= last:
            return 0.0
        mean_square = (first**2 + first * last + last**2) / 3
        return ZERO_SHARE * float(np.sqrt(self.end_time * 0.0351 * mean_square / np.sqrt(self.low * self.high)))

    @property
    def norm_name(self) -> str:
        return "L2 norm in time of the energy norm ||v||_A(p)"

    @homogeneous
    def norm(self, p: Any, u: Any) -> Float[Array, ""]:
        """sqrt(sum_n dt |theta u^{n+1} + (1 - theta) u^n|_A(p)^2), as the length of the flux: no cancellation.

        The norm that the scheme's own energy identity bounds; it is one on fields that are right at the initial time.
        """
        p, u = jnp.asarray(p, dtype=jnp.float64), jnp.asarray(u, dtype=jnp.float64)
        states = u.reshape(-1, self.cells + 1, self.cells + 1)
        weights = self.cell_weights(p[:-1])

        def square(pair: tuple[Array, Array]) -> Array:
            middle = self._theta * pair[1] + (1 - self._theta) * pair[0]
            return jnp.sum(weights * q1.flux_square(middle))

        # step by step, what is in cache: three times as fast as all at once
        return jnp.sqrt(self.time_step * jnp.sum(lax.map(square, (states[:-1], states[1:]))))


def _heated(P: Float[np.ndarray, "n d"]) -> Bool[np.ndarray, " n"]:
    return np.asarray(P[:, -1] >= 0)
