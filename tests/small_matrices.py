"""Matrices known in closed form, and numbers as fractions: what several files of tests start from."""

from fractions import Fraction

import numpy as np
import scipy.sparse as sp

from assay.solvers import Box


def line(n=6):
    """Stiffness of a string of n unknowns and its mass: small, of full rank, and known in closed form."""
    k = sp.diags([-np.ones(n - 1), 2 * np.ones(n), -np.ones(n - 1)], [-1, 0, 1])
    m = sp.diags([np.ones(n - 1), 4 * np.ones(n), np.ones(n - 1)], [-1, 0, 1]) / 6
    return k, m


def unit(d=2):
    """d inputs between 1/2 and 2."""
    return Box(tuple("abcd"[:d]), np.full(d, 0.5), np.full(d, 2.0))


def rational(values):
    """Exact, entry by entry."""
    return np.vectorize(Fraction, otypes=[object])(np.asarray(values, dtype=float))
