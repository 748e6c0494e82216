"""The heat equation, both schemes: the energy of the error is at most that of the residuals, step by step.

    M (e^{n+1} - e^n)/dt + A e_n = -r^n,    e_n = theta e^{n+1} + (1 - theta) e^n,    e^0 = 0,    theta >= 1/2

for e = u - v and the residual r^n of v in step n (initial and boundary values are prescribed). Test with e_n: (e^{n+1}
- e^n, e_n)_M = (|e^{n+1}|_M^2 - |e^n|_M^2)/2 + (theta - 1/2) |e^{n+1} - e^n|_M^2, sum over the steps and drop what is
not negative; then |r.e_n| <= ||r||_(A^-1) ||e_n||_A and Cauchy's inequality give, in the problem's own norm,

    ||u - v||^2 = sum_n dt ||e_n||_A^2  <=  sum_n dt ||r^n||_(A^-1)^2

Of one step the same test says, with rho = |M^-1 r|_M, R = ||r||_(A^-1) and lambda <= lambda_min(A, M),

    |e^{n+1}| <= |e^n| + dt rho,    |e^{n+1}|^2 <= |e^n|^2 + dt R^2/2,

(|e^{n+1}| + |e^n| >= 2 |e_n| in the first one where theta = 1/2, and |e^{n+1}| = |e_n| where theta = 1). Implicit Euler
can spend ||e_n||_A^2 >= lambda |e^{n+1}|^2 otherwise, all of it in the first one and half in the second:

    |e^{n+1}| (1 + dt lambda) <= |e^n| + dt rho,    |e^{n+1}|^2 (1 + dt lambda) <= |e^n|^2 + dt R^2

The dual norm is Thomson's: A = sum_c k_c B_c'B_c over the cells, A_1 the same with every k_c = 1. For ANY z, r = A_1 z
+ rest and r.v = sum_c k_c^(-1/2) B_c z . k_c^(1/2) B_c v + rest.v give

    ||r||_(A^-1) <= (sum_c |B_c z|^2 / k_c)^(1/2) + ||rest||_2 / lambda_min(A)^(1/2),    lambda_min(A) >= min k mu

mu the smallest eigenvalue of A_1; z comes from sine transforms, all steps at once, and is not trusted.
Reference: Thomee 2006, chapter 1 (the energy argument); Prager and Synge 1947.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from ...solvers.classes.evolution import SCHEMES
from ...solvers.discretisations import q1, q1_mass_multigrid, q1_sine
from ...solvers.discretisations.q1_multigrid import stiffness
from ...solvers.precision import RANGE, UNIT_ROUNDOFF, gamma
from ...solvers.problems.heat import Heat
from ..answers.evaluate import Model, answering_basis
from .bounds import SLACK, UNDERFLOW
from .heat_reduced import HeatReduced
from .proof import ANY_FIELD, ReducedProof
from .sines import Sines
from .stepping import SteppingProof
from .thomson import in_range

ROUNDINGS = gamma(q1.APPLY_ROUNDINGS + 12)  # of a residual's entry, relative to its absolute terms
ROWS = 16 / 3 * 1.01  # |A_1| 1: four cells, the absolute values in a row of whose matrices add to 8/6
FACTOR = 3.3  # || |B| ||_2: three rows of at most 1/2, 1/2, 6^(-1/2) over four corners, four cells around a node
SHARE = 0.1  # of each step's residual that one unit of effort leaves


class Residuals(NamedTuple):
    """Of each step: rho, R and lambda of the module's docstring, the last from below."""

    mass: Float[Array, "..."]
    energy: Float[Array, "..."]
    rate: Float[Array, "..."]


