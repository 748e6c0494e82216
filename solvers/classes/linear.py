"""Linear problems A(p) u = f(p) whose operator is affine in few weights: A(p) = sum_q theta_q(p) A_q.

What coercive and indefinite problems have in common: the operator by its parts A_q, never as one matrix inside JAX, the
residual, and a bound of the rounding errors in evaluating it. q may number subdomains, parts of the equation, or single
cells.
"""

from __future__ import annotations

import abc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Bool, Float

from ..precision import UNIT_ROUNDOFF
from ..problem import Problem


class LinearProblem(Problem):
    """Every method but ``matrix`` is JAX code for one input. Operators take a field [N] and give zero in the rows of
    prescribed entries; the prescribed values of the field are read like the others.
    """

    @property
    @abc.abstractmethod
    def free(self) -> Bool[np.ndarray, " N"]:
        """Which entries of a field are unknowns; the others are prescribed."""

    @property
    @abc.abstractmethod
    def rounding_count(self) -> int:
        """The number n of roundings one behind the other in an entry of ``load - apply``: the error of an entry is at
        most gamma_n = n u/(1 - n u) times the sum of the absolute values of its terms (``precision.gamma``).
        """

    @abc.abstractmethod
    def theta(self, p: Float[Array, " d"]) -> Float[Array, " Q"]:
        """The weights of the operator's parts."""

    @abc.abstractmethod
    def load(self, p: Float[Array, " d"]) -> Float[Array, " N"]:
        """f(p), zero in the rows of prescribed entries."""

    @abc.abstractmethod
    def apply(self, theta: Float[Array, " Q"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        """sum_q theta_q A_q u in free rows."""

    @abc.abstractmethod
    def apply_absolute(self, theta: Float[Array, " Q"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        """sum_q |theta_q| |A_q| |u| in free rows, or more: what the rounding errors of ``apply`` are relative to."""

    @abc.abstractmethod
    def matrix(self, theta: Float[np.ndarray, " Q"]) -> sp.csr_matrix:
        """A(theta) over the free entries, for scipy. Runs on the host, where no JAX code may run."""

    def operator_terms(self, u: Float[Array, " N"]) -> Float[Array, "Q N"]:
        """Every A_q u by itself; only for problems of few parts."""
        return jnp.stack([self.apply(e, u) for e in jnp.eye(self.term_count)])

    # ---- final from here on ------------------------------------------------------------------------------------------

    @property
    def term_count(self) -> int:
        """Q, the number of parts of the operator."""
        return int(jax.eval_shape(self.theta, jnp.zeros(self.inputs.dimension)).shape[0])

    def residual(self, p: Any, u: Any) -> Float[Array, " N"]:
        """A(p) u - f(p) in free rows, u minus the prescribed value in the others. Differentiable in both."""
        p, u = jnp.asarray(p, dtype=jnp.float64), jnp.asarray(u, dtype=jnp.float64)
        return jnp.where(self.free, self.apply(self.theta(p), u) - self.load(p), u - self.prescribe(p, u))

    def evaluation_rounding(self, theta: Array, f: Array, u: Array) -> Float[Array, ""]:
        """A bound of the Euclidean norm of the rounding errors in evaluating f - A u in float64.

        Args:
            f: the load, or what its own rounding errors are relative to where it is a sum (``load_absolute``).
        """
        g = jnp.abs(f) + self.apply_absolute(theta, u)
        # 1.01: the few roundings of evaluating this bound itself, at most (N + 3) u relative.
        return 1.01 * self.rounding_count * UNIT_ROUNDOFF * jnp.sqrt(jnp.vdot(g, g))
