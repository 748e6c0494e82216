"""Richardson's estimate of the discretisation error, from the truth on two grids: an estimate, not a bound.

If u_h = u + C h^q + o(h^q) then u_h - u = (u_2h - u_h)/(2^q - 1) + o(h^q). The difference is taken in the nodes (and
times) of the coarser grid, in the coarser problem's norm. References: Richardson 1911; Roache, Verification and
Validation in Computational Science and Engineering (1998).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from ..problem import Problem, SolveError
from ..tolerance import scaled

SAME = 1e-9  # relative difference of two grids' fields that is as good as none
LEAST_ORDER = 0.25
ENOUGH = 0.25  # relative difference of the observed from the assumed order that is as good as none


class DiscretisationEstimate(NamedTuple):
    """How far a truth is from the solution of its differential equation."""

    relative: float  # ||u_h - u|| / ||u||, estimated; the problem's scale of zero is added to ||u||
    norm: str
    order: float  # that the estimate goes by
    compared_with: dict[str, Any]  # settings of the coarser problem
    evidence: str = "estimate"
    observed: float = np.nan  # order seen on three grids; NaN where there is no third, or they agree to rounding
    doubt: str = ""  # why the estimate may not be relied on

    @property
    def reliable(self) -> bool:
        """Whether nothing speaks against the estimate."""
        return not self.doubt


def shared_nodes(fine: Problem, coarse: Problem) -> Int[np.ndarray, " nodes"]:
    """For each place (and time) of the coarse problem, in its order, the number of the same one of the fine problem.

    Raises:
        ValueError: a coarse node that is no fine node.
    """
    ours, theirs = _places(fine), _places(coarse)
    extent = np.ptp(ours, axis=0)
    scale = np.where(extent > 0, extent, 1.0)
    distance, index = cKDTree(ours / scale).query(theirs / scale)
    if distance.max() > 1e-9:
        raise ValueError(f"the grids of {fine.settings} and {coarse.settings} do not share the coarser one's nodes")
    return index


def _places(problem: Problem) -> np.ndarray:
    """Coordinates with one row per time and node, also where a problem repeats them for each component."""
    times, nodes, components = problem.shape
    rows = problem.coordinates
    return rows if len(rows) == times * nodes else rows[::components]


def restrict(fine: Problem, coarse: Problem, u: Float[np.ndarray, " N"]) -> Float[np.ndarray, " M"]:
    """A field of the fine problem in the coarse problem's nodes."""
    return np.asarray(u).reshape(-1, fine.shape[2])[shared_nodes(fine, coarse)].ravel()


def richardson(fine: Problem, coarse: Problem, p: Any, order: float) -> DiscretisationEstimate:
    """||u_h - u_2h|| / ||u_h|| / (2^order - 1), solved here at the input ``p``.

    The order is observed on a third grid, where the coarser problem has one coarser still: differences of u_h, u_2h,
    u_4h shrink by 2^order. What is observed replaces the assumed order where it is lower, and is a reason for doubt
    where it is far off: near a resonance of the grid nothing shrinks at all.

    Raises:
        SolveError: one of the first two solves failed.
        ValueError: an input outside the box, or grids that are not nested.
    """
    row = jnp.asarray(p, dtype=jnp.float64).reshape(-1)
    below = _field(coarse, p)
    u = restrict(fine, coarse, _field(fine, p))
    near = float(coarse.norm(row, jnp.asarray(u - below)))
    magnitude = float(coarse.magnitude(row, jnp.asarray(u)))
    size = magnitude + coarse.zero_scale
    observed, doubt = np.nan, ""
    if not np.isfinite(near + size):
        doubt = "the difference of two grids has no finite norm"
    elif near > SAME * size:
        observed = _observed(coarse, p, below, near)
        doubt = _doubt(observed, order)
    used = float(np.clip(observed, LEAST_ORDER, order)) if abs(observed - order) > ENOUGH * order else order
    relative = scaled(near, magnitude, coarse.zero_scale) / (2**used - 1)
    return DiscretisationEstimate(relative, coarse.norm_name, used, coarse.settings, observed=observed, doubt=doubt)


def _field(problem: Problem, p: Any) -> np.ndarray:
    """The truth, solved once: nobody asks for the time."""
    row = problem.inputs.check(np.asarray(p, dtype=np.float64).reshape(1, -1))[0]
    result = problem.attempt_once(row)
    u = np.asarray(result.u)
    if not np.isfinite(u).all():
        raise SolveError(problem.failure_message(row, result))
    return u


def _observed(coarse: Problem, p: Any, below: np.ndarray, near: float) -> float:
    """log2(||u_2h - u_4h|| / ||u_h - u_2h||); NaN without a third grid, minus infinity where it has no solution."""
    try:
        coarsest = getattr(coarse, "coarser", None)
        if coarsest is None:
            return np.nan
        index = shared_nodes(coarse, coarsest)
    except ValueError:
        return np.nan
    try:
        lowest = _field(coarsest, p)
    except SolveError:
        return -np.inf
    between = below.reshape(-1, coarse.shape[2])[index].ravel() - lowest
    far = float(coarsest.norm(jnp.asarray(p, dtype=jnp.float64).reshape(-1), jnp.asarray(between)))
    return float(np.log2(far / near)) if far > 0 else -np.inf


def _doubt(observed: float, order: float) -> str:
    if np.isnan(observed):
        return f"the order {order:g} is assumed, for want of a third grid"
    if np.isinf(observed):
        return f"on the coarsest of three grids there is no solution, or no difference: the order {order:g} is assumed"
    if not order / 2 <= observed <= order + 2:  # a higher order than assumed makes the estimate too large
        return f"on three grids the order observed is {observed:.2g}, not {order:g}: the grid resolves too little"
    return ""
