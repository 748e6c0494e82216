"""Theorems that are JAX code for one input and one field: compiled here, row by row, and asked with host arrays.

A theorem then is three functions of one row (``bound_row``, ``polish_row``, ``norm_row``) and its words.
"""

from __future__ import annotations

import abc

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ...solvers.batching import RowMap
from ...solvers.problem import Problem
from .bounds import ErrorBounds
from .proof import Proof


class FieldProof(Proof):
    """What is left to a subclass is traced: p [d], v [N], which carries the prescribed values. A row of ``v`` that was
    not finite holds a NaN.
    """

    unbounded = "have no upper bound"  # what is the matter with fields that have none, and what to do

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._bounds: dict[int, RowMap] = {}
        self._polish: dict[int, RowMap] = {}

    def constants_changed(self) -> None:
        """What is compiled holds them."""
        self._bounds.clear()
        self._polish.clear()

    @abc.abstractmethod
    def bound_row(self, p: Float[Array, " d"], v: Float[Array, " N"], effort: int) -> ErrorBounds:
        """Bounds of u - v."""

    @abc.abstractmethod
    def polish_row(
        self, p: Float[Array, " d"], v: Float[Array, " N"], effort: int
    ) -> tuple[Float[Array, " N"], ErrorBounds]:
        """v corrected, and bounds of what came out."""

    @abc.abstractmethod
    def norm_row(self, p: Float[Array, " d"], v: Float[Array, " N"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """||v|| as computed, and how far the exact one may be from it, where v may itself be a rounded difference."""

    def bounds(self, P: np.ndarray, U: np.ndarray, effort: int) -> tuple[np.ndarray, ErrorBounds, np.ndarray]:
        if effort not in self._bounds:

            def one(p: Array, u: Array) -> tuple[Array, ErrorBounds, Array]:
                v, changed = self._in_place(p, u)
                return v, self.bound_row(p, v, effort), changed

            self._bounds[effort] = RowMap(one)
        return self._bounds[effort](P, U)

    def polish(self, P: np.ndarray, U: np.ndarray, effort: int) -> tuple[np.ndarray, ErrorBounds]:
        if effort not in self._polish:

            def one(p: Array, u: Array) -> tuple[Array, ErrorBounds]:
                return self.polish_row(p, self._in_place(p, u)[0], effort)

            self._polish[effort] = RowMap(one)
        return self._polish[effort](P, U)

    def remarks(self, P: np.ndarray, U: np.ndarray, bounds: ErrorBounds, good: Bool[np.ndarray, " n"]) -> list[str]:
        rows = np.flatnonzero(good & ~np.isfinite(np.asarray(bounds.relative_upper)))
        if not len(rows):
            return []
        return [f"{len(rows)} fields, such as at {self.problem.inputs.named(P[rows[0]])}, {self.unbounded}"]

    def _in_place(self, p: Array, u: Array) -> tuple[Array, Array]:
        v = self.problem.prescribe(p, u)
        change = jnp.max(jnp.abs(v - u))
        # A row with a NaN or infinity keeps a NaN somewhere the bound must see, whatever was overwritten.
        v = jnp.where(jnp.all(jnp.isfinite(u)), v, jnp.nan)
        return v, change

    def error_interval(self, p: np.ndarray, field: np.ndarray, truth: np.ndarray, scale: float) -> tuple[float, float]:
        """From ||u - truth|| <= b: | ||u - v|| - ||truth - v|| | <= b, and ||u|| likewise."""
        solved, bound, _ = self.bounds(p[None], truth[None], 0)
        at, truth = jnp.asarray(p), np.asarray(solved[0])
        (size, size_off), (error, error_off) = (
            map(float, self.norm_row(at, jnp.asarray(x))) for x in (truth, truth - field)
        )
        b = float(bound.upper[0]) * (1 + 1e-12)
        if not np.isfinite([size, size_off, error, error_off, b]).all():
            return 0.0, np.inf
        down, up = 1 - 1e-15, 1 + 1e-15  # the handful of operations here, and the rounding of ``scale``
        most, least = scale + size + size_off + b, scale * down + max(size * down - size_off - b, 0.0)
        lower = max(error * down - error_off - b, 0.0) / most * down if most > 0 else 0.0
        upper = (error + error_off + b) / least * up if least > 0 else np.inf
        return lower, upper
