"""The solution curve of a discrete Bratu problem K u = lambda m e^u beyond its fold, followed by one nodal value s =
u_c.

Along the whole curve s grows, also where lambda turns back, so that the bordered system

    K u - lambda m e^u = 0,   u_c = s      in the unknowns (u, lambda)

is regular at the fold, which is the zero of d lambda/ds. Reference: Keller, Numerical Methods for Bifurcation
Problems (1987).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float

from ..linear_algebra.direct import factorise

START = 0.8  # below the fold, where s is 1.19 in one dimension and 1.39 on the square
STEP = 0.25
FARTHEST = 20.0  # lambda is then below 0.01 in one dimension; grids do not resolve the peak any more
NEWTON = 25


class Point(NamedTuple):
    """A point of the curve."""

    u: Float[np.ndarray, " n"]
    lam: float
    tangent: Float[np.ndarray, " n"]  # du/ds
    slope: float  # d lambda/ds


class Curve:
    """The curve for one matrix K (an M-matrix), mass m per node and followed unknown."""

    def __init__(self, stiffness: sp.csr_matrix, mass: float, followed: int) -> None:
        self.stiffness, self.mass, self.followed = stiffness.tocsr(), mass, followed

    def _tangents(self, u: np.ndarray, lam: float) -> Callable[[np.ndarray, float], tuple[np.ndarray, float]]:
        """(r, g) -> (du, d lambda) with J du - m e^u d lambda = r and du_c = g.

        J is singular at the fold, the bordered matrix has a dense row and column; J + k e_c e_c' has neither fault, and
        k e_c g on the right-hand side makes up for its second term.
        """
        growth = self.mass * np.exp(u)
        c = self.followed
        k = self.stiffness[c, c]
        corner = sp.csr_matrix(([k], ([c], [c])), shape=self.stiffness.shape)
        solve = factorise(self.stiffness - sp.diags(lam * growth, format="csr") + corner)
        b = solve(growth)

        def both(r: np.ndarray, g: float) -> tuple[np.ndarray, float]:
            r = r.copy()
            r[c] += k * g
            a = solve(r)
            change = (g - a[c]) / b[c]
            return a + change * b, change

        return both

    def point(self, s: float, u: np.ndarray, lam: float) -> Point:
        """The point at ``s`` by Newton's method from a guess.

        Raises:
            ArithmeticError: no convergence.
        """
        for _ in range(NEWTON):
            tangents = self._tangents(u, lam)
            defect = self.stiffness @ u - lam * self.mass * np.exp(u)
            du, change = tangents(-defect, s - u[self.followed])
            u, lam = u + du, lam + change
            if not np.isfinite(lam):
                break
            if max(np.abs(du).max(), abs(change)) < 1e-6 * max(1.0, np.abs(u).max()):  # the next one would be 1e-12
                return Point(u, lam, *self._tangents(u, lam)(np.zeros_like(u), 1.0))
        raise ArithmeticError(f"the solution curve was lost at u={s:.3g} in the middle")

    def step(self, point: Point, s: float) -> Point:
        """The point at ``s`` from another one nearby."""
        ds = s - point.u[self.followed]
        return self.point(s, point.u + ds * point.tangent, point.lam + ds * point.slope)

    def start(self) -> Point:
        """A point of the lower branch."""
        shape = factorise(self.stiffness)(np.full(self.stiffness.shape[0], self.mass))
        lam = START / shape[self.followed]
        return self.point(START, lam * shape, lam)

    def fold(self) -> Point:
        """Where lambda is largest: a bracket of the zero of d lambda/ds by steps, then regula falsi (Illinois)."""
        left = self.start()
        right = self.step(left, START + STEP)
        while right.slope > 0:
            left, right = right, self.step(right, right.u[self.followed] + STEP)
        weights = [left.slope, right.slope]
        for _ in range(50):
            ends = left.u[self.followed], right.u[self.followed]
            s = (ends[0] * weights[1] - ends[1] * weights[0]) / (weights[1] - weights[0])
            middle = self.step(left, s)
            if abs(middle.slope) < 1e-9 * middle.lam or ends[1] - ends[0] < 1e-9:
                return middle  # lambda is off by the slope's square: rounding
            if middle.slope > 0:
                left, weights = middle, [middle.slope, weights[1] / 2]
            else:
                right, weights = middle, [weights[0] / 2, middle.slope]
        return middle

    def upper(self, fold: Point, lam: float) -> Float[np.ndarray, " n"]:
        """The solution at ``lam`` on the far side of the fold, to a few digits.

        Raises:
            ArithmeticError: lambda above the fold, or too small for the curve to be followed there.
        """
        before = fold
        if lam > before.lam:
            raise ArithmeticError(f"lambda={lam:.6g} lies beyond the fold at {before.lam:.6g}")
        while True:
            s = before.u[self.followed] + STEP
            if s > FARTHEST:
                raise ArithmeticError(f"lambda={lam:.3g} is too small: the upper branch is not resolved there")
            after = self.step(before, s)
            if after.lam <= lam:
                share = (before.lam - lam) / (before.lam - after.lam)
                # Near the fold lambda falls like the square of s.
                return self.step(before, before.u[self.followed] + STEP * _invert_curve(before, share, after)).u
            before = after


def _invert_curve(before: Point, share: float, after: Point) -> float:
    """The fraction t of the step at which the cubic through both points' values and slopes has fallen by ``share``."""
    width = after.u.max() - before.u.max()
    fall = before.lam - after.lam
    a, b = -before.slope * width / fall, -after.slope * width / fall
    cubic = np.array([a + b - 2, 3 - 2 * a - b, a, -share])
    roots = np.roots(cubic)
    real = roots[(abs(roots.imag) < 1e-9) & (roots.real > -1e-9) & (roots.real < 1 + 1e-9)].real
    return float(np.clip(real[0], 0, 1)) if len(real) else share
