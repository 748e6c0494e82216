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

from .problem import Problem


class DiscretisationEstimate(NamedTuple):
    """How far a truth is from the solution of its differential equation."""

    relative: float  # ||u_h - u|| / ||u||, estimated
    norm: str
    order: float
    compared_with: dict[str, Any]  # settings of the coarser problem
    evidence: str = "estimate"


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
    """||u_h - u_2h|| / ||u_h|| / (2^order - 1), both solved here at the input ``p``.

    Raises:
        SolveError: one of the two solves failed.
        ValueError: an input outside the box, or grids that are not nested.
    """
    u = restrict(fine, coarse, fine.solution(p).u)
    row = jnp.asarray(p, dtype=jnp.float64).reshape(-1)
    difference = jnp.asarray(u - coarse.solution(p).u)
    relative = float(coarse.norm(row, difference) / coarse.norm(row, jnp.asarray(u))) / (2**order - 1)
    return DiscretisationEstimate(relative, coarse.norm_name, order, coarse.settings)
