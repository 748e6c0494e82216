"""The posterior deviation of a Gaussian process with the kernel of ``matern.py``.

    variance(x) = sigma^2 (1 - |L^-1 k(X, x)|^2),    L L' = k(X, X) + noise

Reference: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), section 2.2.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from .matern import distances, matern


def relative_deviation(arrays: dict[str, np.ndarray], x: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
    """One posterior standard deviation of all coefficients together, relative to the posterior mean.

    Args:
        arrays: of a Gaussian process: points, lengths, values, constant, whitener (L^-1), variance (a mode).
        x: scaled features.
    """
    K = matern(distances(x / arrays["lengths"], arrays["points"] / arrays["lengths"]))
    left = np.maximum(1 - np.sum((K @ arrays["whitener"].T) ** 2, axis=1), 0.0)
    size = np.linalg.norm(arrays["constant"] + K @ arrays["values"], axis=1)
    return np.asarray(np.sqrt(left * np.sum(arrays["variance"])) / np.where(size > 0, size, 1.0))
