"""One claim for every box, "the relative error is at most b", as an inequality between scalar polynomials.

``LeafBound`` is what a proof of such claims is to ``halving.py``; ``reduced_leaf.py`` and ``flux_leaf.py`` have one
each.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from . import forms
from .leaf_boxes import inputs
from .model import TINY, UP, Model, add, negative
from .space import Space, space
from .tape import Tape
from .taylor_evaluate import evaluate


class Verdicts(NamedTuple):
    """Of every box: whether the claim holds all over it, whether no halving will help, along which axis to halve."""

    holds: np.ndarray
    hopeless: np.ndarray
    axis: np.ndarray


@dataclass
class LeafBound(abc.ABC):
    """One theorem about many boxes at a time. Arrays alone, for it is sent to other processes.

    ``tape``: the program that the theorem is about, of p; ``ends`` and ``log``: of the map's whole box, as of
    ``Box.scaled_ends``; ``order``: of the Taylor models; ``data``: what does not depend on the box, by name.
    """

    tape: Tape
    ends: Float[np.ndarray, "2 d"]
    log: tuple[bool, ...]
    order: int
    data: dict[str, np.ndarray]

    @property
    def space(self) -> Space:
        return space(len(self.log), self.order)

    @abc.abstractmethod
    def size(self) -> int:
        """Numbers that one box takes, about."""

    def __call__(
        self,
        low: Float[np.ndarray, "B d"],
        high: Float[np.ndarray, "B d"],
        claimed: Float[np.ndarray, " B"],
        leaf: dict[str, np.ndarray],
    ) -> Verdicts:
        """Whether the error is at most ``claimed`` all over each box [low, high], in unit coordinates.

        ``leaf``: what holds all over the leaf that the box is a part of, ``coercivity``, ``factor`` and ``scale``
        (``prepare.leaves_of``).
        """
        with np.errstate(all="ignore"):  # what is not a number proves nothing
            return self._verdicts(low, high, claimed, leaf)

    @abc.abstractmethod
    def _verdicts(self, low: np.ndarray, high: np.ndarray, b: np.ndarray, leaf: dict[str, np.ndarray]) -> Verdicts: ...

    def _program(self, low: np.ndarray, high: np.ndarray) -> list[Model]:
        """The program's results over the boxes."""
        return evaluate(self.tape, inputs(self.space, self.ends, self.log, low, high))


class Claim:
    """With ||e|| <= error^(1/2) factor + rest and ||u||^2 - ||e||^2 >= difference - lost all over the boxes, the
    error ||e|| / (scale + ||u||) is at most b where

        F = (1 - b^2) (error^(1/2) factor + rest)^2 - b^2 (difference - lost + beside) <= 0,
        beside = scale^2 + 2 scale (difference - lost)^(1/2) over the box  <=  (scale + ||u||)^2 - ||u||^2,

    and 0 < difference - lost, or 0 < scale. (x + y)^2 <= (1 + share) x^2 + (1 + 1/share) y^2: ``whole`` and ``extra``;
    ``square``: at most b^2.
    """

    def __init__(
        self,
        error: Model,
        difference: Model,
        rest: np.ndarray,
        lost: np.ndarray,
        factor: np.ndarray,
        b: np.ndarray,
        scale: np.ndarray,
    ) -> None:
        self.lost, self.scale = lost, scale
        self.size = forms.lowest(difference) - lost  # of ||u||^2 - ||e||^2, from below
        known = np.sqrt(np.where(self.size > 0, self.size, 0.0))
        self.beside = (scale**2 + 2 * scale * known) * (1 - 1e-12)
        most = np.sqrt(np.maximum(difference.upper + error.upper, 0.0))
        self.at_most = (scale**2 + 2 * scale * most) * (1 + 1e-9)
        middle = np.sqrt(np.maximum(error.coefficients[0], 0.0)) * factor
        share = np.clip(rest / np.maximum(middle, TINY), 1e-12, 1.0)
        self.whole = forms.weighted(error, (1 + share) * factor**2 * (1 + 1e-14))
        self.extra = (1 + 1 / share) * rest**2 * (1 + 1e-12)
        self.square, self.below = b**2 * (1 - 1e-15), np.maximum(1 - b**2, 0.0) * (1 + 1e-14)
        # ``whole`` is not negative, so a factor that is rounded up only raises F
        left, right = forms.weighted(self.whole, self.below), forms.weighted(difference, self.square)
        self.F = add(left, negative(right))

    def holds(self) -> tuple[np.ndarray, np.ndarray]:
        """(all over the box, not even at its centre)."""
        F = self.F
        rest = (self.below * self.extra + self.square * self.lost) * UP
        fits = forms.highest(F) + rest <= self.square * self.beside
        fits &= (self.size > 0) | (self.scale > 0)
        return fits, F.coefficients[0] - self.square * self.at_most > F.radius


def returned(error: Model, rest: np.ndarray, floor: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """What roundings of length ``floor`` of the returned field change of ||u||^2 - ||e||^2: 2 |r.dN| + |dN|^2."""
    upper = np.sqrt(np.maximum(error.magnitude, 0.0)) * factor * UP + rest
    return 1.01 * floor * (2 * upper + floor) * UP


def axis_to_halve(F: Model, h: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Along which the inequality bends, and what was cut off the vector h [B, n, K], are largest; else the longest."""
    where = F.space
    exponents, degree = where.exponents, where.degree
    bends = np.abs(F.coefficients) * (degree[: len(F.coefficients)] > 1)[:, None]
    score = bends.T @ exponents[: len(F.coefficients)]
    last = np.flatnonzero(degree[: h.shape[1]] >= where.order - 1)
    top = np.sqrt((h[:, last] ** 2).sum(axis=2)) @ exponents[last]
    score = score + F.radius[:, None] * top / np.maximum(top.sum(axis=1, keepdims=True), TINY)
    fine = np.isfinite(score).all(axis=1, keepdims=True)
    return np.argmax(np.where(fine, score * (1 + 1e-6 * width), width), axis=1)
