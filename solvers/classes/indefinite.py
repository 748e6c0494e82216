"""Linear problems without a sign: A(p) u = f(p), A(p) = sum_q theta_q(p) A_q, nonsymmetric or indefinite.

Their proofs (natural norms, residuals over a verified inf-sup constant, comparison functions of an M-matrix) need the
parts of the operator, its matrix and the matrix of the norm. No coercivity is claimed.
"""

from __future__ import annotations

import abc
from typing import Any

import scipy.sparse as sp
from jaxtyping import Array, Float

from .linear import LinearProblem
from .richardson import DiscretisationEstimate, richardson


class IndefiniteProblem(LinearProblem):
    """A linear problem with weights of any sign and a norm of its own, of which a matrix is known."""

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
    def norm_matrix(self) -> sp.csr_matrix:
        """X over the free entries, symmetric positive definite: norm(p, v)^2 = v' X v for v zero in prescribed rows."""

    # ---- final from here on ------------------------------------------------------------------------------------------

    def residual_rounding(self, theta: Array, f: Array, u: Array) -> Float[Array, ""]:
        """A bound of the Euclidean norm of the rounding errors in evaluating f - A u in float64."""
        return self.evaluation_rounding(theta, f, u)

    def discretisation_error(self, p: Any) -> DiscretisationEstimate:
        """Richardson's estimate of the distance to the differential equation's solution, from this and a coarser grid.

        Raises:
            ValueError: an input outside the box, or cells that cannot be halved.
            SolveError: one of the two solves failed.
        """
        return richardson(self, self.coarser, p, self.order)
