"""Failing inputs gathered into regions, one a basin: the box around each, its convex hull, its share of the volume.

Two failures belong together where nothing that is known lies between them: no input that passed in the lens around the
way from one to the other (a beta skeleton, Kirkpatrick and Radke 1985), and no dip of the signal on the way. More calls
may part what few leave together. What is observed: a hull holds inputs that were never solved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial import ConvexHull, QhullError

from ...solvers.box import Box
from .signal import Signal

MOST = 48  # failing inputs, the worst ones, that regions are made of; others join the nearest
BETWEEN = 5  # points on the way at which the signal is asked
ANGLE = -0.5  # the cosine of 120 degrees, at which the lens is seen from its edge
DIP = 0.5  # of the lower end's signal: what parts two basins
TRIES = 3  # pairs that are tried for two regions, the nearest first
ASKED = 200  # ways at most on which a signal is asked: beyond, what is not joined stays apart
DIMENSIONS = 7  # beyond, hulls have too many facets


@dataclass(frozen=True)
class Region:
    """Failing inputs, worst first. ``hull``: those that are corners of their convex hull, None where they span no
    volume; ``share``: the volume of the hull, or of the box [lower, upper] where there is none, as a share of all
    inputs in their own scales.
    """

    inputs: Float[np.ndarray, "m d"]
    errors: Float[np.ndarray, " m"]
    lower: Float[np.ndarray, " d"]
    upper: Float[np.ndarray, " d"]
    hull: Float[np.ndarray, "k d"] | None
    share: float

    @property
    def worst(self) -> Float[np.ndarray, " d"]:
        """The input of the largest error."""
        return self.inputs[0]

    @property
    def error(self) -> float:
        """The largest error."""
        return float(self.errors[0])

    def __len__(self) -> int:
        return len(self.inputs)

    def __repr__(self) -> str:
        if len(self) == 1:
            return f"Region(one failing input, error {self.error:.4g})"
        of = "box around them" if self.hull is None else "convex hull"
        return (
            f"Region({len(self)} failing inputs, the worst error {self.error:.4g}; {self.share:.2g} of all: the {of})"
        )

    def to_json(self, names: tuple[str, ...]) -> dict[str, Any]:
        """For programs."""
        return {
            "failing": len(self),
            "worst": dict(zip(names, self.worst.tolist(), strict=True)),
            "error": self.error,
            "lower": dict(zip(names, self.lower.tolist(), strict=True)),
            "upper": dict(zip(names, self.upper.tolist(), strict=True)),
            "hull": self.hull,
            "share": self.share,
            "share_of": "box" if self.hull is None else "hull",
        }


def find_regions(
    box: Box,
    failing: Float[np.ndarray, "m d"],
    errors: Float[np.ndarray, " m"],
    passing: Float[np.ndarray, "k d"],
    signal: Signal | None = None,
) -> list[Region]:
    """The regions of failing inputs, that of the worst error first.

    Args:
        passing: inputs that are known not to fail.
        signal: what tells without solves how bad it is on the way from one failure to the next.
    """
    if not len(failing):
        return []
    order = np.argsort(-errors, kind="stable")
    X, Y = box.to_unit(failing)[order], box.to_unit(passing).reshape(-1, box.dimension)
    head = X[:MOST]
    label = _labels(head, Y, box, None if signal is None or signal.kind == "none" else signal)
    rest = [int(label[np.argmin(((head - x) ** 2).sum(axis=1))]) for x in X[MOST:]]
    label = np.concatenate([label, np.array(rest, dtype=int)])
    groups = [order[label == each] for each in dict.fromkeys(label.tolist())]
    return [_region(box, failing[group], errors[group]) for group in groups]


def _labels(X: np.ndarray, passing: np.ndarray, box: Box, signal: Signal | None) -> np.ndarray:
    """Which points belong together: joined pair by pair, the nearest first."""
    n = len(X)
    label = np.arange(n)
    height = np.zeros(n) if signal is None else signal.values(box.from_unit(X))
    i, j = np.triu_indices(n, 1)
    tried: dict[tuple[int, int], int] = {}
    asked = 0
    for k in np.argsort(((X[i] - X[j]) ** 2).sum(axis=1), kind="stable"):
        a, b = int(i[k]), int(j[k])
        pair = (min(label[a], label[b]), max(label[a], label[b]))
        if pair[0] == pair[1] or tried.get(pair, 0) >= TRIES:
            continue
        tried[pair] = tried.get(pair, 0) + 1
        if asked >= ASKED or _parted(X[a], X[b], passing):
            continue
        asked += signal is not None
        if not _dips(X[a], X[b], min(height[a], height[b]), box, signal):
            label[label == pair[1]] = pair[0]
    return label


def _parted(one: np.ndarray, other: np.ndarray, passing: np.ndarray) -> bool:
    """Whether an input that passed sees the two at an angle of more than 120 degrees: it lies nearly on the way."""
    a, b = one - passing, other - passing
    return bool(((a * b).sum(axis=1) < ANGLE * np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)).any())


def _dips(one: np.ndarray, other: np.ndarray, height: float, box: Box, signal: Signal | None) -> bool:
    if signal is None:
        return False
    share = np.linspace(0, 1, BETWEEN + 2)[1:-1, None]
    return bool((signal.values(box.from_unit(one + share * (other - one))) < DIP * height).any())


def _region(box: Box, inputs: np.ndarray, errors: np.ndarray) -> Region:
    X = box.to_unit(inputs)
    share, hull = float(np.prod(np.ptp(X, axis=0))), None
    if box.dimension == 1:
        hull = inputs[[int(np.argmin(X)), int(np.argmax(X))]] if len(X) > 1 else None
    elif len(X) > box.dimension <= DIMENSIONS:
        try:
            found = ConvexHull(X)
            share, hull = float(found.volume), inputs[found.vertices]
        except QhullError:  # they lie in a plane
            pass
    return Region(inputs, errors, inputs.min(axis=0), inputs.max(axis=0), hull, share)
