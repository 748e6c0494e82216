"""Symmetric coercive problems: A(p) u = f(p), A(p) = sum_q theta_q(p) A_q, A_q positive semidefinite, theta_q(p) > 0.

This is what the proved bounds stand on (``verify/proofs/thomson.py``). To the operator by its parts (``linear.py``)
the class adds what a proof in floating point needs: fluxes and their energy, a lower bound of the smallest eigenvalue,
and a reference operator that can be inverted quickly.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax import lax
from jaxtyping import Array, Float

from ..affine_decomposition import AffineDecomposition
from ..field_norm import homogeneous
from ..linear_algebra.direct import factorise
from ..outputs import Output, named
from ..problem import Attempt
from .linear import LinearProblem

COMPLIANCE = Output("compliance", square=1.0)


class CoerciveProblem(LinearProblem):
    """A linear problem with weights theta_q(p) > 0 inside the box and positive semidefinite parts A_q = B_q' B_q.

    ``rounding_count`` counts the roundings of the load twice here, since the bound of the compliance, f.v +
    v.(f - A v), reads the load twice.
    """

    @abc.abstractmethod
    def flux_energy(self, scales: Float[Array, "K Q"], fields: Float[Array, "K N"]) -> tuple[Array, Array]:
        """sum_q |sum_k scales_kq B_q fields_k|^2 with A_q = B_q' B_q, and a bound of its rounding error."""

    @abc.abstractmethod
    def coercivity(self, theta: Float[Array, " Q"]) -> Float[Array, ""]:
        """A proved lower bound of the smallest eigenvalue of A(theta) over the free entries."""

    @property
    @abc.abstractmethod
    def reference_theta(self) -> Float[np.ndarray, " Q"]:
        """The weights of the reference operator that ``reference_solve`` inverts."""

    @abc.abstractmethod
    def reference_solve(self, r: Float[Array, " N"]) -> Float[Array, " N"]:
        """z ~ A_ref^-1 r, zero in prescribed rows; its own inexactness is measured and added by the bounds."""

    @property
    def indefiniteness(self) -> Float[np.ndarray, " Q"] | None:
        """s_q >= 0 with A_q + s_q I verified positive semidefinite; None where A_q = B_q' B_q by construction."""
        return None

    def preconditioner(self, theta: Float[Array, " Q"]) -> Callable[[Array], Array] | None:
        """A symmetric approximate inverse of A(theta) that follows the weights (a multigrid cycle), or None."""
        return None

    def absolute_matrix(self, theta: Float[np.ndarray, " Q"]) -> sp.csr_matrix | None:
        """A matrix over the free entries whose product with |u| is ``apply_absolute`` of u; None: ask that instead."""
        return None

    def factor(self, theta: Float[np.ndarray, " Q"]) -> Callable[[np.ndarray], np.ndarray]:
        """A solver with A(theta) over the free entries, for [n] or [n, k], on the host."""
        return factorise(self.matrix(theta))

    def load_terms(self) -> Float[np.ndarray, "J N"] | None:
        """Vectors f_j with f(p) = sum_j load_weights(p)_j f_j; None where f has no such expansion or Q is large.

        With it the problem is affine in few terms, and surrogates with a basis can be certified in reduced coordinates.
        """
        return None

    def load_weights(self, p: Float[Array, " d"]) -> Float[Array, " J"]:
        """The weights in f(p) = sum_j load_weights(p)_j f_j; one for each of ``load_terms``."""
        return jnp.ones(1)

    def approximate_error(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"] | None:
        """B (A(p) u - f(p)), B the preconditioner; without one A_ref^-1 scaled to the middle of theta/theta_ref."""
        theta = self.theta(p)
        r = self.apply(theta, u) - self.load(p)
        nearby = self.preconditioner(theta)
        if nearby is not None:
            return nearby(r)
        reference = jnp.asarray(self.reference_theta)
        shares = theta / reference
        z = lax.custom_linear_solve(
            lambda v: self.apply(reference, v), r, lambda _, r: self.reference_solve(r), symmetric=True
        )
        return z / jnp.sqrt(jnp.min(shares) * jnp.max(shares))

    @property
    def proof_notes(self) -> tuple[str, ...]:
        """Why upper bounds are, or may be, infinite in this problem's box, and what to do about it."""
        return ()

    @cached_property
    def outputs(self) -> Mapping[str, Output]:
        """The compliance f.u, which is ||u||^2; a problem's own come beside it."""
        return named(COMPLIANCE)

    # ---- final from here on --------------------------------------------------------------------------------------

    @property
    def energy_matrix(self) -> sp.csr_matrix:
        """A_ref, the matrix of the reference weights."""
        return self.matrix(self.reference_theta)

    @property
    def affine_decomposition(self) -> AffineDecomposition | None:
        """None where the load has no terms (``load_terms``)."""
        loads = self.load_terms()
        if loads is None:
            return None
        count = len(self.reference_theta)
        return AffineDecomposition(count, self.theta, self.load_weights, self.matrix, loads, self.free)

    def load_absolute(self, p: Float[Array, " d"]) -> Float[Array, " N"]:
        """sum_j |load_weights_j| |f_j|: the size that the rounding errors of ``load`` go by."""
        terms = self.load_terms()
        if terms is None:
            return jnp.abs(self.load(p))
        return jnp.abs(self.load_weights(p)) @ jnp.abs(jnp.asarray(terms))

    def explain(self, p: Float[np.ndarray, " d"], result: Attempt) -> str:
        """Why the solve at p failed, as far as the weights tell: one is not positive, or they differ by too much."""
        theta = np.asarray(self.theta(jnp.asarray(p)))
        if not (theta > 0).all():
            return "a weight is not positive there"
        contrast = theta.max() / theta.min()
        if contrast < 1e6:
            return ""
        return (
            f"coefficients that differ by a factor of {contrast:.1g} are more than float64 resolves: take less contrast"
        )

    def flux_factor(self, theta: Float[Array, " Q"]) -> Any:
        """The factor (1 + sum_q theta_q s_q / lambda_min(A))^(1/2), at least 1, by which the length of a flux may
        exceed the energy norm, since the A_q are semidefinite only up to the s_q of ``indefiniteness``.
        """
        if self.indefiniteness is None:
            return 1.0
        return jnp.sqrt(1 + 1.001 * (theta @ jnp.asarray(self.indefiniteness)) / self.coercivity(theta))

    @property
    def norm_name(self) -> str:
        """The energy norm at p."""
        return "energy norm ||v||_A(p)"

    @homogeneous
    def norm(self, p: Any, u: Any) -> Float[Array, ""]:
        """sqrt(u' A(p) u), as the length of the flux: no cancellation."""
        p, u = jnp.asarray(p, dtype=jnp.float64), jnp.asarray(u, dtype=jnp.float64)
        return jnp.sqrt(self.flux_energy(jnp.sqrt(self.theta(p))[None], u[None])[0])

    def residual_rounding(self, theta: Array, f: Array, u: Array) -> Float[Array, ""]:
        """A bound of the Euclidean norm of everything by which f - A u, evaluated in float64, may be off: the rounding
        errors, and sum_q theta_q s_q u where the terms are semidefinite only up to s_q (``indefiniteness``).

        Args:
            f: the load, or what its own rounding errors are relative to where it is a sum (``load_absolute``).
        """
        rounding = self.evaluation_rounding(theta, f, u)
        if self.indefiniteness is None:
            return rounding
        return rounding + 1.01 * (theta @ jnp.asarray(self.indefiniteness)) * jnp.sqrt(jnp.vdot(u, u))
