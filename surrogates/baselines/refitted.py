"""What a dull baseline fitted to all rows gets wrong at each of them when that one is left out, in closed form.

Folds judge fits to fewer rows than there are, and what grows with its rows is then another model: of nine tenths of the
rows a polynomial has a lower degree. Here the settings stay those that all rows chose (degree, length, scale), and one
row at a time is left out, which costs one factorisation for all of them. With targets y, fitted values M y,

    residual_i = (y_i - (M y)_i) / (1 - M_ii)            least squares, ridge
    residual_i = a_i / (A^-1)_ii                         kernels, A a = y

Rows that nearly repeat each other are left out together, with blocks in place of diagonal entries. As the settings saw
the row, these errors flatter a baseline a little.
References: Allen 1974 (PRESS); Rippa 1999 (radial basis functions); Rasmussen and Williams (2006), section 5.4.2.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from ..surrogate import Surrogate
from ..training.leave_one_out import kernel_matrix, left_out
from .pod_interpolation import system
from .polynomial import CUT, on_host
from .regression import Regression

PASSED = 1e-8  # of 1 - M_ii: a fit passes through this row whatever it is, and nothing is known of it


def left_out_residuals(r: Regression, fitted: Surrogate) -> Float[np.ndarray, "n k"]:
    """Targets less what the baseline, fitted to all other rows, predicts; NaN where nothing is left to predict from."""
    arrays, about, n = fitted.arrays, fitted.architecture, len(r.x)
    ones = np.ones((n, 1))
    if fitted.name == "mean":
        return _least_squares(r, ones, 0.0)
    if fitted.name == "linear":
        return _least_squares(r, np.c_[r.x, ones], 0.0)
    if fitted.name == "polynomial":
        return _least_squares(r, on_host(r.x, np.asarray(arrays["powers"])), 0.0)
    if fitted.name == "random-features":
        return _least_squares(r, np.c_[np.tanh(r.x @ arrays["kernel"] + arrays["bias"]), ones], about["ridge"])
    if fitted.name == "kernel-ridge":
        inverse = np.linalg.inv(kernel_matrix(r.x, r.weights, about["length"], about["nugget"]))
        around = r.targets - arrays["constant"]
        lost = _least_squares(r, ones, 0.0) - around  # the mean of all rows less that of the others
        return left_out(inverse, inverse @ around, r.groups) + left_out(inverse, inverse @ ones, r.groups) * lost
    if fitted.name == "pod-interpolation":
        A, a = system(np.asarray(arrays["points"])), np.asarray(arrays["values"])
        own = np.diag(np.linalg.pinv(A, rcond=1e-14, hermitian=True))[: len(a)]
        own = np.where(own * A.max() > PASSED, own, np.nan)  # without it there is no one solution
        return np.asarray((a / own[:, None])[r.groups])  # of twins the first was fitted
    if fitted.name == "nearest":
        away: np.ndarray = np.where(r.groups[:, None] == r.groups[None], np.inf, cdist(r.x, r.x))
        lonely = np.min(away, axis=1, keepdims=True) == np.inf
        return np.where(lonely, np.nan, r.targets - r.targets[away.argmin(axis=1)])
    raise ValueError(f"{fitted.name} is no dull baseline")


def _least_squares(r: Regression, H: Float[np.ndarray, "n h"], ridge: float) -> Float[np.ndarray, "n k"]:
    w = r.weights[:, None]
    U, sizes, _ = np.linalg.svd(H * w, full_matrices=False)
    share = sizes**2 / (sizes**2 + ridge * sizes[0] ** 2) if ridge else (sizes > CUT * sizes[0]).astype(float)
    own = U * share
    away = r.targets * w
    away = away - own @ (U.T @ away)
    out = np.full_like(away, np.nan)
    for group in range(int(r.groups.max()) + 1):
        rows = np.flatnonzero(r.groups == group)
        block = np.eye(len(rows)) - own[rows] @ U[rows].T
        if np.linalg.eigvalsh(block)[0] > PASSED:
            out[rows] = np.linalg.solve(block, away[rows])
    return np.asarray(out / w)
