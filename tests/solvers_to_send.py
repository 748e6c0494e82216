"""Solvers and surrogates that other processes can import."""

import numpy as np

from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box

SQUARE = Box(("a", "b"), [0.0, 0.0], [1.0, 1.0])


def smooth(p):
    return np.array([1 + p[0], np.exp(p[1]), np.sin(3 * p[0] + p[1])])


def problem(**options):
    return black_box(smooth, SQUARE, name="smooth", **options)


def bumped(P):
    """Wrong around (0.8, 0.3)."""
    bump = 0.4 * np.exp(-(((P - [0.8, 0.3]) / 0.15) ** 2).sum(axis=1))
    return np.stack([smooth(p) for p in P]) * (1 + bump[:, None])
