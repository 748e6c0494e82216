"""Advection-diffusion: the residual of a field in the norms that ``flow_bounds.py`` takes it in, and nothing offline.

The smaller of two radii, each a constant in closed form times a norm of the residual: |r|_(K^-1) by one sine transform,
|r|_2 as it is. Rounding: of r, of the transform and of theta.
"""

from __future__ import annotations

from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ....solvers.discretisations import five_point_solve
from ....solvers.precision import RANGE, UNIT_ROUNDOFF, gamma
from ....solvers.problems.advection_diffusion import AdvectionDiffusion
from ...answers.evaluate import Model, answering_basis
from ..bounds import SLACK, UNDERFLOW
from ..proof import ANY_FIELD, ReducedProof
from ..radius import RadiusProof
from ..sines import EIGENVALUE, Sines
from .advection_diffusion_reduced import AdvectionDiffusionReduced
from .flow_bounds import THETA, FlowBounds


class AdvectionDiffusionProof(RadiusProof):
    """The solver itself corrects, refined once with two units of effort."""

    problem: AdvectionDiffusion
    unbounded = (
        "have a bound no smaller than what is known of the solution, or are beyond the range of float64: correct them "
        "with a step, or give an absolute tolerance"
    )

    @property
    def assumptions(self) -> tuple[str, ...]:
        return (
            "constant coefficients on equal squares: central differences are exactly skew, second ones diagonal in "
            "sines",
            "where a barrier bounds the inverse: an M-matrix after a perturbation of the scheme's diffusions, which is "
            "measured at every input and charged",
            "every diffusion of the scheme positive, checked at every input",
            "theta(p) is what its functions give, to a few roundings of each weight",
            *ANY_FIELD,
        )

    @cached_property
    def _sines(self) -> Sines:
        return Sines(self.problem.cells)

    @cached_property
    def _flow(self) -> FlowBounds:
        return FlowBounds(self.problem.cells)

    def _inside(self, v: Float[Array, " N"]) -> Float[Array, "m m"]:
        n = self.problem.cells
        return v.reshape(n + 1, n + 1)[1:-1, 1:-1]

    def radius_row(self, p: Float[Array, " d"], v: Float[Array, " N"]) -> Float[Array, ""]:
        problem, theta, f = self.problem, self.problem.theta(p), self.problem.load(p)
        trusted = self._flow.in_range(theta) & jnp.all(jnp.abs(v) <= RANGE**2)
        theta, v = jnp.where(trusted, theta, 1.0), jnp.where(trusted, v, 0.0)
        r = self._inside(f - problem.apply(theta, v))
        around = problem.apply_absolute(theta, v)
        off = 1.01 * (problem.residual_rounding(theta, f, v) + THETA * jnp.sqrt(jnp.vdot(around, around)))
        size = jnp.sqrt(jnp.vdot(r, r)) * (1 + gamma(problem.size + 8)) + off
        diffusions = self._flow.least_diffusions(theta)
        eigenvalues = self._sines.eigenvalues([diffusions[0], diffusions[1]]) * (1 - EIGENVALUE)
        by_energy, by_barrier = self._flow.inverse_bounds(theta)
        dual = self._sines.dual_norm(r, eigenvalues, off)
        radius = jnp.minimum(by_energy * (dual + UNDERFLOW), by_barrier * (size + UNDERFLOW))
        return jnp.where(trusted, radius * SLACK + UNDERFLOW, jnp.inf)

    def correct_row(self, p: Float[Array, " d"], v: Float[Array, " N"], effort: int) -> Float[Array, " N"]:
        problem, theta = self.problem, self.problem.theta(p)
        factors = five_point_solve.factors(theta, problem.cells)
        for _ in range(min(effort, 2)):
            r = self._inside(problem.load(p) - problem.apply(theta, v))
            v = v + jnp.pad(five_point_solve.solve(factors, r), 1).reshape(-1)
        return v

    def dual_norm_row(self, p: Float[Array, " d"], weights: Float[Array, " N"]) -> Float[Array, ""]:
        """|w|_2 / h."""
        w = self._inside(weights)
        return self.problem.cells * jnp.sqrt(jnp.vdot(w, w)) * (1 + gamma(w.size + 8)) * SLACK + UNDERFLOW

    def norm_row(self, p: Float[Array, " d"], v: Float[Array, " N"]) -> tuple[Array, Array]:
        value = self.problem.norm(p, v)
        relative = gamma(v.size + 16) + 2 * UNIT_ROUNDOFF  # v may be a rounded difference
        return value, relative * value * SLACK + UNDERFLOW

    def basis(self, model: Model) -> Float[np.ndarray, "N k"] | str:
        if self.problem.data != "source":
            return f"{self.problem.name} with data={self.problem.data!r} prescribes values that no basis of modes holds"
        return answering_basis(self.problem, self.problem.free, model)

    def reduced(self, model: Model) -> ReducedProof | str:
        basis = self.basis(model)
        if isinstance(basis, str):
            return basis
        try:
            return AdvectionDiffusionReduced(self.problem, basis)
        except ValueError as error:  # modes of which no factor is known
            return str(error)
