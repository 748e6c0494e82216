"""Linear problems without a sign: A(p) u = f(p), A(p) = sum_q theta_q(p) A_q, nonsymmetric or indefinite.

Their proofs (natural norms, residuals over a verified inf-sup constant, comparison functions of an M-matrix) need the
parts of the operator, its matrix and the matrix of the norm. No coercivity is claimed.
"""

from __future__ import annotations

import abc
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Bool, Float

from ..precision import UNIT_ROUNDOFF
from ..problem import Problem
from .richardson import DiscretisationEstimate, richardson


class IndefiniteProblem(Problem):
    """Every method is JAX code for one input, except the matrices. Operators act on fields; prescribed rows give 0."""

    @property
    @abc.abstractmethod
    def free(self) -> Bool[np.ndarray, " N"]:
        """Which entries are unknowns; the others are prescribed."""

    @property
    @abc.abstractmethod
    def rounding_count(self) -> int:
        """n such that one entry of load - A N carries at most gamma_n times the sum of its absolute terms."""

    @property
    @abc.abstractmethod
    def order(self) -> int:
        """The order of convergence on solutions that the grid resolves."""

    @property
    @abc.abstractmethod
    def coarser(self) -> IndefiniteProblem:
        """The same problem with half the cells per side.

        Raises:
            ValueError: their number is odd or too small.
        """

    @abc.abstractmethod
    def theta(self, p: Float[Array, " d"]) -> Float[Array, " Q"]:
        """The weights, of any sign."""

    @abc.abstractmethod
    def load(self, p: Float[Array, " d"]) -> Float[Array, " N"]:
        """f(p), zero in prescribed rows."""

    @abc.abstractmethod
    def apply(self, theta: Float[Array, " Q"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        """sum_q theta_q A_q u in free rows; prescribed values of u are read."""

    @abc.abstractmethod
    def apply_absolute(self, theta: Float[Array, " Q"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        """sum_q |theta_q| |A_q| |u| in free rows (or more)."""

    @abc.abstractmethod
    def matrix(self, theta: Float[np.ndarray, " Q"]) -> sp.csr_matrix:
        """A(theta) over the free entries, for scipy."""

    @abc.abstractmethod
    def norm_matrix(self) -> sp.csr_matrix:
        """X over the free entries, symmetric positive definite: norm(p, v)^2 = v' X v for v zero in prescribed rows."""

    # ---- final from here on ------------------------------------------------------------------------------------------

    def residual(self, p: Any, u: Any) -> Float[Array, " N"]:
        """A(p) u - f(p) in free rows, u minus the prescribed value in the others. Differentiable in both."""
        p, u = jnp.asarray(p, dtype=jnp.float64), jnp.asarray(u, dtype=jnp.float64)
        return jnp.where(self.free, self.apply(self.theta(p), u) - self.load(p), u - self.prescribe(p, u))

    def residual_rounding(self, theta: Array, f: Array, u: Array) -> Float[Array, ""]:
        """A bound of the Euclidean norm of the rounding errors in evaluating f - A u in float64."""
        g = jnp.abs(f) + self.apply_absolute(theta, u)
        # 1.01: the few roundings of evaluating this bound itself, at most (N + 3) u relative.
        return 1.01 * self.rounding_count * UNIT_ROUNDOFF * jnp.sqrt(jnp.vdot(g, g))

    def operator_terms(self, u: Float[Array, " N"]) -> Float[Array, "Q N"]:
        """Every A_q u apart."""
        count = self.theta(jnp.asarray((self.inputs.lower + self.inputs.upper) / 2)).shape[0]
        return jnp.stack([self.apply(e, u) for e in jnp.eye(count)])

    def discretisation_error(self, p: Any) -> DiscretisationEstimate:
        """Richardson's estimate of the distance to the differential equation's solution, from this and a coarser grid.

        Raises:
            ValueError: an input outside the box, or cells that cannot be halved.
            SolveError: one of the two solves failed.
        """
        return richardson(self, self.coarser, p, self.order)


def halved(cells: int, least: int) -> int:
    """Half the cells of a side, for a coarser grid whose nodes are nodes of the finer one.

    Raises:
        ValueError: not even, or fewer than ``least`` are left.
    """
    if cells % 2 or cells // 2 < least:
        raise ValueError(f"a coarser grid needs an even number of at least {2 * least} cells per side, not {cells}")
    return cells // 2
