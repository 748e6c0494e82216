"""Tangent spaces in the problem's own norm: their sizes, singular values, numerical ranks and principal angles.

A norm that is no other's square root of an inner product has no angles; one that is gives its inner product back,

    (a, b) = (|a + b|^2 - |a - b|^2) / 4,

and fulfils the parallelogram law |a + b|^2 + |a - b|^2 = 2 |a|^2 + 2 |b|^2, by which it is recognised (Jordan and von
Neumann 1935). Principal angles are taken from cosines where these are small and from sines where they are, so that an
angle of zero comes out as zero (Bjorck and Golub 1973; in an inner product, Knyazev and Argentati 2002).
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ...solvers.batching import RowMap
from ...solvers.problem import Problem
from ...solvers.representative import kept_by_problem
from ..measured_error import safe_norm

SHARE = 1e-2  # of the largest singular value: weaker directions count as none
LAW = 1e-6  # how far the parallelogram law may be missed by rounding


class Directions(NamedTuple):
    """Derivatives J [d, N] as singular values, largest first, and fields of length one that span what is moved."""

    values: Float[np.ndarray, " d"]  # along the singular directions of the unit box
    fields: Float[np.ndarray, "d N"]  # orthonormal; zero beyond the rank
    rank: int


class Metric:
    """Lengths and inner products of a problem's fields. Where its norm comes from no inner product (``euclidean``),
    angles and singular values are those of the root mean square.
    """

    def __init__(self, problem: Problem) -> None:
        self._lengths, self._products = _lengths(problem), _products(problem)
        some = np.random.default_rng(0).standard_normal((2, problem.size))
        p = problem.inputs.centre
        self.euclidean = bool(self._products(p[None], some[None], some[None])[1][0] > LAW)

    def lengths(self, p: Float[np.ndarray, " d"], A: Float[np.ndarray, "k N"]) -> Float[np.ndarray, " k"]:
        """The norm of each row."""
        return np.asarray(self._lengths(p[None], A[None])[0])

    def products(
        self, p: Float[np.ndarray, " d"], A: Float[np.ndarray, "k N"], B: Float[np.ndarray, "m N"]
    ) -> Float[np.ndarray, "k m"]:
        """(a, b) of all rows. The lengths of rows may differ by many orders: each is brought to one first."""
        if self.euclidean:
            return A @ B.T / A.shape[1]
        (A, a), (B, b) = self._unit(p, A), self._unit(p, B)
        return a[:, None] * np.asarray(self._products(p[None], A[None], B[None])[0][0]) * b

    def _unit(self, p: np.ndarray, A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a = self.lengths(p, A)
        return A / np.where(a > 0, a, 1.0)[:, None], a

    def directions(self, p: Float[np.ndarray, " d"], J: Float[np.ndarray, "d N"]) -> Directions:
        """What J moves: singular values by the eigenvalues of its Gram matrix, right to about 1e-8 of the largest.

        The rank counts those above ``SHARE`` of the largest: the rest hardly moves the solution, and where it moves it
        to is told by rounding, differences and solver alike.
        """
        size = float(np.abs(J).max(initial=0.0))  # squares of what is far from one leave float64
        J = J / size if size > 0 else J
        found, turned = np.linalg.eigh(self.products(p, J, J))
        values = np.sqrt(np.clip(found[::-1], 0, None))
        rank = int((values > SHARE * values[0]).sum())
        fields = np.zeros_like(J)
        fields[:rank] = turned[:, ::-1][:, :rank].T @ J / values[:rank, None]
        return Directions(values * size, fields, rank)

    def angles(self, p: Float[np.ndarray, " d"], one: Directions, other: Directions) -> Float[np.ndarray, " k"]:
        """Principal angles in radians, smallest first, as many as the smaller space has dimensions."""
        small, large = (one, other) if one.rank <= other.rank else (other, one)
        if not small.rank:
            return np.zeros(0)
        k = small.rank
        cross = self.products(p, small.fields, large.fields)
        beyond = small.fields - cross @ large.fields  # what of the small space the large one has not
        cosines = np.linalg.svd(cross, compute_uv=False)[:k]
        squares = np.linalg.eigvalsh(self.products(p, beyond, beyond)[:k, :k])
        sines = np.sqrt(np.clip(squares, 0, 1))
        return np.where(squares < 0.5, np.arcsin(sines), np.arccos(np.clip(cosines, -1, 1)))


@kept_by_problem(8)
def _lengths(problem: Problem) -> RowMap:
    return RowMap(lambda p, A: lax.map(lambda a: safe_norm(problem, p, a), A), chunk=4)


@kept_by_problem(8)
def _products(problem: Problem) -> RowMap:
    """(P, A, B) -> inner products of rows of A and B, and by how much they miss the parallelogram law at most."""

    def pair(p: Array, a: Array, b: Array) -> tuple[Array, Array]:
        plus, minus = safe_norm(problem, p, a + b) ** 2, safe_norm(problem, p, a - b) ** 2
        both = 2 * safe_norm(problem, p, a) ** 2 + 2 * safe_norm(problem, p, b) ** 2
        return (plus - minus) / 4, jnp.abs(plus + minus - both) / jnp.where(both > 0, both, 1.0)

    def one(p: Array, A: Array, B: Array) -> tuple[Array, Array]:
        products, missed = lax.map(lambda a: lax.map(lambda b: pair(p, a, b), B), A)
        return products, missed.max()

    return RowMap(one, chunk=4)
