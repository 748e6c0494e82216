"""Norms of combinations of given columns, from few numbers each: |H s| by a triangular factor, with all that it leaves.

With H = Q R + D, as computed,  | |H s| - |Q R s| | <= sum_j |s_j| |D_j|,  and |Q R s| lies within a factor of
(1 + |Q'Q - I|)^(1/2) of |R s|. D is formed and measured, with its own rounding, so that Q and R may come from anywhere.
No Gram matrix H'H: of a small combination of large columns it keeps half of the digits.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ....solvers.precision import UNIT_ROUNDOFF, gamma


class ColumnFactor(NamedTuple):
    """Of m columns."""

    factor: Float[np.ndarray, "r m"]
    stretch: float  # 1 and the rounding of a norm: |H s| lies within this factor of |R s|, up to the defects
    defects: Float[np.ndarray, " m"]

    def interval(self, s: Float[Array, " m"], loose: float = 0.0) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """|H s| from below and from above, for every s within ``loose`` |s_j| of this one, entry by entry."""
        y = jnp.asarray(self.factor) @ s
        size = jnp.sqrt(jnp.vdot(y, y))
        lengths = jnp.asarray(self.defects + loose * 1.01 * self.lengths)
        off = jnp.abs(s) @ lengths * (1 + gamma(2 * len(self.defects)))
        return jnp.maximum(size / self.stretch - off, 0.0), size * self.stretch + off

    @property
    def lengths(self) -> Float[np.ndarray, " m"]:
        """|H_j| from above."""
        return np.linalg.norm(self.factor, axis=0) * self.stretch * (1 + gamma(len(self.factor) + 4)) + self.defects


def column_factor(columns: Float[np.ndarray, "n m"], off: Float[np.ndarray, " m"]) -> ColumnFactor:
    """Of all columns within ``off_j`` (2-norm) of these."""
    n, m = columns.shape
    Q, R = np.linalg.qr(columns)
    size = len(R)
    absolute = np.abs(Q) @ np.abs(R)
    D = np.abs(columns - Q @ R) + gamma(size + 4) * (absolute + np.abs(columns))
    gram = np.abs(Q).T @ np.abs(Q)
    skew = np.linalg.norm(Q.T @ Q - np.eye(size)) + 1.01 * gamma(n + 4) * np.linalg.norm(gram)
    if not skew < 0.5:
        raise ValueError(
            "the columns have no factor: they hold values that are NaN, infinite, or too far apart in size"
        )
    # 1/(1 - skew)^(1/2) and (1 + skew)^(1/2) are below 1 + skew; rounding of R s, entry by entry, and of its norm
    stretch = float((1 + skew) * (1 + gamma(size + 16)))
    lengths = np.linalg.norm(R, axis=0)
    defects = np.linalg.norm(D, axis=0) + off + (gamma(m + 8) + 8 * UNIT_ROUNDOFF) * 1.01 * lengths
    return ColumnFactor(R, stretch, defects * (1 + skew) * (1 + gamma(n + 16)))
