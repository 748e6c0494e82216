"""One claim for every box where the solution is known as a function of the input: "the error is at most b".

With vectors g and y that are Taylor models, a factor q > 0 that drops out, and

    q ||e|| <= |g| + rest,    q ||u|| >= |y| - lost        all over the boxes,

||e|| / (scale + ||u||) <= b where |g| + rest + b lost <= b (q scale + |y|). For that, with (x + r)^2 <= (1 + share) x^2
+ (1 + 1/share) r^2 and r = rest + b lost, it is enough that

    F = (1 + share) |g|^2 - b^2 |y|^2 <= b^2 ((q scale)^2 + 2 q scale |y|) - (1 + 1/share) r^2,

which is an inequality between a scalar polynomial and numbers, proved by Bernstein control points.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from . import forms
from .claims import LeafBound, Verdicts, axis_to_halve
from .leaf_boxes import inputs
from .model import TINY, UP, Model, add, negative, padded
from .space import Space, space
from .taylor_evaluate import evaluate


class Lengths(NamedTuple):
    """What a claim is made of, for every box."""

    error: Model  # |g|^2, of its polynomials alone
    size: Model  # |y|^2, likewise
    rest: Float[np.ndarray, " B"]
    lost: Float[np.ndarray, " B"]
    scale: Float[np.ndarray, " B"]  # at most q scale
    more: Float[np.ndarray, " B"]  # at least q scale


@dataclass
class SolutionLeaves(LeafBound):
    """``axes``: the inputs that vary; the others stand for numbers, whose intervals go into radii."""

    axes: tuple[int, ...]

    @property
    def space(self) -> Space:
        return space(len(self.axes), self.order)

    def _program(self, low: np.ndarray, high: np.ndarray) -> list[Model]:
        return evaluate(self.tape, inputs(self.space, self.ends, self.log, low, high, self.axes))

    def _decided(
        self, of: Lengths, h: Float[np.ndarray, "B n K"], b: np.ndarray, trusted: np.ndarray, width: np.ndarray
    ) -> Verdicts:
        """``h``: coefficients of g, for the choice of an axis to halve."""
        r = (of.rest + b * of.lost) * UP
        middle = np.sqrt(np.maximum(of.error.coefficients[0], 0.0))
        share = np.clip(r / np.maximum(middle, TINY), 1e-12, 1.0)
        square = b**2 * (1 - 1e-15)
        whole = forms.weighted(of.error, (1 + share) * (1 + 1e-15))
        F = add(whole, negative(forms.weighted(of.size, square)))
        least = np.sqrt(np.maximum(forms.lowest(of.size), 0.0)) * (1 - 1e-15)
        beside = square * (of.scale**2 + 2 * of.scale * least) * (1 - 1e-12)
        extra = (1 + 1 / share) * r**2 * (1 + 1e-12)
        positive = (least > of.lost * UP) | (of.scale > 0)
        holds = positive & (forms.highest(F) + extra * UP <= beside) & trusted & np.isfinite(r)
        # not even in the middle: ||e|| is at least as large there as what is left without all that is not known
        error = np.sqrt(np.maximum(of.error.coefficients[0] - of.error.radius, 0.0)) - of.rest
        size = np.sqrt(of.size.coefficients[0] + of.size.radius) + of.lost
        hopeless = trusted & (error > b * (of.more + size) * (1 + 1e-9))
        axis = axis_to_halve(F, h, width[:, list(self.axes)])
        return Verdicts(holds, hopeless, np.array(self.axes)[axis])


def polynomials(a: Model, count: int) -> Float[np.ndarray, "B n K"]:
    """``count`` coefficients of a vector [K], boxes first, as ``forms`` takes them."""
    rows = padded(a.coefficients, count)
    return np.ascontiguousarray(rows.reshape(*rows.shape[:2], -1).transpose(1, 0, 2))


def off(a: Model) -> Float[np.ndarray, " B"]:
    """At least the length of what a vector's polynomials are off by."""
    return np.sqrt((a.radius**2).reshape(len(a.radius), -1).sum(axis=1)) * UP


def shortened(a: Model) -> Model:
    """Without the highest degrees where their coefficients are all zero."""
    used = [k for k in range(a.degree + 1) if a.coefficients[a.space.starts[k] : a.space.count[k]].any()]
    return replace(a, coefficients=a.coefficients[: a.space.count[max(used, default=0)]])
