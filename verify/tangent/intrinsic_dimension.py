"""How many numbers tell nearby solutions apart: the local intrinsic dimension of data, by nearest neighbours.

With distances T_1 <= .. <= T_k of a point to its k nearest neighbours,

    1/m = (1/(k - 2)) sum_{j < k} log(T_k / T_j)

is 1/dimension of what they lie on, unbiased for m where the density is even around the point (Levina and Bickel 2004;
the estimator of Chen, Huang, Raghupathi, Chandratreya, Du, Lipson 2022 for variables in data). It needs neighbours that
are near: with few rows, or in more than about ten dimensions, it is too small.
"""

from __future__ import annotations

import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ...solvers.batching import RowMap
from ...solvers.problem import Problem
from ...solvers.representative import kept_by_problem
from ..measured_error import safe_norm

NEIGHBOURS = 10
LEAST = NEIGHBOURS + 1  # rows, before anything is said


def levina_bickel(T: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """The dimension at points whose distances to their k neighbours are the rows, sorted; infinite where these are all
    equal, NaN where a neighbour is the point itself.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(T[:, -1:] / T[:, :-1])
        found = (T.shape[1] - 2) / logs.sum(axis=1)
    return np.where((T > 0).all(axis=1), found, np.nan)


def local_dimension(
    problem: Problem, P: Float[np.ndarray, "n d"], fields: Float[np.ndarray, "n N"], among: Float[np.ndarray, "m N"]
) -> Float[np.ndarray, " n"]:
    """The dimension of the fields ``among`` near each of ``fields``, distances in the problem's norm at P; NaN where a
    field is none, or where there are too few. A row of zero distance is the field itself and no neighbour.
    """
    among = among[np.isfinite(among).all(axis=1)]
    dimension = np.full(len(fields), np.nan)
    measure = _distances(problem)
    for i in np.flatnonzero(np.isfinite(fields).all(axis=1)):
        away = np.sort(np.asarray(measure(P[i : i + 1], fields[i : i + 1], given=(among,))[0]))
        away = away[away > 0][:NEIGHBOURS]
        if len(away) == NEIGHBOURS:
            dimension[i] = levina_bickel(away[None])[0]
    return dimension


@kept_by_problem(8)
def _distances(problem: Problem) -> RowMap:
    def one(among: Array, p: Array, u: Array) -> Array:
        return lax.map(lambda v: safe_norm(problem, p, v - u), among)

    return RowMap(one, chunk=4)
