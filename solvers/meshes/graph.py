"""Which nodes are neighbours where there is no tensor grid: by the entries of a matrix, or by where they lie."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.spatial import Delaunay


def matrix_edges(matrix: sp.csr_matrix) -> Int[np.ndarray, "e 2"]:
    """Pairs i < j whose entry ij or ji is stored and not zero, each once."""
    entries = matrix.tocoo()
    apart = (entries.row != entries.col) & (entries.data != 0)
    pairs = np.sort(np.stack([entries.row[apart], entries.col[apart]], axis=1).astype(np.int64), axis=1)
    return np.unique(pairs, axis=0)


def edges_between(points: Float[np.ndarray, "nodes axes"]) -> Int[np.ndarray, "e 2"] | None:
    """Pairs i < j that are next to each other on a line, or share a simplex of the Delaunay triangulation in two or
    three dimensions; None in more, and for fewer points than a simplex has.
    """
    n, axes = points.shape
    if axes == 1:
        order = np.argsort(points[:, 0], kind="stable")
        return np.sort(np.stack([order[:-1], order[1:]], axis=1), axis=1)
    if axes > 3 or n < axes + 2:
        return None
    cells = Delaunay(points, qhull_options="QJ").simplices  # joggled: points on a line or a circle have one as well
    corners = np.array(np.triu_indices(axes + 1, k=1)).T
    return np.unique(np.sort(cells[:, corners].reshape(-1, 2), axis=1), axis=0).astype(np.int64)
