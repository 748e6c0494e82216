"""Solvers and surrogates that other processes can import."""

import os
import signal
import time

import numpy as np

from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box

SQUARE = Box(("a", "b"), [0.0, 0.0], [1.0, 1.0])


def smooth(p):
    return np.array([1 + p[0], np.exp(p[1]), np.sin(3 * p[0] + p[1])])


def problem(solve=smooth, **options):
    return black_box(solve, SQUARE, name="smooth", **options)


def bumped(P):
    """Wrong around (0.8, 0.3)."""
    bump = 0.4 * np.exp(-(((P - [0.8, 0.3]) / 0.15) ** 2).sum(axis=1))
    return np.stack([smooth(p) for p in P]) * (1 + bump[:, None])


def unreliable(p):
    """``smooth``, but for narrow strips of a: a raise, a hang, NaN, the end of its process."""
    if 0.10 < p[0] < 0.15:
        raise RuntimeError("licence server: no seats left")
    if 0.30 < p[0] < 0.31:
        time.sleep(600)
    if 0.50 < p[0] < 0.52:
        return np.full(3, np.nan)
    if 0.70 < p[0] < 0.71:
        os.kill(os.getpid(), signal.SIGSEGV)
    print("solving")  # no part of what a command says
    return smooth(p)


def answer(P):
    return np.stack([smooth(p) for p in P])
