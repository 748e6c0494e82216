"""Cells in (reynolds, profile), each with control fields: what is verified offline about the cavity's Jacobians.

In a cell the solutions times reynolds, a(p) = reynolds u(p), are approximated by Bernstein polynomials

    base(p) = sum_k B_k(p) a_k,    B_k >= 0, sum_k B_k = 1    (of some degrees in both inputs)

so that a base is a convex combination of stored float64 fields a_k, whatever they are: what is convex or concave in the
field is bounded over the cell by its values at the a_k. How near base(p) is to a field is measured at every query.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np
from jaxtyping import Float

from ....solvers.precision import UNIT_ROUNDOFF
from ....solvers.problems.cavity import Cavity

Degrees = tuple[int, int]  # of polynomials, in reynolds and in profile
UNITY = 128 * UNIT_ROUNDOFF  # what the sum of weights may be off from one
Solved = dict[tuple[float, float], np.ndarray]  # input -> reynolds times the solution, interior nodes


def bernstein(degree: int, s: float) -> Float[np.ndarray, " degree+1"]:
    """The Bernstein polynomials at s in [0, 1]."""
    k = np.arange(degree + 1)
    return np.array([comb(degree, i) for i in k]) * s**k * (1 - s) ** (degree - k)


def lobatto(degree: int) -> Float[np.ndarray, " degree+1"]:
    """Chebyshev's points on [0, 1], ends included."""
    return (1 - np.cos(np.pi * np.arange(degree + 1) / degree)) / 2


def corners(breaks: tuple[np.ndarray, np.ndarray]) -> tuple[Float[np.ndarray, "c 2"], Float[np.ndarray, "c 2"]]:
    """Low and high corners of the cells between breaks along both axes, in the order of the first."""
    low, high = (
        np.stack(np.meshgrid(breaks[0][part], breaks[1][part], indexing="ij"), axis=-1).reshape(-1, 2)
        for part in (slice(None, -1), slice(1, None))
    )
    return low, high


def controls(degrees: Degrees) -> int:
    """How many control fields there are of a cell."""
    return (degrees[0] + 1) * (degrees[1] + 1)


def control_fields(
    problem: Cavity, low: Float[np.ndarray, " 2"], high: Float[np.ndarray, " 2"], degrees: Degrees, solved: Solved
) -> Float[np.ndarray, "k n"] | None:
    """Of one cell, by interpolation of solutions; None where the solver fails. ``solved`` is added to."""
    ticks = [a + (b - a) * lobatto(d) for a, b, d in zip(low, high, degrees, strict=True)]
    P = np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1).reshape(-1, 2)
    P = np.clip(P, problem.inputs.lower, problem.inputs.upper)
    keys = [(round(float(p[0]), 9), round(float(p[1]), 9)) for p in P]
    missing = [i for i, key in enumerate(keys) if key not in solved]
    if missing:
        for i, u in zip(missing, np.asarray(problem.attempt_batch(P[missing]).u), strict=True):
            solved[keys[i]] = P[i, 0] * u[problem.free]
    values = np.stack([solved[key] for key in keys])
    if not np.isfinite(values).all():
        return None
    inverse = [np.linalg.inv(np.stack([bernstein(d, s) for s in lobatto(d)])) for d in degrees]
    return np.einsum("ai,bj,ijn->abn", *inverse, values.reshape(degrees[0] + 1, degrees[1] + 1, -1)).reshape(len(P), -1)


@dataclass(frozen=True)
class Cells:
    """``low`` and ``high`` corners, and the control fields, in interior nodes, for polynomials of these degrees."""

    low: Float[np.ndarray, "c 2"]
    high: Float[np.ndarray, "c 2"]
    fields: Float[np.ndarray, "c k n"]
    degrees: Degrees

    def find(self, p: Float[np.ndarray, " 2"]) -> int:
        """The cell of an input; -1 where there is none."""
        inside = np.flatnonzero(((self.low <= p) & (p <= self.high)).all(axis=1))
        return int(inside[0]) if len(inside) else -1

    def weights(self, cell: int, p: Float[np.ndarray, " 2"]) -> Float[np.ndarray, " k"]:
        """Nonnegative; their sum is one within ``UNITY``."""
        s = np.clip((p - self.low[cell]) / (self.high[cell] - self.low[cell]), 0.0, 1.0)
        return np.outer(bernstein(self.degrees[0], s[0]), bernstein(self.degrees[1], s[1])).ravel()

    @cached_property
    def largest(self) -> Float[np.ndarray, " c"]:
        """The largest value of any control field, of each cell."""
        return np.abs(self.fields).max(axis=(1, 2), initial=0.0)

    def centre(self, cell: int) -> Float[np.ndarray, " n"]:
        """The base in the middle."""
        return self.weights(cell, (self.low[cell] + self.high[cell]) / 2) @ self.fields[cell]
