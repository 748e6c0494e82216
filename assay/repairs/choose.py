"""Which inputs a round solves at: high in the signal and apart from each other, without a solve spent on finding them.

Candidates are corners, centres of faces, a Sobol set with a quarter of it on the boundary, and the signal's peaks. They
are taken greedily, each lowering the signal near it (``apart``), as a snapshot there would: else all of a round would
go to one corner. The signal is weighed with the square of the sampling law's density in the box's own scale, in which
most laws are even. Of a normal one the worst lies in its tails, where a mean hardly looks, and rows from there spoil
it; with the first power it stayed a tenth above random sampling's. A confirmed failure and a point nearly as high in
the signal teach alike, so that none is confirmed first.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree
from scipy.stats import qmc

from ..solvers.box import Box
from ..surrogates.training.badly_guessed import apart
from ..verify.search.peaks import find_peaks
from ..verify.search.signal import Signal
from ..verify.statistics.laws import log_density

CANDIDATES = 2048
STARTS = 256  # of the climb to the peaks
CORNERS = 8  # inputs up to which all corners are candidates
WIDTH = 0.15
COMMON = 2  # the power of the law's density that a signal is weighed with
SAME = 1e-9  # of the box: nearer inputs are one
HIGHEST = 1e12  # times the median: what is broken is not so bad that nothing else counts


def choose_inputs(
    signal: Signal, box: Box, n: int, seed: int, never: Float[np.ndarray, "k d"] | None = None
) -> Float[np.ndarray, "n d"]:
    """n distinct inputs, most wanted first; none of ``never``: what is known teaches nothing, what judges may not."""
    X = np.concatenate([_candidates(box.dimension, seed), find_peaks(signal, box, seed, STARTS).points])
    X = np.unique(X, axis=0)
    X = X if never is None else without(X, box.to_unit(never))
    values = np.asarray(signal.values(box.from_unit(X)), dtype=np.float64)
    values = values * commonness(box, box.from_unit(X)) ** COMMON
    typical = float(np.median(values))
    values = np.minimum(values, HIGHEST * typical) if typical > 0 else values
    return box.from_unit(X[apart(X, values, n, WIDTH)])


def commonness(box: Box, P: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """The density of the sampling law in the box's own scale, 1 where it is largest of these; 1 of a law that is even
    there, to the bit.
    """
    with np.errstate(divide="ignore"):
        height = (log_density(box, P) + np.where(box.log, np.log(np.where(box.log, P, 1.0)), 0.0)).sum(axis=1)
    return np.asarray(np.exp(np.round(height - height.max(initial=-np.inf), 9)))


def without(X: Float[np.ndarray, "m d"], never: Float[np.ndarray, "k d"]) -> Float[np.ndarray, "n d"]:
    """The rows of X that are none of ``never``, to rounding; all in unit coordinates."""
    return X[cKDTree(never).query(X)[0] > SAME] if len(never) else X


def _candidates(d: int, seed: int) -> Float[np.ndarray, "m d"]:
    rng = np.random.default_rng([seed, 11])
    sobol = qmc.Sobol(d, scramble=True, rng=rng).random(CANDIDATES)
    on_faces = np.arange(CANDIDATES // 4)
    sobol[on_faces, rng.integers(0, d, len(on_faces))] = rng.integers(0, 2, len(on_faces))
    faces = np.full((2 * d, d), 0.5)
    faces[np.arange(d), np.arange(d)], faces[np.arange(d, 2 * d), np.arange(d)] = 0.0, 1.0
    corners = rng.integers(0, 2, (1 << CORNERS, d)).astype(float)
    if d <= CORNERS:
        corners = np.array(np.meshgrid(*[[0.0, 1.0]] * d, indexing="ij")).reshape(d, -1).T
    return np.concatenate([corners, faces, sobol])
