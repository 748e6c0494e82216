"""What a trust map must be before anybody believes a number in it: whole, finite, one tree, and about this problem.

``check_map`` needs the map alone; ``check_statement`` the problem that it speaks of. Both are asked when a guard takes
a map over and when it is audited. What they cannot see, the size of a true error, is what ``audit`` proves again.
"""

from __future__ import annotations

import re

import numpy as np

from ...solvers.identity import differences
from ...solvers.problem import Problem
from ..certificate import ON_THIS_GRID, against
from ..proofs.prover import proof_of
from .trust_map import TrustMap

NARROWEST = 2.0**-48  # side of a node in unit coordinates: `certify_box` stops at 2^-40
NUMBER = re.compile(r"\d[\d.e+-]*")
CLOSE = 0.05  # relative, of an estimate that is computed again


def check_map(trust: TrustMap) -> None:
    """That numbers are what they can be, every node but the root has one parent before it, every verdict fits its
    bound, failures and witnesses lie where they belong, and volumes add to one.

    Raises:
        ValueError: naming what is wrong.
    """
    _check_numbers(trust)
    _check_shape(trust)
    if (trust.lookup.high - trust.lookup.low < NARROWEST).any():
        raise ValueError("a node is narrower than what halving can give")
    leaf, certified = trust.axis < 0, trust.bound <= trust.tolerance
    if not np.isin(trust.verdicts, (0, 1, 2)).all():
        raise ValueError("a leaf or node has no verdict")
    if (certified != (trust.verdicts == 0))[leaf].any():
        wrong = np.flatnonzero(leaf & (certified != (trust.verdicts == 0)))[0]
        what = "certified leaf has a bound above" if trust.verdicts[wrong] == 0 else "leaf has a bound within"
        raise ValueError(f"a {what} the tolerance: leaf {wrong}, {trust.bound[wrong]:.6g}")
    inner = np.flatnonzero(~leaf)
    if (trust.bound[trust.children[inner]] > trust.bound[inner][:, None]).any():
        raise ValueError("a node's bound is below that of one of its halves")
    _check_points(trust)
    if trust.certified_volume + trust.falsified_volume + trust.undecided_volume != 1.0:
        raise ValueError("the volumes do not add to one")


def _check_numbers(trust: TrustMap) -> None:
    for what in ("axis", "children", "verdicts"):
        if getattr(trust, what).dtype.kind not in "iu":
            raise ValueError(f"{what!r} must be whole numbers")
    if isinstance(trust.evaluated, bool) or not isinstance(trust.evaluated, int) or trust.evaluated < 0:
        raise ValueError(f"'evaluated' must be a number of boxes, not {trust.evaluated!r}")
    if not 0 <= trust.seconds < np.inf:
        raise ValueError(f"'seconds' must be a time, not {trust.seconds!r}")
    if not 0 < trust.tolerance < np.inf:
        raise ValueError(f"the tolerance must be positive and finite, not {trust.tolerance!r}")
    if not 0 <= trust.absolute < np.inf or not trust.scale < np.inf:
        raise ValueError(f"the absolute tolerance must be finite and not negative, not {trust.absolute!r}")
    fits = (trust.bound >= 0) & ~np.isnan(trust.bound)
    if not fits.all():
        wrong = np.flatnonzero(~fits)[0]
        raise ValueError(f"the bound of node {wrong} must be at least 0, or infinite, not {trust.bound[wrong]}")


def _check_shape(trust: TrustMap) -> None:
    count, d = len(trust.axis), trust.box.dimension
    shapes = {len(trust.children), len(trust.bound), len(trust.verdicts)}
    if count == 0 or shapes != {count} or trust.children.shape != (count, 2):
        raise ValueError("the tree's arrays have different lengths")
    if (trust.axis >= d).any() or (trust.axis < -1).any():
        raise ValueError("a node is halved along an axis that does not exist")
    inner = np.flatnonzero(trust.axis >= 0)
    children = trust.children[inner]
    if not (np.array_equal(np.sort(children.ravel()), np.arange(1, count)) and (children > inner[:, None]).all()):
        raise ValueError("the nodes do not form one tree")
    if (trust.children[trust.axis < 0] != -1).any():
        raise ValueError("the nodes do not form one tree: a leaf has halves")


