"""Dual norms in the H1 seminorm of bilinear elements on the unit square, zero on some sides: upper bounds.

    K = S x M + M x S,    S of differences and M of masses along a line (h cancels),    ||f||_* = (f' K^-1 f)^(1/2)

for each component alone. With T of either direction, T'M T = 1 and T'S T diagonal, K^-1 is a product of small dense
matrices. No digit of it is relied on: for any z

    ||f||_* <= ||z||_K + |f - K z|_2 / lambda_min^(1/2),    lambda_min(K) >= 4 sin^2(pi/(2 (2 n + 1))) / 6

since M >= 1/6 (Gershgorin) and S, with at least one end held, has no smaller eigenvalue than with one free end.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float

from ....solvers.discretisations import q1
from ....solvers.precision import UNIT_ROUNDOFF, gamma
from ..bounds import SLACK, UNDERFLOW


class H1:
    """``free`` [n+1, n+1, components]: of each component a product of intervals, held on two opposite sides at least on
    one.
    """

    def __init__(self, n: int, free: np.ndarray) -> None:
        self.n = n
        ends = np.r_[1.0, np.full(n - 1, 2.0), 1.0]
        stiff = np.diag(ends) - np.eye(n + 1, k=1) - np.eye(n + 1, k=-1)
        mass = (np.diag(2 * ends) + np.eye(n + 1, k=1) + np.eye(n + 1, k=-1)) / 6
        self._solves = []
        for part in np.moveaxis(free, -1, 0):
            lines = part.any(axis=1), part.any(axis=0)
            if not (part == np.outer(*lines)).all() or all(line.all() for line in lines):
                raise ValueError("free nodes must be those of a rectangle, and one side must be held")
            values, transforms = [], []
            for line in lines:
                inner = np.ix_(line, line)
                value, vectors = scipy.linalg.eigh(stiff[inner], mass[inner])
                transform = np.zeros((n + 1, len(value)))
                transform[line] = vectors
                values.append(value)
                transforms.append(transform)
            self._solves.append((*transforms, values[0][:, None] + values[1]))
        self.least = 4 * np.sin(np.pi / (2 * (2 * n + 1))) ** 2 / 6 * (1 - 1e-12)
        self._free = np.moveaxis(free, -1, 0)

    def solve(self, f: Float[Array, "c n+1 n+1"]) -> Float[Array, "c n+1 n+1"]:
        """About K^-1 f; zero where nodes are not free."""
        return jnp.stack(
            [tx @ ((tx.T @ g @ ty) / value) @ ty.T for g, (tx, ty, value) in zip(f, self._solves, strict=True)]
        )

    def norm(self, z: Float[Array, "c n+1 n+1"]) -> tuple[Array, Array]:
        """||z||_K, and how far the exact one may be from it, where every entry of z may carry a rounding, too.

        The rows of ``q1.flux`` take 4 entries each and every entry goes into 12, so that the absolute values of their
        coefficients have a norm below 4.
        """
        value = jnp.sqrt(sum((jnp.sum(q1.flux(part) ** 2) for part in z), jnp.zeros(())))
        off = gamma(6 * z.size + 16) * value + 32 * UNIT_ROUNDOFF * jnp.sqrt(jnp.vdot(z, z))
        return value, off * 1.01 + UNDERFLOW

    def dual_norm(self, f: Float[Array, "c n+1 n+1"], off: Float[Array, ""]) -> Float[Array, ""]:
        """At least ||g||_* for every g over the free entries within ``off`` of those of f in the 2-norm."""
        f = jnp.where(self._free, f, 0.0)
        z = self.solve(f)
        value, rounding = self.norm(z)
        rest = jnp.where(self._free, f - _stiffness(z), 0.0)
        # K has the norm 14 at most, so have the absolute values of the terms of ``_stiffness``; 20 roundings each.
        lost = gamma(20) * (14 * jnp.sqrt(jnp.vdot(z, z)) + jnp.sqrt(jnp.vdot(f, f)))
        left = jnp.sqrt(jnp.vdot(rest, rest)) * (1 + gamma(2 * f.size)) + 1.01 * (lost + off)
        return (value + rounding + left / np.sqrt(self.least)) * SLACK + UNDERFLOW


def _along(z: Array, axis: int) -> tuple[Array, Array]:
    """S z and M z along an axis: M = D - S/6, D one half at both ends and else one."""
    n = z.shape[axis] - 1
    jumps = jnp.diff(z, axis=axis)
    before = [(0, 0)] * z.ndim
    after = list(before)
    before[axis], after[axis] = (1, 0), (0, 1)
    stiff = jnp.pad(jumps, before) - jnp.pad(jumps, after)
    weights = np.r_[0.5, np.ones(n - 1), 0.5]
    shape = [1] * z.ndim
    shape[axis] = n + 1
    return stiff, z * weights.reshape(shape) - stiff / 6


def _stiffness(z: Float[Array, "c n+1 n+1"]) -> Float[Array, "c n+1 n+1"]:
    """K z in all nodes."""
    stiff, mass = _along(z, 1)
    return _along(stiff, 2)[1] + _along(mass, 2)[0]
