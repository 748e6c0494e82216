"""Theorems that are JAX code for one input and one field: compiled here, row by row, and asked with host arrays.

A theorem then is three functions of one row (``bound_row``, ``polish_row``, ``norm_row``) and its words.
"""

from __future__ import annotations

import abc
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ...solvers.batching import RowMap
from ...solvers.outputs import ROUNDINGS, Output, value
from ...solvers.precision import gamma
from ...solvers.problem import Problem
from .bounds import ErrorBounds, OutputBounds, interval_around, linear_value, squares
from .proof import Proof

MOST_OUTPUTS = 16  # compiled at a time; those of constant weights share what is compiled


class FieldProof(Proof):
    """What is left to a subclass is traced: p [d], v [N], which carries the prescribed values. A row of ``v`` that was
    not finite holds a NaN.
    """

    unbounded = "have no upper bound"  # what is the matter with fields that have none, and what to do

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._bounds: dict[int, RowMap] = {}
        self._polish: dict[int, RowMap] = {}
        self._outputs: dict[tuple[int, Output | None], RowMap] = {}

    def constants_changed(self) -> None:
        """What is compiled holds them."""
        self._bounds.clear()
        self._polish.clear()
        self._outputs.clear()

    def _ready(self) -> None:
        """Have at hand what is made outside of compiled code that needs it, such as constants."""

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

    def dual_norm_row(self, p: Float[Array, " d"], weights: Float[Array, " N"]) -> Float[Array, ""]:
        """At least |weights . d| / ||d|| for every d that is zero in prescribed rows; infinite: no outputs are bounded.

        In the norm of ``bound_row``, or whatever a radius bounds (``radius.py``).
        """
        return jnp.asarray(jnp.inf)

    def output_row(
        self, p: Float[Array, " d"], v: Float[Array, " N"], effort: int, output: Output, given: Any
    ) -> tuple[ErrorBounds, Array, Array]:
        """``bound_row``, and an interval of l(u): l(v) +- ||l||_* ||u - v||, of the field and of the polished one."""
        bounds = self.bound_row(p, v, effort)
        found = [(v, bounds)] + ([self.polish_row(p, v, effort)] if effort else [])
        if output.square:
            return bounds, *squares(output, [at for _, at in found])
        return bounds, *self.around(p, output, given, [(field, at.upper) for field, at in found])

    def around(
        self, p: Array, output: Output, given: Any, found: list[tuple[Array, Array]]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The interval of a linear output by pairs (v, r): l(v) +- ``dual_norm_row`` r, and what is rounded."""
        weights, size, offset = output.weights_at(p, given), output.size_at(p), output.offset_at(p)
        dual = self.dual_norm_row(p, weights)
        if size is not None:  # whatever the weights are off by
            dual = dual + gamma(ROUNDINGS) * self.dual_norm_row(p, size)
        intervals = []
        for v, r in found:
            centre, off = linear_value(weights, size, offset, v)
            intervals.append(interval_around(centre, dual * r + off))
        lower, upper = (jnp.stack(ends) for ends in zip(*intervals, strict=True))
        return jnp.max(lower), jnp.min(upper)

    def why_no_output(self, output: Output) -> str:
        known = output.square > 0 or type(self).dual_norm_row is not FieldProof.dual_norm_row
        return "" if known else super().why_no_output(output)

    def output_bounds(
        self, P: np.ndarray, U: np.ndarray, effort: int, output: Output
    ) -> tuple[np.ndarray, ErrorBounds, np.ndarray, OutputBounds]:
        self._ready()
        fixed = output.constant is not None and output.offset is None
        key = (effort, None if fixed else output)
        if key not in self._outputs:

            def one(given: Array | None, p: Array, u: Array) -> tuple[Array, ErrorBounds, Array, OutputBounds]:
                v, changed = self._in_place(p, u)
                bounds, lower, upper = self.output_row(p, v, effort, output, given)
                return v, bounds, changed, OutputBounds(value(self.problem, output, p, v, given), lower, upper)

            while len(self._outputs) >= MOST_OUTPUTS:
                self._outputs.pop(next(iter(self._outputs)))
            self._outputs[key] = RowMap(one)
        return self._outputs[key](P, U, given=(output.constant if fixed else None,))

    def bounds(self, P: np.ndarray, U: np.ndarray, effort: int) -> tuple[np.ndarray, ErrorBounds, np.ndarray]:
        self._ready()
        if effort not in self._bounds:

            def one(p: Array, u: Array) -> tuple[Array, ErrorBounds, Array]:
                v, changed = self._in_place(p, u)
                return v, self.bound_row(p, v, effort), changed

            self._bounds[effort] = RowMap(one)
        return self._bounds[effort](P, U)

    def polish(self, P: np.ndarray, U: np.ndarray, effort: int) -> tuple[np.ndarray, ErrorBounds]:
        self._ready()
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
