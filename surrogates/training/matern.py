"""The Matern kernel of order 5/2, whose functions have two derivatives.

    k(x, x') = (1 + r + r^2 / 3) exp(-r),    r = 5^(1/2) |x - x'| / length

Reference: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), section 4.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def matern(r: Any, xp: Any = np) -> Any:
    """k at scaled distances r, in numpy or in JAX."""
    return (1 + r + r**2 / 3) * xp.exp(-r)


def distances(x: Any, points: Any, xp: Any = np) -> Any:
    """5^(1/2) |x - x'| [n, m] between rows, in numpy or in JAX."""
    squares = xp.sum(x**2, axis=1)[:, None] + xp.sum(points**2, axis=1)[None] - 2 * x @ points.T
    return xp.sqrt(5 * xp.maximum(squares, 1e-30))  # 1e-30: the root has a derivative
