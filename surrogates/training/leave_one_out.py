"""Leave-one-out errors of a kernel ridge in closed form: how well features predict targets, in milliseconds.

    (K + nugget D^2) a = C - mean,   residual_i = a_i / (K + nugget D^2)^-1_ii

is the residual of row i of the fit to all others, D = 1 / row weight. Rows that nearly repeat each other are left out
together, with the block of the inverse in place of its diagonal entry. The kernel is that of ``matern.py``.
Reference: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), section 5.4.2.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist

from .matern import matern

LENGTHS = (0.5, 1.0, 2.0, 4.0)
NUGGETS = (1e-10, 1e-6)


def kernel_matrix(
    x: Float[np.ndarray, "n m"], weights: Float[np.ndarray, " n"], length: float, nugget: float
) -> Float[np.ndarray, "n n"]:
    """K + nugget D^2, the nugget the same squared relative error in every row."""
    relative = (np.mean(weights**2) / weights**2) if len(weights) else weights
    found: np.ndarray = matern(np.sqrt(5) / length * cdist(x, x)) + nugget * np.diag(relative)
    return found


def left_out(
    inverse: Float[np.ndarray, "n n"], a: Float[np.ndarray, "n k"], groups: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "n k"]:
    """Residuals of rows whose group was left out."""
    out: np.ndarray = a / np.diag(inverse)[:, None]
    for group in np.flatnonzero(np.bincount(groups) > 1):
        rows = np.flatnonzero(groups == group)
        out[rows] = np.linalg.solve(inverse[np.ix_(rows, rows)], a[rows])
    return out


def left_out_error(
    x: Float[np.ndarray, "n m"],
    targets: Float[np.ndarray, "n k"],
    weights: Float[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"],
) -> float:
    """The least root mean square relative error of left-out rows over ``LENGTHS`` and ``NUGGETS``; else infinite."""
    centred = targets - weights**2 @ targets / np.sum(weights**2)
    best = np.inf
    for length in LENGTHS:
        for nugget in NUGGETS:
            try:
                inverse = np.linalg.inv(kernel_matrix(x, weights, length, nugget))
            except np.linalg.LinAlgError:
                continue
            residual = left_out(inverse, inverse @ centred, groups) * weights[:, None]
            error = float(np.sqrt(np.mean(np.sum(residual**2, axis=1))))
            best = min(best, error) if np.isfinite(error) else best
    return best
