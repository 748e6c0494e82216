"""The problem that ``affine`` builds from somebody's matrices: sum_q theta_q(p) A_q u = f(p), every entry an unknown.

Solved by a sparse direct method; one reference operator, at the centre of the box, is factorised once. Eigenvalues are
bounded from below by a verified Cholesky factorisation (Rump 2006): if M - s I = G + E with G = L D L' computed, D > 0,
then lambda_min(M) >= s - ||E||_inf. So every A_q is positive semidefinite up to a small s_q, lambda_min(A_q) >= -s_q,
and with rho = min_q theta_q(p)/theta_ref_q

    lambda_min(A(p)) >= rho (lambda_min(A_ref) + sum theta_ref_q s_q) - sum theta_q(p) s_q,

for A(p) + sum theta_q s_q I >= rho (A_ref + sum theta_ref_q s_q I). The bounds are charged for the s_q.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax import lax
from jaxtyping import Array, Float, Int

from ..box import Box
from ..classes.coercive import CoerciveProblem
from ..foreign import call_foreign
from ..linear_algebra.direct import callback_float64, factorise, solve_refined
from ..linear_algebra.matrix_sum import MatrixSum
from ..linear_algebra.semidefinite import smallest_eigenvalue
from ..meshes.graph import matrix_edges
from ..meshes.tensor_grid import grid_of
from ..precision import RANGE, gamma
from ..problem import Attempt, nan_unless
from ..size import length
from .affine_terms import Prescribed, constraint_rows

TOLERANCE = 1e-12


@dataclass(frozen=True, eq=False, repr=False)
class Affine(CoerciveProblem):
    """Built by ``affine``; every entry of a field is an unknown."""

    methods = ("direct",)

    matrices: tuple[sp.csr_matrix, ...]
    theta_function: Callable[[Array], Array]
    load_function: Callable[[Array], Array] | None  # over all nodes; None where there are terms
    vectors: Float[np.ndarray, "J N"]  # load terms over the unknowns, those of the prescribed values last
    weights_function: Callable[[Array], Array] | None  # of the first load terms; None for ones
    prescribed: Prescribed | None
    coupled: tuple[tuple[int, int], ...]  # (q, k) of the load terms of the prescribed values
    box: Box
    points: Float[np.ndarray, "N axes"]
    shifts: Float[np.ndarray, " Q"]  # s_q

    def __repr__(self) -> str:
        return f"affine({len(self.matrices)} terms, {', '.join(self.box.names)} -> {self.size} values)"

    @property
    def settings(self) -> dict[str, Any]:
        return {}

    @property
    def inputs(self) -> Box:
        return self.box

    @property
    def shape(self) -> tuple[int, int, int]:
        return (1, self.matrices[0].shape[0], 1)

    @property
    def coordinates(self) -> Float[np.ndarray, "N axes"]:
        return self.points

    @property
    def input_field_names(self) -> tuple[str, ...]:
        names = (*self.box.names, "diagonal of A")
        return names if self._steady_load else (*names, "load")

    def input_field(self, p: Float[Array, " d"]) -> Float[Array, "nodes channels"]:
        """The inputs as constants; where they act shows in the diagonal of A(p), and in f(p) if that depends on p."""
        fields = [self.constant_channels(self.scaled_inputs(p)), self.theta(p) @ jnp.asarray(self._diagonals)]
        return jnp.column_stack(fields if self._steady_load else [*fields, self.load(p)])

    @property
    def _steady_load(self) -> bool:
        return self.load_function is None and self.weights_function is None and not self.coupled

    @cached_property
    def _diagonals(self) -> Float[np.ndarray, "Q N"]:
        return np.stack([m.diagonal() for m in self.matrices])

    @cached_property
    def grid_shape(self) -> tuple[int, ...] | None:
        """By the coordinates, where they were given."""
        return grid_of(self.points)

    @cached_property
    def edges(self) -> Int[np.ndarray, "e 2"]:
        """By the entries of the matrices."""
        return matrix_edges(self._operator.with_entries(self._operator.absolute.sum(axis=0)))

    @cached_property
    def free(self) -> np.ndarray:
        return np.ones(self.size, dtype=bool)

    @cached_property
    def _operator(self) -> MatrixSum:
        return MatrixSum(self.matrices)

    @cached_property
    def rounding_count(self) -> int:
        of_the_load = len(self.vectors)  # one for each term, and twice: see ``CoerciveProblem``
        return self._operator.widest + len(self.matrices) + 2 * of_the_load + 4

    def theta(self, p: Float[Array, " d"]) -> Float[Array, " Q"]:
        return call_foreign(_in_jax, self.theta_function, p, whose="theta")

    def load(self, p: Float[Array, " d"]) -> Float[Array, " N"]:
        return self._sum_of_loads(p, lambda x: x)

    def load_absolute(self, p: Float[Array, " d"]) -> Float[Array, " N"]:
        return self._sum_of_loads(p, jnp.abs)

    def _sum_of_loads(self, p: Float[Array, " d"], of: Callable[[Array], Array]) -> Float[Array, " N"]:
        total: Any = of(self._term_weights(p)) @ of(jnp.asarray(self.vectors)) if len(self.vectors) else 0.0
        if self.load_function is None:
            return total
        own = of(call_foreign(_in_jax, self.load_function, p, whose="the load"))
        return total + (own if self.prescribed is None else own[self.prescribed.free])

    def load_terms(self) -> Float[np.ndarray, "J N"] | None:
        return self.vectors if self.load_function is None else None

    @property
    def few_terms_remedy(self) -> str:
        if self.load_function is None:
            return ""
        return "its load is a function: give its terms, load=[f_1, .., f_J] with load_weights=p -> [J], and it is; "

    def load_weights(self, p: Float[Array, " d"]) -> Float[Array, " J"]:
        return self._term_weights(p)

    def _term_weights(self, p: Float[Array, " d"]) -> Float[Array, " J"]:
        count = len(self.vectors) - len(self.coupled)
        parts = [jnp.ones(count)]
        if self.weights_function is not None:
            parts = [call_foreign(_in_jax, self.weights_function, p, whose="load_weights")]
        if self.coupled:
            q, k = (np.array(column) for column in zip(*self.coupled, strict=True))
            parts.append(-(self.theta(p)[q] * self._prescribed_weights(p)[k]))
        return jnp.concatenate(parts)

    def _prescribed_weights(self, p: Float[Array, " d"]) -> Float[Array, " K"]:
        assert self.prescribed is not None
        if self.prescribed.weights is None:
            return jnp.ones(len(self.prescribed.values))
        return call_foreign(_in_jax, self.prescribed.weights, p, whose="the prescribed values' weights")

    def whole(self, p: Any, u: Any) -> Float[Array, " nodes"]:
        """A field in all nodes of the matrices, the prescribed ones included."""
        p, u = jnp.asarray(p, dtype=jnp.float64), jnp.asarray(u, dtype=jnp.float64)
        if self.prescribed is None:
            return u
        values = self._prescribed_weights(p) @ jnp.asarray(self.prescribed.values)
        total = len(self.prescribed.free) + len(self.prescribed.nodes)
        return jnp.zeros(total).at[self.prescribed.free].set(u).at[self.prescribed.nodes].set(values)

    @property
    def norm_name(self) -> str:
        lifted = self.prescribed is not None and self.prescribed.values.any()
        return "energy norm ||v||_A(p)" + (" of the lifted part, u less its prescribed values" if lifted else "")

    @cached_property
    def proof_notes(self) -> tuple[str, ...]:
        """From a sample of the box: weights and loads that proofs cannot use, rows that hide the least eigenvalue."""
        P = np.concatenate([self.box.lower[None], self.box.upper[None], self.box.sample(32)])

        def facts(p: Array) -> tuple[Array, Array, Array]:
            theta = self.theta(p)
            return theta, jnp.max(jnp.abs(self.load(p))), self.coercivity(theta)

        theta, load, least = (np.asarray(x) for x in jax.jit(jax.vmap(facts))(P))
        positive = (theta > 0).all(axis=1)
        size = load[(load > 0) & np.isfinite(load)]
        notes = []
        if not positive.all():
            worst = P[np.argmin(np.where(positive, np.inf, theta.min(axis=1)))]
            notes.append(
                f"theta is not positive in part of the box ({int((~positive).sum())} of {len(P)} sampled inputs, such "
                f"as {self.box.named(worst)}): no bound there; split the terms or restrict the box"
            )
        if len(size) and not (size.min() >= 1 / RANGE and size.max() <= RANGE):
            notes.append(
                f"loads of size {size.min():.1e} to {size.max():.1e} leave the range 2^-100 to 2^100 that proofs need: "
                "no bound there; change the units"
            )
        if (positive & ~(least > 0)).any():
            strange = constraint_rows(self.matrix(self.reference_theta))
            why = strange or "the terms differ more in size than float64 resolves, or their weights vary too much"
            notes.append(
                "no positive lower bound of the least eigenvalue is known in part of the box, so that upper bounds are "
                f"infinite there: {why}"
            )
        return tuple(notes)

    def identity(self) -> str:
        """Matrices, weights and load, each as few numbers that no change of theirs leaves alone, to ten digits: the
        same matrices assembled in another order have the same identity.
        """
        n = self.size
        x, y = np.cos(np.arange(n)), np.sin(np.arange(n) + 0.5)
        numbers: list[float] = []
        for m in self.matrices:
            rows = np.asarray(abs(m).max(axis=1).todense()).ravel()  # by rows: penalties do not hide the others
            rows = np.where(rows > 0, rows, 1.0)
            numbers += [float(y @ ((m @ x) / rows)) / np.sqrt(n), float(x @ np.log(rows)) / np.sqrt(n)]
        for k in range(3):
            p = jnp.asarray(self.box.from_unit((0.5 + k * 0.618 * np.arange(1, self.box.dimension + 1)) % 1))
            f = np.arcsinh(1e12 * np.asarray(self.load(p)))  # each entry on its own scale
            numbers += [float(x @ f) / np.sqrt(n), float(y @ f) / np.sqrt(n)]
            numbers += [float(t) for t in np.log(np.abs(np.asarray(self.theta(p))))]
        text = json.dumps([f"{round(float(value), 10) + 0.0:.10f}" for value in numbers])
        return hashlib.sha256(text.encode()).hexdigest()

    def apply(self, theta: Float[Array, " Q"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        return self._operator.apply(theta, u)

    def apply_absolute(self, theta: Float[Array, " Q"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        return self._operator.apply_absolute(theta, u)

    def operator_terms(self, u: Float[Array, " N"]) -> Float[Array, "Q N"]:
        return self._operator.apply_each(u)

    def flux_energy(self, scales: Float[Array, "K Q"], fields: Float[Array, "K N"]) -> tuple[Array, Array]:
        combined = scales.T @ fields
        absolute = jnp.abs(scales).T @ jnp.abs(fields)  # bounds the combination's own rounding too
        energies, sizes = self._operator.energies(combined, absolute)
        energy, scale = jnp.sum(energies), jnp.sum(sizes)
        shifted = jnp.asarray(self.shifts) @ jnp.sum(absolute**2, axis=1)
        count = 2 * (16 + len(scales)) + self.rounding_count + self.size + len(self.matrices)
        return jnp.maximum(energy, 0.0), gamma(count) * scale + 1.01 * shifted

    @cached_property
    def reference_theta(self) -> np.ndarray:
        return np.asarray(self.theta(jnp.asarray(self.box.centre)))

    @cached_property
    def _reference_factor(self) -> Callable[[np.ndarray], np.ndarray]:
        return factorise(self.matrix(self.reference_theta))

    @cached_property
    def _reference_coercivity(self) -> float:
        # The verified matrix is a rounded sum: what each entry may be off is taken from its smallest eigenvalue.
        entries = self._operator.entries
        off = gamma(len(entries) + 1) * (np.abs(self.reference_theta) @ np.abs(entries))
        widest = abs(self._operator.with_entries(off)).sum(axis=1).max()
        found = smallest_eigenvalue(self.matrix(self.reference_theta), self._reference_factor)
        return max(0.0, (found - 1.001 * float(widest)) * (1 - 1e-15))

    @property
    def indefiniteness(self) -> Float[np.ndarray, " Q"]:
        return self.shifts

    def coercivity(self, theta: Float[Array, " Q"]) -> Float[Array, ""]:
        share = jnp.min(theta / self.reference_theta) * (1 - 1e-15)
        whole = self._reference_coercivity + (1 - 1e-12) * float(self.reference_theta @ self.shifts)
        return share * whole * (1 - 1e-15) - (1 + 1e-12) * (theta @ self.shifts)

    def reference_solve(self, r: Float[Array, " N"]) -> Float[Array, " N"]:
        return callback_float64(self._reference_factor, r, r)

    def matrix(self, theta: Float[np.ndarray, " Q"]) -> sp.csr_matrix:
        return self._operator.matrix(theta)

    def absolute_matrix(self, theta: Float[np.ndarray, " Q"]) -> sp.csr_matrix:
        return self._operator.with_entries(np.abs(theta) @ self._operator.absolute)

    def factor(self, theta: Float[np.ndarray, " Q"]) -> Callable[[np.ndarray], np.ndarray]:
        return self._reference_factor if np.array_equal(theta, self.reference_theta) else factorise(self.matrix(theta))

    def solve_jax(self, p: Float[Array, " d"], tolerance: float | None = None) -> Attempt:
        tolerance = TOLERANCE if tolerance is None else tolerance
        theta = self.theta(p)
        f = self.load(p)

        def on_host(theta: np.ndarray, b: np.ndarray) -> np.ndarray:
            return solve_refined(self.matrix(theta), b)

        u = lax.custom_linear_solve(
            lambda v: self.apply(theta, v),
            f,
            lambda _, b: callback_float64(on_host, b, lax.stop_gradient(theta), b),
            symmetric=True,
        )
        defect = f - self.apply(theta, u)
        size = length(f)
        residual = length(defect) / jnp.where(size > 0, size, 1.0)
        floor = 4 * self.residual_rounding(theta, self.load_absolute(p), u) / jnp.where(size > 0, size, 1.0)
        good = jnp.all(theta > 0) & (residual <= jnp.maximum(tolerance, floor))
        return Attempt(nan_unless(good, u), residual, jnp.asarray(0), jnp.asarray(0))


def _in_jax(function: Callable[[Any], Any], p: Any) -> Array:
    return jnp.asarray(function(p), dtype=jnp.float64)
