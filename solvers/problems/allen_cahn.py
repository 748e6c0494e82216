"""The Allen-Cahn equation in one and two dimensions: phases -1 and 1 separated by fronts of width about eps.

    u_t = eps^2 Lap u + u - u^3  on (0, length)^dimension,   no flux through the boundary ("neumann") or periodic

Energy E(u) = integral of eps^2 |grad u|^2/2 + (1 - u^2)^2/4. Inputs: eps (log-scaled) and the coefficients of the
initial state in products of basis functions, ``modes`` per axis: cos(k pi x/length), k = 0.., where there is no flux,
and 1, cos(w x), sin(w x), cos(2 w x), .., w = 2 pi/length, where periodic. ``front`` adds the profile
(1 - tanh((x - front)/(2 sqrt2 eps)))/2 along the first axis, which far from the ends invades the state 0 at the speed
3 eps/sqrt2.

Discretisation: linear (in 2D: five-point) differences with lumped mass M and stiffness K on equal cells, and in time

    M (b - a)/dt + eps^2 K (a + b)/2 + M (a + b)(a^2 + b^2 - 2)/4 = 0,   a = u^n, b = u^{n+1}

of order 2 in both, whose last term is the exact difference quotient of (1 - u^2)^2/4. So, exactly, E(b) - E(a) =
-|b - a|_M^2/dt: the energy falls whatever the step. Below dt = 2 (checked) the step has one solution, for the step's
functional is convex. Newton; tridiagonal solves in 1D, conjugate gradients in the constant operator's eigenbasis in 2D.
Good ranges: cells no wider than eps (fronts stick to coarser grids), dt <= 0.1.
References: Allen, Cahn 1979; Du, Nicolaides 1991 (the scheme).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ..box import Box
from ..classes.evolution import EvolutionProblem, Step, StepInverse, check_steps, divide, trapezoidal
from ..discretisations.lumped import LumpedGrid
from ..field_norm import homogeneous
from ..linear_algebra.implicit import LinearSolves, Root, differentiable_root, newton
from ..precision import gamma
from ..problem import ZERO_SHARE, Attempt
from ..relations.limit import Known, Vanishing, zeroed
from ..relations.relation import Relation
from ..relations.symmetry import Symmetric, at_all_times, flipped, motions
from ..size import length

BOUNDARIES = ("neumann", "periodic")
FLOOR = gamma(32)  # times the absolute terms: what rounding leaves of a residual
NEWTON = 30  # iterations for a constant state, which is to the last digit after a few
INNER = 1e-4  # relative accuracy of a Newton correction: hardly more Newton steps, and each costs half as much


@dataclass(frozen=True, eq=False)
class AllenCahn(EvolutionProblem):
    """See the module's docstring. ``eps_low``, ``eps_high``: the range of eps; ``amplitude``: that of the coefficients.

    ``cells`` and ``modes`` left out: 128 and 4 in one dimension, 48 and 2 in two.

    Raises:
        ValueError: an unknown boundary, numbers out of range, steps of 2 or longer.
    """

    dimension: int = 1
    boundary: str = "neumann"
    modes: int | None = None
    cells: int | None = None
    steps: int = 64
    end_time: float = 4.0
    length: float = 1.0
    eps_low: float = 0.02
    eps_high: float = 0.1
    amplitude: float = 0.5
    front: float | None = None

    def __post_init__(self) -> None:
        check_steps(self.steps, self.end_time)
        if self.dimension not in (1, 2):
            raise ValueError(f"dimension must be 1 or 2, not {self.dimension}")
        if self.boundary not in BOUNDARIES:
            raise ValueError(f"boundary must be one of {', '.join(BOUNDARIES)}, not {self.boundary!r}")
        cells = (128 if self.dimension == 1 else 48) if self.cells is None else self.cells
        modes = (4 if self.dimension == 1 else 2) if self.modes is None else self.modes
        if int(cells) != cells or cells < 4:
            raise ValueError(f"cells must be a whole number of at least 4, not {cells}")
        if int(modes) != modes or not 1 <= modes <= cells / 2:
            raise ValueError(f"modes must be a whole number from 1 to cells/2={cells / 2}, not {modes}")
        object.__setattr__(self, "cells", int(cells))
        object.__setattr__(self, "modes", int(modes))
        if not 0 < self.eps_low < self.eps_high < np.inf:
            raise ValueError(
                f"eps needs 0 < eps_low < eps_high < infinity, not eps_low={self.eps_low}, eps_high={self.eps_high}"
            )
        for what, value in (("length", self.length), ("amplitude", self.amplitude)):
            if not 0 < value < np.inf:
                raise ValueError(f"{what} must be positive and finite, not {value}")
        if self.front is not None:
            if not np.isfinite(self.front):
                raise ValueError(f"front must be a place along the first axis, or None, not {self.front}")
            object.__setattr__(self, "front", float(self.front))
        if self.time_step >= 2:
            raise ValueError(
                f"steps={self.steps} to end_time={self.end_time} are {self.time_step:.3g} long, and only steps below 2 "
                f"have one solution: take at least {int(self.end_time // 2) + 1} steps, or better "
                f"{int(10 * self.end_time)}"
            )

    @cached_property
    def grid(self) -> LumpedGrid:
        """The grid with its lumped mass M and stiffness K."""
        assert self.cells is not None
        return LumpedGrid(self.dimension, self.boundary == "periodic", self.cells, self.length)

    @cached_property
    def inputs(self) -> Box:
        assert self.modes is not None
        between = "" if self.modes <= 10 else "_"
        names = [between.join(str(k) for k in ks) for ks in product(range(self.modes), repeat=self.dimension)]
        top = np.full(len(names), float(self.amplitude))
        return Box(
            ("eps", *(f"c{n}" for n in names)),
            np.append(self.eps_low, -top),
            np.append(self.eps_high, top),
            log=(True,) + (False,) * len(names),
        )

    @property
    def input_field_names(self) -> tuple[str, ...]:
        return ("eps", "initial state")

    def input_field(self, p: Float[Array, " d"]) -> Float[Array, "nodes channels"]:
        return jnp.column_stack([self.constant_channels(self.scaled_inputs(p)[:1]), self.initial(p)])

    @property
    def grid_shape(self) -> tuple[int, ...]:
        return self.grid.sides

    @property
    def periodic(self) -> bool:
        return self.boundary == "periodic"

    @cached_property
    def relations(self) -> tuple[Relation, ...]:
        """The equation is odd; cos(k pi (1 - x)) = (-1)^k cos(k pi x); 0 stays 0. A front leaves the second axis'."""
        d, times = self.inputs.dimension, self.shape[0]
        k = np.stack(np.unravel_index(np.arange(d - 1), (int(self.modes or 0),) * self.dimension))
        nodes = motions(self.grid_shape)
        found: list[Relation] = []
        for axis in range(self.dimension):
            if not self.periodic and (axis > 0 or self.front is None):
                name = f"reflection of {'xy'[axis]}"
                moved = flipped(np.append(1.0, (-1.0) ** k[axis]))
                found.append(Symmetric(name, "u(g c) = g u(c)", moved, at_all_times(nodes[name], times)))
        if self.front is None:
            opposite = flipped(np.append(1.0, -np.ones(d - 1)))
            found.append(Symmetric("change of sign", "u(-c) = -u(c)", opposite, np.arange(self.size), -1.0))
            found.append(Vanishing("limit", "u = 0 at c = 0", np.arange(1, d), np.zeros(d - 1)))
            formula = "u is the same everywhere where the initial state is"
            found.append(Known("constants", formula, zeroed(np.arange(2, d)), self._constants))
        return tuple(found)

    def _constants(self, p: Float[Array, " d"]) -> Float[Array, " N"]:
        """A constant a has no gradient: (b - a)/dt + (a + b)(a^2 + b^2 - 2)/4 = 0 follows it, whose derivative in b is
        at least 1/dt - 1/2 + a^2/6: one root for dt < 2, by Newton's method; NaN where that does not end at it.
        """
        dt = self.time_step

        def follow(a: Array, _: None) -> tuple[Array, Array]:
            def closer(_: int, b: Array) -> Array:
                wrong = (b - a) / dt + (a + b) * (a**2 + b**2 - 2) / 4
                return b - wrong / (1 / dt + (3 * b**2 + 2 * a * b + a**2 - 2) / 4)

            b = lax.fori_loop(0, NEWTON, closer, a)
            ended = jnp.abs(closer(0, b) - b) <= 1e-14 * jnp.abs(b)
            b = jnp.where(ended & (dt < 2), b, jnp.nan)
            return b, b

        _, later = lax.scan(follow, p[1], length=self.steps)
        return jnp.repeat(jnp.concatenate([p[1:2], later]), self.shape[1])

    @property
    def order(self) -> int:
        return 2

    @property
    def points(self) -> Float[np.ndarray, "nodes dim"]:
        return self.grid.points

    @cached_property
    def coarser(self) -> AllenCahn:
        assert self.cells is not None
        return replace(self, cells=divide("cells", self.cells, 2, 4), steps=divide("steps", self.steps, 2, 1))

    @cached_property
    def _basis(self) -> Float[np.ndarray, "S d-1"]:
        k = np.arange(self.modes or 0)
        x = self.grid.axis[:, None] / self.length
        if self.grid.periodic:
            angle = 2 * np.pi * ((k + 1) // 2) * x
            one = np.where(k % 2, np.cos(angle), np.where(k > 0, np.sin(angle), 1.0))
        else:
            one = np.cos(np.pi * k * x)
        return one if self.dimension == 1 else np.kron(one, one)

    def initial(self, p: Float[Array, " d"]) -> Float[Array, " S"]:
        u = jnp.asarray(self._basis) @ p[1:]
        if self.front is not None:
            u = u + (1 - jnp.tanh((self.points[:, 0] - self.front) / (2 * np.sqrt(2) * p[0]))) / 2
        return u

    def constrain(self, p: Float[Array, " d"], state: Float[Array, " S"]) -> Float[Array, " S"]:
        """Nothing is prescribed: no flux is a natural boundary condition."""
        return state

    def energy(self, p: Float[Array, " d"], state: Float[Array, " S"]) -> Float[Array, ""]:
        """E of one state."""
        gradient = jnp.vdot(state, self.grid.stiffness(state))
        return p[0] ** 2 * gradient / 2 + jnp.vdot(self.grid.mass, (1 - state**2) ** 2) / 4

    def _equation(self, eps: Array, a: Array, b: Array) -> Array:
        reaction = (a + b) * (a**2 + b**2 - 2) / 4
        return jnp.asarray(self.grid.mass) * ((b - a) / self.time_step + reaction) + eps**2 * self.grid.stiffness(
            (a + b) / 2
        )

    def step_residual(
        self, p: Float[Array, " d"], before: Float[Array, " S"], after: Float[Array, " S"]
    ) -> Float[Array, " S"]:
        """The left-hand side of the scheme."""
        return self._equation(p[0], before, after)

    def _stiff(self, a: Array, b: Array) -> Array:
        """d in the derivative of ``_equation`` in b, M diag(d) + eps^2/2 K, which is symmetric."""
        return 1 / self.time_step + (3 * b**2 + 2 * a * b + a**2 - 2) / 4

    def step_inverse(self, p: Float[Array, " d"]) -> StepInverse:
        """In one dimension exact; in two with a constant d: steps are so short that it varies little."""
        return lambda before, after, r: self.grid.approximate_solve(self._stiff(before, after), p[0] ** 2 / 2, r)

    def stepper(self, p: Float[Array, " d"], tolerance: float) -> Callable[[Float[Array, " S"]], Step]:
        mass, dt = self.grid.mass, self.time_step

        def solver(eps: Array, a: Array, b: Array) -> Callable[[Array, float], Array]:
            return self.grid.solver(self._stiff(a, b), eps**2 / 2)

        def targets(eps: Array, a: Array) -> tuple[Array, Array]:
            """The size of the step's data, and the residual to reach: the tolerance, or what rounding allows."""
            size = length(mass * a / dt)
            absolute = mass * jnp.abs(a) * (1 / dt + 1 + a**2 + eps**2 * self.grid.stiffest)
            return size, jnp.maximum(tolerance * size, FLOOR * length(absolute))

        def find(args: tuple[Array, Array]) -> Root:
            eps, a = args
            return newton(
                lambda b: self._equation(eps, a, b), lambda b, r: solver(eps, a, b)(r, INNER), a, targets(eps, a)[1]
            )

        def solves(args: tuple[Array, Array], b: Array) -> LinearSolves:
            solve = solver(args[0], args[1], b)
            return LinearSolves(lambda r: solve(r, 1e-14), lambda r: solve(r, 1e-14))

        root = differentiable_root(lambda args, b: self._equation(args[0], args[1], b), find, solves)

        def advance(state: Array) -> Step:
            done = root((p[0], state))
            size, target = lax.stop_gradient(targets(p[0], state))
            relative = done.residual / jnp.where(size > 0, size, 1.0)
            return Step(done.u, relative, done.iterations, (done.residual <= target) & (p[0] > 0))

        return advance

    @property
    def vanishes_with(self) -> tuple[int, ...]:
        return () if self.front is not None else tuple(range(1, self.inputs.dimension))

    @property
    def zero_scale(self) -> float:
        """All coefficients may vanish, unless there is a front; typical is a pure phase, u = 1."""
        if self.front is not None:
            return 0.0
        return ZERO_SHARE * float(np.sqrt(self.end_time * self.length**self.dimension))

    def explain(self, p: Float[np.ndarray, " d"], result: Attempt) -> str:
        return f"Newton's method failed in a step of dt={self.time_step:.3g}: take more than steps={self.steps}"

    @property
    def norm_name(self) -> str:
        return "L2 norm in space and time"

    @homogeneous
    def norm(self, p: Any, u: Any) -> Float[Array, ""]:
        """sqrt(sum_n tau_n sum_i m_i (u_i^n)^2), tau the weights of the trapezoidal rule."""
        square = self.states(jnp.asarray(u, dtype=jnp.float64)) ** 2
        return jnp.sqrt(trapezoidal(self.times) @ square @ self.grid.mass)
