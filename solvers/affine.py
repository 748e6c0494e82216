"""Affine coercive problems from anybody's matrices: sum_q theta_q(p) A_q u = f(p), with scipy.sparse A_q.

For those who can export the terms of their own discretisation: solve, residual, bounds and guard follow. Solved by a
sparse direct method; one reference operator, at the centre of the box, is factorised once. Eigenvalues are bounded from
below by a verified Cholesky factorisation (Rump 2006): if M - s I = G + E with G = L D L' computed, D > 0, then
lambda_min(M) >= s - ||E||_inf. So every A_q is positive semidefinite up to a small s_q, lambda_min(A_q) >= -s_q, and
with rho = min_q theta_q(p)/theta_ref_q

    lambda_min(A(p)) >= rho (lambda_min(A_ref) + sum theta_ref_q s_q) - sum theta_q(p) s_q,

for A(p) + sum theta_q s_q I >= rho (A_ref + sum theta_ref_q s_q I). The bounds are charged for the s_q.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax import lax
from jaxtyping import Array, Float

from .box import Box
from .coercive import CoerciveProblem
from .direct import factorise, host_call, solve_refined
from .foreign import call_foreign
from .precision import RANGE, gamma
from .problem import METHODS, Attempt, marked
from .real import real_array, real_csr
from .semidefinite import indefiniteness, smallest_eigenvalue

TOLERANCE = 1e-12


@dataclass(frozen=True, eq=False)
class Affine(CoerciveProblem):
    """Built by ``affine``; every entry of a field is an unknown."""

    matrices: tuple[sp.csr_matrix, ...]
    theta_function: Callable[[Array], Array]
    load_function: Callable[[Array], Array]
    fixed_load: Float[np.ndarray, " N"] | None  # f, where it does not depend on the inputs
    box: Box
    points: Float[np.ndarray, "N axes"]
    shifts: Float[np.ndarray, " Q"]  # s_q

    @property
    def name(self) -> str:
        return "affine"

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

    @cached_property
    def free(self) -> np.ndarray:
        return np.ones(self.size, dtype=bool)

    @cached_property
    def _pattern(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """rows, columns and indptr of the union of the patterns, and every matrix's entries there [Q, nnz]."""
        union = sum((abs(m) for m in self.matrices[1:]), abs(self.matrices[0])).tocsr()
        union.sort_indices()
        rows = np.repeat(np.arange(self.size), np.diff(union.indptr))
        position = sp.csr_matrix((np.arange(1, union.nnz + 1), union.indices, union.indptr), shape=union.shape)
        data = np.zeros((len(self.matrices), union.nnz))
        for q, m in enumerate(self.matrices):
            entries = m.tocoo()
            slots = np.asarray(position[entries.row, entries.col]).ravel() - 1
            data[q, slots] = entries.data
        return rows, union.indices, union.indptr, data

    @cached_property
    def rounding_count(self) -> int:
        widest = int(np.diff(self._pattern[2]).max())
        return widest + len(self.matrices) + 4

    def theta(self, p: Float[Array, " d"]) -> Float[Array, " Q"]:
        return call_foreign(_in_jax, self.theta_function, p, whose="theta")

    def load(self, p: Float[Array, " d"]) -> Float[Array, " N"]:
        return call_foreign(_in_jax, self.load_function, p, whose="the load")

    def load_terms(self) -> Float[np.ndarray, "J N"] | None:
        return None if self.fixed_load is None else self.fixed_load[None]

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

    def _times(self, entries: Array, u: Array) -> Array:
        rows, columns, _, _ = self._pattern
        return jax.ops.segment_sum(entries * u[columns], rows, num_segments=self.size, indices_are_sorted=True)

    def apply(self, theta: Float[Array, " Q"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        return self._times(theta @ self._pattern[3], u)

    def apply_absolute(self, theta: Float[Array, " Q"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        return self._times(jnp.abs(theta) @ np.abs(self._pattern[3]), jnp.abs(u))

    def terms(self, u: Float[Array, " N"]) -> Float[Array, "Q N"]:
        return jnp.stack([self._times(entries, u) for entries in self._pattern[3]])

    def flux_energy(self, scales: Float[Array, "K Q"], fields: Float[Array, "K N"]) -> tuple[Array, Array]:
        combined = scales.T @ fields
        absolute = jnp.abs(scales).T @ jnp.abs(fields)  # bounds the combination's own rounding too
        energy: Any = 0.0
        scale: Any = 0.0
        shifted: Any = 0.0
        for entries, shift, x, y in zip(self._pattern[3], self.shifts, combined, absolute, strict=True):
            energy = energy + jnp.vdot(x, self._times(entries, x))
            scale = scale + jnp.vdot(y, self._times(np.abs(entries), y))
            shifted = shifted + shift * jnp.vdot(y, y)
        count = 2 * (16 + len(scales)) + self.rounding_count + self.size
        return jnp.maximum(energy, 0.0), gamma(count) * scale + 1.01 * shifted

    @cached_property
    def reference_theta(self) -> np.ndarray:
        centre = self.box.from_unit(np.full(self.box.dimension, 0.5))
        return np.asarray(self.theta(jnp.asarray(centre)))

    @cached_property
    def _reference_factor(self) -> Callable[[np.ndarray], np.ndarray]:
        return factorise(self.matrix(self.reference_theta))

    @cached_property
    def _reference_coercivity(self) -> float:
        # The verified matrix is a rounded sum: what each entry may be off is taken from its smallest eigenvalue.
        _, indices, indptr, data = self._pattern
        off = gamma(len(data) + 1) * (np.abs(self.reference_theta) @ np.abs(data))
        widest = abs(sp.csr_matrix((off, indices, indptr), shape=(self.size, self.size))).sum(axis=1).max()
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
        return host_call(self._reference_factor, r, r)

    def matrix(self, theta: Float[np.ndarray, " Q"]) -> sp.csr_matrix:
        _, indices, indptr, data = self._pattern
        return sp.csr_matrix((np.asarray(theta) @ data, indices, indptr), shape=(self.size, self.size))

    def attempt(self, p: Float[Array, " d"], tolerance: float | None = None) -> Attempt:
        tolerance = TOLERANCE if tolerance is None else tolerance
        theta = self.theta(p)
        f = self.load(p)

        def on_host(theta: np.ndarray, b: np.ndarray) -> np.ndarray:
            return solve_refined(self.matrix(theta), b)

        u = lax.custom_linear_solve(
            lambda v: self.apply(theta, v),
            f,
            lambda _, b: host_call(on_host, b, lax.stop_gradient(theta), b),
            symmetric=True,
        )
        defect = f - self.apply(theta, u)
        size = jnp.sqrt(jnp.vdot(f, f))
        residual = jnp.sqrt(jnp.vdot(defect, defect)) / jnp.where(size > 0, size, 1.0)
        floor = 4 * self.residual_rounding(theta, f, u) / jnp.where(size > 0, size, 1.0)
        good = jnp.all(theta > 0) & (residual <= jnp.maximum(tolerance, floor))
        return Attempt(marked(good, u), residual, jnp.asarray(0), jnp.asarray(METHODS.index("direct")))


def affine(
    matrices: Sequence[Any],
    theta: Callable[[Array], Array] | None,
    load: Any,
    box: Box,
    coordinates: Any = None,
) -> Affine:
    """An affine coercive problem sum_q theta_q(p) A_q u = f(p) from symmetric positive semidefinite sparse matrices.

    Args:
        matrices: Q matrices [N, N] over the unknowns (boundary conditions already eliminated).
        theta: p [d] -> [Q], written with jax.numpy; None where the inputs are the weights themselves.
        load: f as a vector [N], or p [d] -> [N] written with jax.numpy.
        box: the inputs.
        coordinates: [N, axes], where the unknowns lie; numbered 0..N-1 where left out.

    Raises:
        ValueError: shapes that do not fit, a matrix that is complex, not symmetric or (to rounding) not semidefinite,
            entries beyond 2^-100 to 2^100, weights that are not positive at the centre of the box or not written with
            jax.numpy, a sum of terms that is singular there.
    """
    terms = tuple(_matrix(q, m) for q, m in enumerate(matrices))
    if not terms:
        raise ValueError("an affine problem needs at least one matrix")
    n = terms[0].shape[0]
    for q, m in enumerate(terms):
        if m.shape != (n, n):
            raise ValueError(f"matrix {q} has shape {m.shape}; all must be square of one size, here {(n, n)}")
        if not m.nnz:
            raise ValueError(f"matrix {q} is zero: leave it out")
        if not 1 / RANGE <= abs(m).max() <= RANGE:
            raise ValueError(f"matrix {q} has entries of size {abs(m).max():.1e}: change the units, proofs need room")
        if (m != m.T).nnz:
            raise ValueError(f"matrix {q} is not exactly symmetric: pass (A + A.T)/2 if only rounding is to blame")
    shifts = np.array([indefiniteness(m) for m in terms])
    if np.isinf(shifts).any():
        raise ValueError(f"matrix {int(np.argmax(shifts))} is not positive semidefinite: no bound would hold")
    theta_function = theta if theta is not None else (lambda p: p)
    fixed: np.ndarray | None = None
    if callable(load):
        load_function = load
    else:
        fixed = _own(load, "the load")
        load_function = lambda p: jnp.asarray(fixed)  # noqa: E731
    centre = jnp.asarray(box.from_unit(np.full(box.dimension, 0.5)))
    for what, function in (("theta", theta_function), ("the load", load_function)):
        try:
            jax.eval_shape(function, centre)
        except jax.errors.JAXTypeError:
            raise ValueError(
                f"{what} must be written with jax.numpy (import jax.numpy as jnp), not numpy: it is differentiated"
            ) from None
    weights = np.asarray(theta_function(centre), dtype=np.float64)
    if weights.shape != (len(terms),):
        raise ValueError(f"theta must give {len(terms)} weights, one per matrix, not shape {list(weights.shape)}")
    if not (weights > 0).all():
        raise ValueError(f"theta must be positive; at the centre of the box it is {weights.tolist()}")
    if np.shape(load_function(centre)) != (n,):
        raise ValueError(f"the load must have shape [{n}], not {list(np.shape(load_function(centre)))}")
    points = _own(np.arange(n)[:, None] if coordinates is None else coordinates, "coordinates")
    if points.ndim != 2 or len(points) != n:
        raise ValueError(f"coordinates must have shape [{n}, axes], not {list(points.shape)}")
    problem = Affine(terms, theta_function, load_function, fixed, box, points, shifts)
    singular = "at the centre of the box the sum of the terms is singular, or nearly: a missing boundary condition?"
    try:
        if not float(problem.coercivity(jnp.asarray(weights))) > 0:
            raise ValueError
    except ValueError:  # no factor at all, or no eigenvalue above zero
        raise ValueError(singular) from None
    return problem


def _in_jax(function: Callable[[Any], Any], p: Any) -> Array:
    return jnp.asarray(function(p), dtype=jnp.float64)


def _own(values: Any, what: str) -> np.ndarray:
    """A float64 copy that nobody can change: compiled code has read it already."""
    try:
        out = real_array(values)
    except ValueError as error:
        raise ValueError(f"{what} has {error}") from None
    out.setflags(write=False)
    return out


def _matrix(q: int, m: Any) -> sp.csr_matrix:
    try:
        return real_csr(m)
    except ValueError as error:
        raise ValueError(f"matrix {q} {error}") from None
