"""Linear problems without a sign: A(p) u = f(p), A(p) = sum_q theta_q(p) A_q, nonsymmetric or indefinite.

Their proofs (natural norms, residuals over a verified inf-sup constant, comparison functions of an M-matrix) need the
parts of the operator, its matrix and the matrix of the norm. No coercivity is claimed.
"""

from __future__ import annotations

import abc

import scipy.sparse as sp
from jaxtyping import Array, Float

from .linear import LinearProblem
from .refinable import RefinableProblem


class IndefiniteProblem(LinearProblem, RefinableProblem):
    """A linear problem with weights of any sign and a norm of its own, of which a matrix is known."""

    @abc.abstractmethod
    def norm_matrix(self) -> sp.csr_matrix:
        """X over the free entries, symmetric positive definite: norm(p, v)^2 = v' X v for v zero in prescribed rows."""

    # ---- final from here on ------------------------------------------------------------------------------------------

    def residual_rounding(self, theta: Array, f: Array, u: Array) -> Float[Array, ""]:
        """A bound of the Euclidean norm of the rounding errors in evaluating f - A u in float64."""
        return self.evaluation_rounding(theta, f, u)
