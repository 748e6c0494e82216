"""Nonlinear stationary problems: F(p, u) = 0, solved by Newton's method with a sparse Jacobian.

Their proofs (Newton-Kantorovich, monotone iterations) need the residual, its Jacobian over the unknowns and the
matrix of the norm. The truth is one solution on one named branch; another may exist.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax import lax
from jaxtyping import Array, Bool, Float

from ..linear_algebra.implicit import LinearSolves, Root, differentiable_root
from ..linear_algebra.sparse_lu import ProbedJacobian
from ..problem import Attempt, nan_unless
from .refinable import RefinableProblem


class NonlinearProblem(RefinableProblem):
    """Every method is JAX code for one input, except the matrices."""

    methods = ("newton",)

    @property
    @abc.abstractmethod
    def free(self) -> Bool[np.ndarray, " N"]:
        """Which entries are unknowns; the others are prescribed."""

    @property
    @abc.abstractmethod
    def probing(self) -> ProbedJacobian:
        """The pattern of the Jacobian over the unknowns."""

    @abc.abstractmethod
    def residual(self, p: Any, u: Any) -> Float[Array, " N"]:
        """F(p, u) in free rows, u minus the prescribed value in the others. Differentiable in both."""

    @abc.abstractmethod
    def load_size(self, p: Float[Array, " d"]) -> Float[Array, ""]:
        """The Euclidean norm that a solve's residual is relative to."""

    @abc.abstractmethod
    def residual_rounding(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, ""]:
        """A bound of the Euclidean norm of the rounding errors in evaluating F(p, u) in float64."""

    @abc.abstractmethod
    def norm_matrix(self, p: Any) -> sp.csr_matrix:
        """X over the free entries, symmetric positive definite: norm(p, v)^2 = v' X v for v zero in prescribed rows."""

    def approximate_error(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"] | None:
        """Newton's correction, which is right to second order."""
        return self.newton_error(p, u)

    # ---- final from here on ------------------------------------------------------------------------------------------

    def field(self, p: Float[Array, " d"], v: Float[Array, " n"]) -> Float[Array, " N"]:
        """The field with these unknowns and the prescribed values."""
        return self.prescribe(p, jnp.zeros(self.size).at[np.flatnonzero(self.free)].set(v))

    def equation(self, p: Float[Array, " d"], v: Float[Array, " n"]) -> Float[Array, " n"]:
        """The rows of F(p, u) at the free entries, u the field with the unknowns v."""
        return self.residual(p, self.field(p, v))[np.flatnonzero(self.free)]

    def jacobian_entries(self, p: Float[Array, " d"], v: Float[Array, " n"]) -> Float[Array, " nnz"]:
        """dF/du over the unknowns, in the order of the pattern."""
        return self.probing.entries(jax.linearize(lambda w: self.equation(p, w), v)[1])

    def jacobian(self, p: Any, u: Any) -> sp.csr_matrix:
        """dF/du over the free entries at a field, for scipy."""
        p, u = jnp.asarray(p, dtype=jnp.float64), jnp.asarray(u, dtype=jnp.float64)
        return self.probing.lu.matrix(np.asarray(self.jacobian_entries(p, u[np.flatnonzero(self.free)])))

    def correction(self, p: Float[Array, " d"], v: Float[Array, " n"], r: Float[Array, " n"]) -> Float[Array, " n"]:
        """(dF/du)^-1 r over the unknowns, the Jacobian taken at v: a Newton correction. NaN where it is singular."""
        return self.probing.lu.solve(self.jacobian_entries(p, v), r)

    def newton_error(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        """(dF/du)^-1 F(p, u) by sparse LU, zero in prescribed entries; differentiable in u, at the cost of two more
        solves with the same factors.
        """
        places = np.flatnonzero(self.free)
        v = u[places]
        jacobian = jax.linearize(lambda w: self.equation(p, w), v)[1]
        known = lax.stop_gradient((p, v))
        solves = self.probing.lu.solves(self.jacobian_entries(*known))
        e = lax.custom_linear_solve(
            jacobian, self.equation(p, v), lambda _, b: solves.solve(b), lambda _, b: solves.transposed(b)
        )
        return jnp.zeros(self.size).at[places].set(e)

    def finish(self, p: Float[Array, " d"], find: Callable[[Array], Root], tolerance: float) -> Attempt:
        """The attempt from a Newton iteration ``find``, differentiable in p by the implicit function theorem alone.

        Accepted: a relative residual of ``tolerance``, or what rounding leaves of it.
        """

        def solves(p: Array, v: Array) -> LinearSolves:
            return self.probing.lu.solves(self.jacobian_entries(p, v))

        root = differentiable_root(self.equation, find, solves)(p)
        u = self.field(p, root.u)
        size = self.load_size(p)
        residual = root.residual / size
        good = jnp.isfinite(root.u).all() & (residual <= jnp.maximum(tolerance, self.residual_rounding(p, u) / size))
        newton = jnp.asarray(0)
        return Attempt(nan_unless(good, u), residual, root.iterations.astype(int), newton)
