"""Rows that repeat others: equal features, up to rounding or nearly.

Settings are chosen by how well rows are predicted that were left out, and a row whose twin stays in is predicted
perfectly whatever they are. So rows nearer than ``SAME`` become their average, and rows much nearer than the points of
a design lie are left out together. Where twins have other fields, by more than solvers repeat themselves to, that is
said.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ...solvers.identity import SAME as SAME_FIELD

SAME = 1e-9  # of features, which run over [-1, 1]
NEAR = 1e-2  # of the spacing of as many points in as many dimensions


def clusters(x: Float[np.ndarray, "n m"], radius: float) -> Int[np.ndarray, " n"]:
    """The number of each row's cluster, counted as they appear: rows linked by steps of about ``radius``."""
    n, m = x.shape
    if m == 0:
        return np.zeros(n, dtype=np.int64)
    _, first, cell = np.unique(np.round(x / radius), axis=0, return_index=True, return_inverse=True)
    pairs = cKDTree(x[first]).query_pairs(2 * radius, output_type="ndarray")
    links = sp.csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(first), len(first)))
    labels = connected_components(links, directed=False)[1][cell.ravel()]
    _, first, numbered = np.unique(labels, return_index=True, return_inverse=True)
    appearance = np.empty(len(first), dtype=np.int64)
    appearance[np.argsort(first)] = np.arange(len(first))
    return appearance[numbered.ravel()]


def groups_of(x: Float[np.ndarray, "n m"]) -> Int[np.ndarray, " n"]:
    """Clusters of rows that are to be left out together."""
    n, m = x.shape
    return clusters(x, NEAR * 2 / n ** (1 / max(m, 1)))


def averaged(
    x: Float[np.ndarray, "n m"], s: Float[np.ndarray, " n"], fields: Float[np.ndarray, "n N"]
) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, "k N"]]:
    """The first row of every cluster of twins, and their fields: the amplitude times the average of U = field / s.

    Rows without twins, and twins that agree, keep their numbers to the bit.
    """
    twins = clusters(x, SAME)
    rows = np.unique(twins, return_index=True)[1]
    if len(rows) == len(x):
        return rows, fields
    leader = rows[twins]
    sums = np.zeros((len(rows), fields.shape[1]))
    np.add.at(sums, twins, (s[leader] / s)[:, None] * fields - fields[leader])
    return rows, fields[rows] + sums / np.bincount(twins)[:, None]


def contradictions(
    P: Float[np.ndarray, "n d"],
    x: Float[np.ndarray, "n m"],
    s: Float[np.ndarray, " n"],
    fields: Float[np.ndarray, "n N"],
    numbers: Int[np.ndarray, " n"],
) -> list[str]:
    """A sentence if twins have other fields than the first of them; none where all agree.

    Args:
        P, x, s: inputs, their scaled features and amplitudes.
        numbers: of the rows, as the caller counts them.
    """
    twins = clusters(x, SAME)
    rows = np.unique(twins, return_index=True)[1]
    later = np.setdiff1d(np.arange(len(x)), rows)
    if not len(later):
        return []
    first = rows[twins[later]]
    mine, theirs = (s[first] / s[later])[:, None] * fields[later], fields[first]
    size = np.maximum(np.linalg.norm(mine, axis=1), np.linalg.norm(theirs, axis=1))
    away = np.linalg.norm(mine - theirs, axis=1) / np.where(size > 0, size, 1.0)
    count, worst = int((away > SAME_FIELD).sum()), int(np.argmax(away))
    if not count:
        return []
    i, j = first[worst], later[worst]
    what = "repeats the input of another" if count == 1 else "repeat the inputs of others"
    if not np.allclose(P[i], P[j], rtol=1e-6, atol=SAME * np.abs(P).max()):
        what = "differs from another" if count == 1 else "differ from others"
        what += " by a known scaling alone"
    return [
        f"{count} snapshot{'s' * (count > 1)} {what}, and the fields of these differ by up to {away[worst]:.2g} of "
        f"their size (rows {numbers[i]} and {numbers[j]}, counted from 0): averages were learnt, so leave out what is "
        "wrong, or add the input in which they differ"
    ]