class HeatProof(SteppingProof):
    """A march with loosely solved steps corrects."""

    problem: Heat
    state_norm_name = "L2 norm in space"
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
            "the initial state is among the prescribed values",
            *ANY_FIELD,
        )

    @property
    def _theta(self) -> float:
        return SCHEMES[self.problem.scheme]

    @cached_property
    def _sines(self) -> np.ndarray:
        return Sines(self.problem.cells).matrix

    def _grids(self, states: Float[Array, "w S"]) -> Float[Array, "w n+1 n+1"]:
        n = self.problem.cells
        return states.reshape(-1, n + 1, n + 1)

    def _residual(self, p: Array, before: Array, after: Array) -> tuple[Array, Array]:
        """Of one step in interior nodes, and a bound of its rounding in the 2-norm; states with their boundaries."""
        problem, theta = self.problem, self._theta
        mass, dt, weights = problem.mass, problem.time_step, problem.cell_weights(p[:-1])
        middle = theta * after + (1 - theta) * before
        r = (mass / dt) * (after - before)[1:-1, 1:-1] + q1.apply(weights, middle) - p[-1] * mass
        largest = jnp.maximum(jnp.max(jnp.abs(before)), jnp.max(jnp.abs(after)))
        absolute = (2 * mass / dt + ROWS * jnp.max(p[:-1])) * largest + jnp.abs(p[-1]) * mass
        return r, 1.01 * ROUNDINGS * (problem.cells - 1) * absolute

    def _poisson(self, r: Float[Array, "w m m"]) -> Float[Array, "w m m"]:
        """About A_1^-1 r."""
        sines, m = jnp.asarray(self._sines), self.problem.cells - 1

        def both(x: Array) -> Array:
            """Along both axes, which change places."""
            once = (x.reshape(-1, m) @ sines).reshape(-1, m, m)
            return (jnp.swapaxes(once, 1, 2).reshape(-1, m) @ sines).reshape(-1, m, m)

        return both(both(r) * jnp.asarray(1 / q1_sine.eigenvalues(m + 1, m + 1)))

    def _smallest(self, p: Array) -> Float[Array, ""]:
        """At most lambda_min(A)."""
        n = self.problem.cells
        return jnp.min(p[:-1]) * (q1_sine.smallest_eigenvalue(n, n) * (1 - 1e-15))

    def measures(self, p: Float[Array, " d"], states: Float[Array, "w+1 S"]) -> Residuals:
        trusted = in_range(p[:-1], jnp.ones(1)) & (jnp.abs(p[-1]) <= RANGE) & (jnp.max(jnp.abs(states)) <= RANGE)
        p = jnp.where(trusted, p, 1.0)
        grids, mass, cells = self._grids(states), self.problem.mass, self.problem.cells**2
        inverse = 1 / self.problem.cell_weights(p[:-1])
        least, root = self._smallest(p), jnp.sqrt(jnp.min(p[:-1]))
        r, rounding = lax.map(lambda pair: self._residual(p, *pair), (grids[:-1], grids[1:]))

        def norms(step: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            r, z, off = step
            z = jnp.pad(z, 1)
            rest = r - q1.apply(jnp.ones_like(inverse), z)
            # squares that underflow are missing before anything is divided by a small diffusivity
            flux, length = jnp.sum(inverse * q1.flux_square(z)), jnp.sqrt(jnp.sum(z * z)) + UNDERFLOW
            size = jnp.sqrt(jnp.sum(r * r)) * (1 + gamma(cells + 8)) + UNDERFLOW
            missed = jnp.sqrt(jnp.sum(rest * rest)) * (1 + gamma(cells + 8)) + UNDERFLOW
            missed = missed + 1.5 * (off + ROUNDINGS * (size + ROWS * length))
            lost = UNDERFLOW + gamma(16) * FACTOR * length
            flux = jnp.sqrt(flux) * (1 + gamma(3 * cells + 32)) + lost / root
            return size + off, flux + missed / jnp.sqrt(least)

        size, energy = lax.map(norms, (r, self._poisson(r), rounding))
        rate = jnp.full(size.shape, least / mass * (1 - 1e-15))
        known = jnp.where(trusted, 1.0, jnp.inf)
        slack = SLACK * known
        return Residuals(size / np.sqrt(mass) * slack + UNDERFLOW, energy * slack + UNDERFLOW, rate)

    def advance(self, b: Float[Array, ""], measure: Residuals) -> Float[Array, ""]:
        dt = self.problem.time_step
        straight, square = b + dt * measure.mass, b**2 + dt / 2 * measure.energy**2
        if self._theta == 1.0:
            more = (1 + dt * measure.rate) / SLACK
            straight, square = straight / more, jnp.minimum(square, (b**2 + dt * measure.energy**2) / more)
        return jnp.minimum(straight, jnp.sqrt(square)) * SLACK + UNDERFLOW

    def start(self, p: Float[Array, " d"]) -> Float[Array, ""]:
        return jnp.zeros(())

    def length(self, b: Float[Array, " steps+1"], measures: Residuals) -> Float[Array, ""]:
        total = jnp.sqrt(self.problem.time_step * jnp.sum(measures.energy**2))
        return total * (1 + gamma(len(b) + 8)) * SLACK + UNDERFLOW

    @cached_property
    def free_state(self) -> Bool[np.ndarray, " S"]:
        return q1.interior(self.problem.cells, self.problem.cells).ravel()

    def corrected(self, p: Float[Array, " d"], states: Float[Array, "w+1 S"], effort: int) -> Float[Array, "w+1 S"]:
        """Each step's increment over the states' own, by multigrid until a share of its residual is left."""
        problem, grids = self.problem, self._grids(states)[:, 1:-1, 1:-1]
        weights = problem.cell_weights(p[:-1])
        h = q1_mass_multigrid.hierarchy(problem.time_step * self._theta * weights, problem.mass)
        source = p[-1] * problem.mass

        def step(before: Array, increment: Array) -> tuple[Array, Array]:
            middle = before + self._theta * increment
            r = problem.mass / problem.time_step * increment + stiffness(weights, middle) - source
            after = before + increment + q1_mass_multigrid.solve(h, -problem.time_step * r, SHARE**effort).u
            return after, after

        _, rest = lax.scan(step, grids[0], grids[1:] - grids[:-1])
        nearer = jnp.pad(rest, ((0, 0), (1, 1), (1, 1))).reshape(len(rest), -1)
        return jnp.concatenate([states[:1], nearer])

    def basis(self, model: Model) -> Float[np.ndarray, "N k"] | str:
        return answering_basis(self.problem, np.ones(self.problem.size, dtype=bool), model)

    def reduced(self, model: Model) -> ReducedProof | str:
        basis = self.basis(model)
        if isinstance(basis, str):
            return basis
        try:
            return HeatReduced(self.problem, basis)
        except ValueError as error:  # not zero where it must be, or modes of which no factor is known
            return str(error)

    def state_norm(self, p: Float[Array, " d"], state: Float[Array, " S"]) -> tuple[Array, Array]:
        value = jnp.sqrt(self.problem.mass * jnp.sum(state**2))
        return value, gamma(state.size + 16) * value + UNDERFLOW

    def dual_norm_row(self, p: Float[Array, " d"], weights: Float[Array, " N"]) -> Float[Array, ""]:
        """sum_n |w^n|_(M^-1) / 2^(1/2): |r.e_n| <= ||r||^2_(A^-1)/4 + ||e_n||^2_A in the sum over the steps up to any n
        leaves |e^n|_M^2 <= 1/2 sum dt ||r||^2_(A^-1), the square of what ``radius_row`` bounds.
        """
        states = self._grids(weights)[1:, 1:-1, 1:-1]  # the initial one has no error
        lengths = jnp.sqrt(jnp.sum(states**2, axis=(1, 2)) / self.problem.mass / 2)
        return jnp.sum(lengths) * (1 + gamma(2 * weights.size)) + UNDERFLOW

    def norm_row(self, p: Float[Array, " d"], v: Float[Array, " N"]) -> tuple[Array, Array]:
        problem = self.problem
        value = problem.norm(p, v)
        # the element matrices' eigenvalues are at most 1, four elements meet in a node: A <= 4 max k, middles are means
        most = jnp.sqrt(4 * jnp.max(p[:-1]) * problem.time_step)
        length = jnp.sqrt(jnp.vdot(v, v))
        off = gamma(2 * v.size + 40) * value + (8 * UNIT_ROUNDOFF * length + UNDERFLOW) * most
        return value, off * 1.01 + UNDERFLOW