def _check_points(trust: TrustMap) -> None:
    points, low, high = trust.failure_points, trust.lookup.low, trust.lookup.high
    if points.shape != low.shape:
        raise ValueError("the failures must be one point a node")
    given = ~np.isnan(points).all(axis=1)
    if not ((points >= low) & (points <= high))[given].all():  # NaN, too
        raise ValueError("a node's failure lies outside of it")
    leaf = trust.axis < 0
    if (leaf & (trust.verdicts == 1) & ~given).any():
        raise ValueError("a falsified leaf has no failure inside")
    X, lower = trust.witness, trust.witness_lower
    if X.shape != (len(lower), trust.box.dimension) or not ((X >= 0) & (X <= 1)).all():
        raise ValueError("the witnesses must be points of the unit box, one for every error")
    if not ((lower >= 0) & (lower < np.inf)).all():
        raise ValueError("the witnesses' errors must be finite and not negative")
    if len(X) and not (lower <= trust.relative_upper_at(trust.box.from_unit(X)) * (1 + 1e-12)).all():
        raise ValueError("a witness's error is above the bound of the leaf that it lies in")


def check_statement(trust: TrustMap, problem: Problem, label: str) -> None:
    """
    Raises:
        ValueError: the map is about another problem, or says of this one what is not so; naming what.
    """
    mine, inputs = trust.box, problem.inputs
    differ = differences(trust.problem_settings, problem.settings)
    same = trust.problem_hash == proof_of(problem).problem_hash()
    if trust.problem_name != problem.name:
        what = f"it is about {trust.problem_name}, this is {problem.name}"
    elif differ:
        what = f"these settings differ: {', '.join(differ)}"
    elif mine.names != inputs.names or mine.log != inputs.log:
        what = "its inputs or their scales differ"
    elif not trust.problem_hash and np.isfinite(trust.bound).any():
        what = "it carries no hash"
    elif trust.problem_hash and not same:
        what = "its box of inputs, matrices, weights or load differ"
    else:
        _check_words(trust, problem, label)
        return
    raise ValueError(f"{label} is a proof about another problem than this {problem.name}: {what}")


def _check_words(trust: TrustMap, problem: Problem, label: str) -> None:
    mine, inputs = trust.box, problem.inputs
    if mine.units != inputs.units or mine.laws != inputs.laws:
        raise ValueError(f"{label}: the units or laws of its inputs are not those of {problem.name}")
    if not inputs.contains(np.stack([mine.lower, mine.upper])).all():
        raise ValueError(f"{label}: its box is not inside the box of {problem.name}")
    bounds_nothing = trust.against == ON_THIS_GRID and not np.isfinite(trust.bound).any()  # said before any solve
    if not bounds_nothing and not _same_text(trust.against, against(problem)):
        raise ValueError(f"{label}: its bounds are {against(problem)!r}, not {trust.against!r}")
    fitting = proof_of(problem).box_assumptions
    if tuple(trust.assumptions) not in fitting and (trust.assumptions or (fitting and trust.problem_hash)):
        raise ValueError(f"{label}: its assumptions are not those that bounds of {problem.name} stand on")


def _same_text(one: str, other: str) -> bool:
    """The same words, and numbers that are close: they are estimates."""
    if NUMBER.sub("#", one) != NUMBER.sub("#", other):
        return False
    try:
        pairs = zip(map(float, NUMBER.findall(one)), map(float, NUMBER.findall(other)), strict=True)
        return all(abs(a - b) <= CLOSE * abs(b) for a, b in pairs)
    except ValueError:
        return one == other
