"""Viscous Burgers' equation in one dimension: waves steepen into shocks of width about nu.

    u_t + u u_x = nu u_xx  on (-1, 1),   u = 0 at both ends ("dirichlet") or u(x + 2) = u(x) ("periodic")
    u(x, 0) = sum_k b_k sin(k pi x)   and, where periodic,   + a0 + sum_k a_k cos(k pi x),   k = 1..modes

Discretisation: linear elements with lumped mass m_i, and the convection as differences of the flux
F_{i+1/2} = (u_i^2 + u_i u_{i+1} + u_{i+1}^2)/6. On any grid this conserves the mass sum_i m_i u_i and does no work,
sum_i u_i (F_{i+1/2} - F_{i-1/2}) = 0 (the skew form). All terms are taken at w = theta u^{n+1} +
(1 - theta) u^n: theta = 1 is implicit Euler (order 1 in time), theta = 1/2 the implicit midpoint rule, called
"crank-nicolson" (order 2), for which exactly |u^{n+1}|_m^2 - |u^n|_m^2 = -2 dt nu |w_x|^2. Order 2 in space. Newton
with tridiagonal solves. A Dirichlet grid is graded towards x = 0 by x = sinh(g s)/sinh(g), g = ``grading``: the cells
there are g/sinh(g) times those of an even grid.

Inputs: nu (log-scaled) and the coefficients, within +-amplitude. Good ranges: cells near a shock no wider than
2 nu/max|u|, or the central flux leaves wiggles. Benchmark: b1 = -1, nu = 0.01/pi, with grading 5, whose slope at x = 0
reaches -152.005 at t = 0.51047. Reference: Basdevant et al. 1986.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ..box import Box
from ..classes.evolution import (
    SCHEMES,
    EvolutionProblem,
    Step,
    StepInverse,
    check_scheme,
    check_steps,
    divide,
    trapezoidal,
)
from ..field_norm import homogeneous
from ..linear_algebra import tridiagonal
from ..linear_algebra.implicit import LinearSolves, Root, differentiable_root, newton
from ..linear_algebra.tridiagonal import Bands
from ..precision import gamma
from ..problem import ZERO_SHARE, Attempt
from ..relations.balance import Balance
from ..relations.limit import Known, Vanishing, zeroed
from ..relations.relation import Relation
from ..relations.symmetry import Symmetric, at_all_times, flipped
from ..size import length

FLOOR = gamma(32)  # times the absolute terms: what rounding leaves of a residual
BOUNDARIES = ("dirichlet", "periodic")


@dataclass(frozen=True, eq=False)
class Burgers(EvolutionProblem):
    """See the module's docstring. ``nu_low``, ``nu_high``: the range of the viscosity.

    Raises:
        ValueError: an unknown boundary or scheme, numbers out of range, a graded periodic grid.
    """

    boundary: str = "dirichlet"
    modes: int = 3
    cells: int = 256
    steps: int = 100
    end_time: float = 1.0
    nu_low: float = 0.01
    nu_high: float = 0.1
    amplitude: float = 0.5
    scheme: str = "crank-nicolson"
    grading: float = 0.0

    def __post_init__(self) -> None:
        check_scheme(self.scheme)
        check_steps(self.steps, self.end_time)
        if self.boundary not in BOUNDARIES:
            raise ValueError(f"boundary must be one of {', '.join(BOUNDARIES)}, not {self.boundary!r}")
        if int(self.cells) != self.cells or self.cells < 4:
            raise ValueError(f"cells must be a whole number of at least 4, not {self.cells}")
        if int(self.modes) != self.modes or not 1 <= self.modes < self.cells / 2:
            raise ValueError(f"modes must be a whole number from 1 to below cells/2={self.cells / 2}, not {self.modes}")
        if not 0 < self.nu_low < self.nu_high < np.inf:
            raise ValueError(
                f"viscosities need 0 < nu_low < nu_high < infinity, not nu_low={self.nu_low}, nu_high={self.nu_high}"
            )
        if not 0 < self.amplitude < np.inf:
            raise ValueError(f"amplitude must be positive and finite, not {self.amplitude}")
        if not 0 <= self.grading <= 20 or (self.grading and self.periodic):
            raise ValueError(f"grading must be in [0, 20], and 0 on a periodic grid, not {self.grading}")

    @cached_property
    def inputs(self) -> Box:
        sines = tuple(f"b{k}" for k in range(1, self.modes + 1))
        cosines = ("a0", *(f"a{k}" for k in range(1, self.modes + 1))) if self.periodic else ()
        top = np.full(len(sines + cosines), float(self.amplitude))
        log = (True,) + (False,) * len(top)
        return Box(("nu", *sines, *cosines), np.append(self.nu_low, -top), np.append(self.nu_high, top), log=log)

    @property
    def input_field_names(self) -> tuple[str, ...]:
        return ("nu", "initial state")

    def input_field(self, p: Float[Array, " d"]) -> Float[Array, "nodes channels"]:
        return jnp.column_stack([self.constant_channels(self.scaled_inputs(p)[:1]), self.initial(p)])

    @property
    def grid_shape(self) -> tuple[int]:
        return (len(self.points),)

    @property
    def periodic(self) -> bool:
        return self.boundary == "periodic"

    @cached_property
    def relations(self) -> tuple[Relation, ...]:
        """-u(-x) is a solution where u is, and with period 2 so is u(x + 1). No work is done by the convection,
        whatever the scheme: (u^{n+1} - u^n, w)_m = -dt nu |w_x|^2, so that |u^n|_m falls.
        """
        d, times, i = self.inputs.dimension, self.shape[0], np.arange(self.shape[1])
        k, tau = np.arange(1, self.modes + 1), trapezoidal(self.times)
        opposite = np.ones(d)
        opposite[self.modes + 1 :] = -1.0  # cosines, which only a periodic state has
        back = (-i) % len(i) if self.periodic else i[::-1]
        found: list[Relation] = [
            Balance("energy decay", "|u^n|_m <= |u^0|_m", self._lengths, tau, may_fall=True),
            Vanishing("limit", "u = 0 at an initial state of 0", np.arange(1, d), np.zeros(d - 1)),
            Symmetric("reflection", "u(g p) = -u(p)(-x)", flipped(opposite), at_all_times(back, times), -1.0),
        ]
        if self.periodic:
            found.append(Balance("conservation of mass", "M(u^n) = M(u^0)", self._masses, tau))
            waves = np.delete(np.arange(1, d), self.modes)  # all but a0, after nu and the sines

            def constant(p: Float[Array, " d"]) -> Float[Array, " N"]:
                return jnp.tile(self.initial(p), times)

            found.append(Known("constants", "u = a0 where the initial state is", zeroed(waves), constant))
            if self.cells % 2 == 0:
                signs, ahead = np.concatenate([[1.0], (-1.0) ** k, [1.0], (-1.0) ** k]), np.roll(i, -(self.cells // 2))
                shift = Symmetric("translation", "u(g p) = u(p)(x + 1)", flipped(signs), at_all_times(ahead, times))
                found.append(shift)
        return tuple(found)

    def _masses(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " times"]:
        """M(u^n)/|M|, at most |u^n|_m."""
        return self.states(u) @ jnp.asarray(self.mass / np.sqrt(self.mass.sum()))

    def _lengths(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " times"]:
        """|u^n|_m."""
        return jnp.sqrt(jax.vmap(self.unknowns)(self.states(u)) ** 2 @ jnp.asarray(self.mass))

    @property
    def order(self) -> int:
        return 2

    @cached_property
    def points(self) -> Float[np.ndarray, "nodes 1"]:
        """Periodic grids leave out x = 1, which is x = -1."""
        s = np.linspace(-1, 1, self.cells + 1)
        if self.periodic:
            return s[:-1, None]
        return (np.sinh(self.grading * s) / np.sinh(self.grading) if self.grading else s)[:, None]

    @cached_property
    def coarser(self) -> Burgers:
        times = 2 if self.scheme == "crank-nicolson" else 4  # of order 2 and 1
        return replace(self, cells=divide("cells", self.cells, 2, 4), steps=divide("steps", self.steps, times, 1))

    @cached_property
    def _gaps(self) -> tuple[np.ndarray, np.ndarray]:
        """Widths of the cells left and right of each unknown."""
        if self.periodic:
            even = np.full(self.cells, 2 / self.cells)
            return even, even
        gaps = np.diff(self.points[:, 0])
        return gaps[:-1], gaps[1:]

    @cached_property
    def mass(self) -> Float[np.ndarray, " unknowns"]:
        """The lumped mass of each unknown."""
        left, right = self._gaps
        return (left + right) / 2

    def unknowns(self, state: Float[Array, " S"]) -> Float[Array, " unknowns"]:
        return state if self.periodic else state[1:-1]

    def _state(self, v: Array) -> Array:
        return v if self.periodic else jnp.pad(v, 1)

    def initial(self, p: Float[Array, " d"]) -> Float[Array, " S"]:
        x = self.points[:, 0]
        k = np.arange(1, self.modes + 1)
        basis = np.sin(np.pi * np.outer(x, k))
        if self.periodic:
            basis = np.hstack([basis, np.ones((len(x), 1)), np.cos(np.pi * np.outer(x, k))])
        return self.constrain(p, jnp.asarray(basis) @ p[1:])

    def constrain(self, p: Float[Array, " d"], state: Float[Array, " S"]) -> Float[Array, " S"]:
        return self._state(self.unknowns(state))

    def _neighbours(self, v: Array) -> tuple[Array, Array]:
        if self.periodic:
            return jnp.roll(v, 1), jnp.roll(v, -1)
        zero = jnp.zeros(1)
        return jnp.concatenate([zero, v[:-1]]), jnp.concatenate([v[1:], zero])

    def forces(self, nu: Float[Array, ""], v: Float[Array, " unknowns"]) -> Float[Array, " unknowns"]:
        """Convection and diffusion tested with each hat function: m v_t = -forces is the semi-discrete equation."""
        left, right = self._neighbours(v)
        hl, hr = self._gaps
        convection = (right**2 + v * right - v * left - left**2) / 6
        return convection + nu * ((v - left) / jnp.asarray(hl) - (right - v) / jnp.asarray(hr))

    def _bands(self, nu: Array, v: Array) -> Bands:
        """The derivative of ``forces`` in v."""
        left, right = self._neighbours(v)
        hl, hr = self._gaps
        lower, upper = -(v + 2 * left) / 6 - nu / hl, (v + 2 * right) / 6 - nu / hr
        return Bands(lower, (right - left) / 6 + nu * (1 / hl + 1 / hr), upper)

    def _equation(self, nu: Array, before: Array, after: Array) -> Array:
        theta, dt = SCHEMES[self.scheme], self.time_step
        return jnp.asarray(self.mass) * (after - before) / dt + self.forces(nu, theta * after + (1 - theta) * before)

    def step_residual(
        self, p: Float[Array, " d"], before: Float[Array, " S"], after: Float[Array, " S"]
    ) -> Float[Array, " S"]:
        """m (u^{n+1} - u^n)/dt + forces(w), in the unknowns."""
        r = self._equation(p[0], self.unknowns(before), self.unknowns(after))
        return r if self.periodic else jnp.concatenate([after[:1], r, after[-1:]])

    def _jacobian(self, nu: Array, before: Array, after: Array) -> Bands:
        """The derivative of ``_equation`` in ``after``."""
        theta = SCHEMES[self.scheme]
        low, middle, high = self._bands(nu, theta * after + (1 - theta) * before)
        return Bands(theta * low, jnp.asarray(self.mass) / self.time_step + theta * middle, theta * high)

    def step_inverse(self, p: Float[Array, " d"]) -> StepInverse:
        """Exact: a step is a tridiagonal system."""

        def solve(before: Array, after: Array, r: Array) -> Array:
            bands = self._jacobian(p[0], self.unknowns(before), self.unknowns(after))
            return self._state(tridiagonal.solve(bands, self.unknowns(r), self.periodic))

        return solve

    def stepper(self, p: Float[Array, " d"], tolerance: float) -> Callable[[Float[Array, " S"]], Step]:
        dt, jacobian = self.time_step, self._jacobian

        def targets(nu: Array, before: Array) -> tuple[Array, Array]:
            """The size of the step's data, and the residual to reach: the tolerance, or what rounding allows."""
            size = length(self.mass * before / dt)
            a = jnp.abs(before)
            absolute = self.mass * a / dt + a * (jnp.max(a) + nu * (1 / self._gaps[0] + 1 / self._gaps[1]))
            return size, jnp.maximum(tolerance * size, FLOOR * length(absolute))

        def find(args: tuple[Array, Array]) -> Root:
            nu, before = args
            return newton(
                lambda v: self._equation(nu, before, v),
                lambda v, r: tridiagonal.solve(jacobian(nu, before, v), r, self.periodic),
                before,
                targets(nu, before)[1],
            )

        def solves(args: tuple[Array, Array], after: Array) -> LinearSolves:
            bands = jacobian(args[0], args[1], after)
            other = tridiagonal.transpose(bands)
            return LinearSolves(
                lambda b: tridiagonal.solve(bands, b, self.periodic),
                lambda b: tridiagonal.solve(other, b, self.periodic),
            )

        root = differentiable_root(lambda args, v: self._equation(args[0], args[1], v), find, solves)

        def advance(state: Array) -> Step:
            before = self.unknowns(state)
            done = root((p[0], before))
            size, target = lax.stop_gradient(targets(p[0], before))
            relative = done.residual / jnp.where(size > 0, size, 1.0)
            good = (done.residual <= target) & (p[0] > 0)
            return Step(self._state(done.u), relative, done.iterations, good)

        return advance

    def conserved(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " times"] | None:
        """The mass, where nothing flows out."""
        return self.states(u) @ jnp.asarray(self.mass) if self.periodic else None

    def conserve(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        """Every state shifted to the mass of the first one."""
        if not self.periodic:
            return u
        states = self.states(u)
        masses = states @ jnp.asarray(self.mass)
        return (states + ((masses[0] - masses) / self.mass.sum())[:, None]).reshape(-1)

    @property
    def vanishes_with(self) -> tuple[int, ...]:
        return tuple(range(1, self.inputs.dimension))

    @property
    def zero_scale(self) -> float:
        """All coefficients may vanish; typical is the initial state of uniformly drawn ones, kept to the end time."""
        mean_squares = self.modes + ((self.modes + 2) if self.periodic else 0)  # of the basis, integrated: 1, of a0 2
        return ZERO_SHARE * self.amplitude * float(np.sqrt(self.end_time * mean_squares / 3))

    def explain(self, p: Float[np.ndarray, " d"], result: Attempt) -> str:
        return (
            f"Newton's method failed in a step of dt={self.time_step:.3g} at nu={p[0]:.3g}: take more than "
            f"steps={self.steps}, or a larger nu"
        )

    @property
    def norm_name(self) -> str:
        return "L2 norm in space and time"

    @homogeneous
    def norm(self, p: Any, u: Any) -> Float[Array, ""]:
        """sqrt(sum_n tau_n sum_i m_i (u_i^n)^2), tau the weights of the trapezoidal rule."""
        states = self.states(jnp.asarray(u, dtype=jnp.float64))
        square = jax.vmap(self.unknowns)(states) ** 2
        return jnp.sqrt(trapezoidal(self.times) @ square @ self.mass)
