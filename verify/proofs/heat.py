"""The heat equation, both schemes: the energy of the error is at most that of the residuals, step by step.

    M (e^{n+1} - e^n)/dt + A e_n = -r^n,    e_n = theta e^{n+1} + (1 - theta) e^n,    e^0 = 0,    theta >= 1/2

for e = u - v and the residual r^n of v in step n (initial and boundary values are prescribed). Test with e_n: (e^{n+1}
- e^n, e_n)_M = (|e^{n+1}|_M^2 - |e^n|_M^2)/2 + (theta - 1/2) |e^{n+1} - e^n|_M^2, sum over the steps and drop what is
not negative; then |r.e_n| <= ||r||_(A^-1) ||e_n||_A and Cauchy's inequality give, in the problem's own norm,

    ||u - v||^2 = sum_n dt ||e_n||_A^2  <=  sum_n dt ||r^n||_(A^-1)^2

The dual norm of each step is that of ``thomson.py``: any flux that balances r^n bounds it, here one reference solve's.
Reference: Thomee 2006, chapter 1 (the energy argument); Prager and Synge 1947.
"""

from __future__ import annotations

from functools import cached_property

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ...solvers.classes.evolution import SCHEMES
from ...solvers.discretisations import q1, q1_mass_multigrid
from ...solvers.discretisations.q1_multigrid import stiffness
from ...solvers.precision import UNIT_ROUNDOFF, gamma
from ...solvers.problems.heat import Heat
from ...solvers.problems.thermal_block import ThermalBlock
from .bounds import SLACK
from .radius import RadiusProof
from .thomson import UNDERFLOW, dual_norm, in_range

ROUNDINGS = gamma(q1.APPLY_ROUNDINGS + 12)  # of a residual's entry, relative to its absolute terms
SHARE = 0.1  # of each step's residual that one unit of effort leaves


class HeatProof(RadiusProof):
    """A march with loosely solved steps corrects."""

    problem: Heat
    unbounded = (
        "have a bound no smaller than what is known of the solution, which may be zero there: give an absolute "
        "tolerance, or correct with more steps"
    )

    @property
    def assumptions(self) -> tuple[str, ...]:
        return (
            "bilinear elements: A(k) = sum_q k_q A_q, every A_q symmetric positive semidefinite by construction",
            "every diffusivity positive, checked at every input",
            "lumped mass, a scheme with theta >= 1/2",
            "prescribed values, the initial state among them, exact: overwritten before certifying",
            "finite field, checked",
            "rounding, underflow covered for IEEE float64, no value-changing compiler optimisation",
        )

    @cached_property
    def _block(self) -> ThermalBlock:
        """The stationary problem of the same operator."""
        problem = self.problem
        return ThermalBlock(problem.blocks, problem.cells, low=problem.low, high=problem.high)

    def _states(self, v: Float[Array, " N"]) -> Float[Array, "steps+1 m m"]:
        n = self.problem.cells
        return v.reshape(-1, n + 1, n + 1)[:, 1:-1, 1:-1]

    def _residual(self, p: Array, before: Array, after: Array) -> tuple[Array, Array]:
        """Of one step in interior nodes, and a bound of its rounding in the 2-norm."""
        problem, theta = self.problem, SCHEMES[self.problem.scheme]
        weights, mass = problem.cell_weights(p[:-1]), problem.mass
        middle = theta * after + (1 - theta) * before
        r = mass * (after - before) / problem.time_step + stiffness(weights, middle) - p[-1] * mass
        size = theta * jnp.abs(after) + (1 - theta) * jnp.abs(before)
        absolute = mass * (jnp.abs(after) + jnp.abs(before)) / problem.time_step + jnp.abs(p[-1]) * mass
        absolute = absolute + q1.apply_absolute(weights, jnp.pad(size, 1))
        return r, 1.01 * ROUNDINGS * jnp.sqrt(jnp.vdot(absolute, absolute))

    def radius_row(self, p: Float[Array, " d"], v: Float[Array, " N"]) -> Float[Array, ""]:
        block, k = self._block, p[:-1]
        trusted = in_range(k, jnp.ones(1)) & jnp.isfinite(p[-1])
        k = jnp.where(trusted, k, 1.0)
        states = self._states(v)

        def square(pair: tuple[Array, Array]) -> Array:
            r, rounding = self._residual(p, *pair)
            load = jnp.pad(r, 1).reshape(-1)
            return (dual_norm(block, k, load, rounding) * SLACK) ** 2

        total = jnp.sum(lax.map(square, (states[:-1], states[1:])))
        r = jnp.sqrt(self.problem.time_step * total) * (1 + gamma(len(states) + 8)) * SLACK + UNDERFLOW
        return jnp.where(trusted, r, jnp.inf)

    def correct_row(self, p: Float[Array, " d"], v: Float[Array, " N"], effort: int) -> Float[Array, " N"]:
        """Each step's increment over v's own, by multigrid until a share of its residual is left."""
        problem, theta, states = self.problem, SCHEMES[self.problem.scheme], self._states(v)
        weights = problem.cell_weights(p[:-1])
        h = q1_mass_multigrid.hierarchy(problem.time_step * theta * weights, problem.mass)

        def step(before: Array, increment: Array) -> tuple[Array, Array]:
            guess = before + increment
            r, _ = self._residual(p, before, guess)
            after = guess + q1_mass_multigrid.solve(h, -problem.time_step * r, SHARE**effort).u
            return after, after

        _, rest = lax.scan(step, states[0], states[1:] - states[:-1])
        nearer = jax.vmap(lambda state: jnp.pad(state, 1).reshape(-1))(rest)
        return jnp.concatenate([v[: nearer.shape[1]], nearer.reshape(-1)])

    def norm_row(self, p: Float[Array, " d"], v: Float[Array, " N"]) -> tuple[Array, Array]:
        problem = self.problem
        value = problem.norm(p, v)
        # the element matrices' eigenvalues are at most 1, four elements meet in a node: A <= 4 max k, middles are means
        most = 4 * jnp.max(p[:-1]) * problem.time_step * jnp.vdot(v, v)
        return value, (gamma(2 * v.size + 40) * value + 8 * UNIT_ROUNDOFF * jnp.sqrt(most)) * 1.01 + UNDERFLOW
