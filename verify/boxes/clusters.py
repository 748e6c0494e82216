"""Leaves of a trust map merged into few boxes: where a surrogate fails, and where nothing is known, in a few lines.

Branches of the tree with one verdict are boxes to begin with. Two boxes are merged where their union is a box: they
agree along all axes but one and touch along that one. Greedily, axis after axis, until nothing merges, for each cyclic
order of the axes, and the order that leaves the fewest boxes is kept. Leaves come from halvings, so all of it is exact
arithmetic on dyadic numbers: clusters are disjoint (but for faces), each is exactly the union of its leaves, and their
volumes add to the leaves'.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ...solvers.box import Box


class Leaves(NamedTuple):
    """Leaves in unit coordinates; ``failure`` is a point of proved failure, NaN where there is none."""

    low: Float[np.ndarray, "n d"]
    high: Float[np.ndarray, "n d"]
    bound: Float[np.ndarray, " n"]
    failure: Float[np.ndarray, "n d"]
    branch: Int[np.ndarray, " n"]  # leaves of one number make up a box together


@dataclass(frozen=True)
class Cluster:
    """A box of inputs, ends in the inputs' own units."""

    names: tuple[str, ...]
    lower: Float[np.ndarray, " d"]
    upper: Float[np.ndarray, " d"]
    unit_lower: Float[np.ndarray, " d"]  # the same in unit coordinates, exact
    unit_upper: Float[np.ndarray, " d"]
    volume: float  # share of the map's box
    leaves: int
    relative_upper: float  # the largest error possible inside
    worst: Float[np.ndarray, " d"] | None  # the worst input inside that the solver confirmed
    worst_lower: float  # proved lower end of the error there, 0 without
    failure: Float[np.ndarray, " d"] | None  # an input inside whose error is proved to be above the tolerance

    def to_json(self) -> dict[str, Any]:
        def point(p: np.ndarray | None) -> dict[str, float] | None:
            return None if p is None else dict(zip(self.names, p.tolist(), strict=True))

        ends = np.stack([self.lower, self.upper], axis=1).tolist()
        return {
            "inputs": dict(zip(self.names, ends, strict=True)),
            "volume": self.volume,
            "leaves": self.leaves,
            "relative_upper": self.relative_upper,
            "worst": point(self.worst),
            "worst_lower": self.worst_lower,
            "failure": point(self.failure),
        }


def branches(
    axis: Int[np.ndarray, " M"], children: Int[np.ndarray, "M 2"], verdicts: Int[np.ndarray, " M"]
) -> Int[np.ndarray, " M"]:
    """Of every leaf of a map's tree: the node nearest to the root below which all leaves have its verdict."""
    inner = np.flatnonzero(axis >= 0).tolist()
    verdict, halves = np.where(axis < 0, verdicts, -1).tolist(), children.tolist()
    for node in reversed(inner):  # children come after their parents
        below, above = (verdict[child] for child in halves[node])
        verdict[node] = below if below == above else -1
    out = list(range(len(axis)))
    for node in inner:
        if verdict[node] >= 0:
            for child in halves[node]:
                out[child] = out[node]
    return np.array(out)


def clusters(
    box: Box, leaves: Leaves, witness: Float[np.ndarray, "w d"], witness_lower: Float[np.ndarray, " w"]
) -> tuple[Cluster, ...]:
    """The merged leaves, largest first; witnesses in unit coordinates."""
    if not len(leaves.low):
        return ()
    owner = _owners(leaves)
    found = []
    for members in np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner))[:-1]):
        low, high = leaves.low[members].min(axis=0), leaves.high[members].max(axis=0)
        inside = np.flatnonzero(((witness >= low) & (witness <= high)).all(axis=1))
        worst = inside[np.argmax(witness_lower[inside])] if len(inside) else None
        failing = members[np.isfinite(leaves.failure[members]).all(axis=1)]
        found.append(
            Cluster(
                box.names,
                box.from_unit(low),
                box.from_unit(high),
                low,
                high,
                volume(low, high),
                len(members),
                float(leaves.bound[members].max()),
                None if worst is None else box.from_unit(witness[worst]),
                0.0 if worst is None else float(witness_lower[worst]),
                box.from_unit(leaves.failure[failing[0]]) if len(failing) else None,
            )
        )
    return tuple(sorted(found, key=lambda c: (-c.volume, *c.unit_lower.tolist())))


def _owners(leaves: Leaves) -> Int[np.ndarray, " n"]:
    """The cluster of every leaf: whole branches of the tree to begin with."""
    _, branch = np.unique(leaves.branch, return_inverse=True)
    count, d = int(branch.max()) + 1, leaves.low.shape[1]
    low, high = np.full((count, d), np.inf), np.full((count, d), -np.inf)
    np.minimum.at(low, branch, leaves.low)
    np.maximum.at(high, branch, leaves.high)
    return merged(low, high)[branch]


def volume(low: Float[np.ndarray, " d"], high: Float[np.ndarray, " d"]) -> float:
    """Exact but for the last rounding."""
    share = Fraction(1)
    for a, b in zip(low.tolist(), high.tolist(), strict=True):
        share *= Fraction(b) - Fraction(a)
    return float(share)


def merged(low: Float[np.ndarray, "n d"], high: Float[np.ndarray, "n d"]) -> Int[np.ndarray, " n"]:
    """The number of the cluster that each box goes into, 0, 1, ..."""
    d = low.shape[1]
    orders = [np.roll(np.arange(d), -first) for first in range(d)]
    return min((_in_order(low, high, order) for order in orders), key=lambda owner: int(owner.max()))


def _in_order(low: np.ndarray, high: np.ndarray, axes: np.ndarray) -> Int[np.ndarray, " n"]:
    owner = np.arange(len(low))
    while True:
        before = len(low)
        for axis in axes:
            low, high, joined = _along(low, high, int(axis))
            owner = joined[owner]
        if len(low) == before:
            return owner


def _along(low: np.ndarray, high: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Merge runs of boxes along one axis; (their ends, the run of every box)."""
    others = np.delete(np.concatenate([low, high], axis=1), [axis, axis + low.shape[1]], axis=1)
    order = np.lexsort([low[:, axis], *others.T])
    same = (others[order[1:]] == others[order[:-1]]).all(axis=1)
    touching = high[order[:-1], axis] == low[order[1:], axis]
    starts = np.concatenate([[True], ~(same & touching)])
    run = np.empty(len(low), dtype=np.intp)
    run[order] = np.cumsum(starts) - 1
    first = order[starts]
    last = order[np.concatenate([starts[1:], [True]])]
    joined_high = high[first].copy()
    joined_high[:, axis] = high[last, axis]
    return low[first], joined_high, run
