"""Compressible neo-Hookean material in plane strain on Q1 elements, n x n equal squares of the unit square.

    energy per undeformed area   mu/2 (|F|^2 - 2 - 2 ln J) + lame/2 (ln J)^2,    F = I + grad u,    J = det F
    its gradient in F            P = mu F + pressure cof F,    pressure = (lame ln J - mu)/J,    cof F = J F^-T

In a cell grad u = (X + eta H, Y + xi H) with the modes X, Y, H of plane_stress.py, here times n, and xi, eta in
[-1/2, 1/2]; integrals take the 2 x 2 Gauss points. The energy is infinite where J <= 0 at a Gauss point: P is NaN
there. J is linear in a cell (the products of xi eta cancel), hence least in a corner. Fields are [2, n+1, n+1], moduli
[n, n]. Reference: Bonet and Wood, Nonlinear Continuum Mechanics for Finite Element Analysis (2008), section 6.4.3.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..precision import gamma
from .plane_stress import CORNERS

_SIGNS = np.array([(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)])  # of (xi, eta), in CORNERS' order
GAUSS = _SIGNS / np.sqrt(12)
ENDS = _SIGNS / 2


class Moduli(NamedTuple):
    """Lame's two constants of every cell."""

    mu: Float[Array, "n n"]
    lame: Float[Array, "n n"]


def moduli(young: Float[Array, "n n"], poisson: float) -> Moduli:
    """Lame's constants of plane strain from Young's modulus in every cell and Poisson's ratio."""
    return Moduli(young / (2 * (1 + poisson)), young * (poisson / ((1 + poisson) * (1 - 2 * poisson))))


def _differences(u: Float[Array, "2 n+1 n+1"]) -> tuple[Array, Array, Array, Array]:
    """n times the differences along the lower, upper, left and right edge of every cell."""
    n = u.shape[1] - 1
    a, b, c, d = (u[:, i : n + i, j : n + j] for i, j in CORNERS)
    return n * (b - a), n * (d - c), n * (c - a), n * (d - b)


def _spread(x: Array, y: Array, h: Array, sign: float = -1.0) -> Float[Array, "2 n+1 n+1"]:
    """The transpose of u -> X, Y, H; ``sign`` = +1 adds all terms."""
    n = x.shape[1]
    total = jnp.zeros((2, n + 1, n + 1))
    for i, j in CORNERS:
        force = (1 if i else sign) / 2 * x + (1 if j else sign) / 2 * y + (1 if i == j else sign) * h
        total = total + jnp.pad(force, ((0, 0), (i, 1 - i), (j, 1 - j)))
    return total


def gradients(u: Float[Array, "2 n+1 n+1"], points: Float[np.ndarray, "4 2"]) -> tuple[Array, Array]:
    """The columns u_x and u_y of grad u in four points (xi, eta) of every cell, [2, 4, n, n] each."""
    low, high, left, right = _differences(u)
    x, y, h = (mode[:, None] for mode in ((low + high) / 2, (left + right) / 2, high - low))
    xi, eta = (jnp.asarray(points[:, axis])[:, None, None] for axis in (0, 1))
    return x + eta * h, y + xi * h


def jacobians(u: Float[Array, "2 n+1 n+1"], points: Float[np.ndarray, "4 2"]) -> Float[Array, "4 n n"]:
    """J in four points of every cell."""
    (ux, vx), (uy, vy) = gradients(u, points)
    return (1 + ux) * (1 + vy) - uy * vx


def stress(m: Moduli, along_x: Float[Array, "2 ..."], along_y: Float[Array, "2 ..."]) -> tuple[Array, Array]:
    """The columns P e_x and P e_y from those of grad u, u_x and u_y."""
    (ux, vx), (uy, vy) = along_x, along_y
    f11, f12, f21, f22 = 1 + ux, uy, vx, 1 + vy
    j = f11 * f22 - f12 * f21
    pressure = (m.lame * jnp.log(j) - m.mu) / j
    return (
        jnp.stack([m.mu * f11 + pressure * f22, m.mu * f21 - pressure * f12]),
        jnp.stack([m.mu * f12 - pressure * f21, m.mu * f22 + pressure * f11]),
    )


def forces(m: Moduli, u: Float[Array, "2 n+1 n+1"]) -> Float[Array, "2 n+1 n+1"]:
    """The gradient of the energy in the nodes; NaN around a cell with J <= 0 at a Gauss point."""
    along_x, along_y = stress(m, *gradients(u, GAUSS))
    xi, eta = (jnp.asarray(GAUSS[:, axis])[:, None, None] for axis in (0, 1))
    weight = 1 / (4 * m.mu.shape[0])  # a quarter of the cell's area, times n from the modes
    twist = eta * along_x + xi * along_y
    return _spread(weight * along_x.sum(axis=1), weight * along_y.sum(axis=1), weight * twist.sum(axis=1))


def spread_of(u: Float[Array, "2 n+1 n+1"]) -> Float[Array, "n n"]:
    """What roundings of F in a cell are relative to: at most 8 of them, in every entry."""
    return 1 + jnp.abs(jnp.concatenate(_differences(u))).sum(axis=0)


def forces_rounding(m: Moduli, u: Float[Array, "2 n+1 n+1"]) -> Float[Array, "2 n+1 n+1"]:
    """A bound of the rounding errors of ``forces`` at u as it stands, those of the moduli included.

    Differences of u are rounded once: with ``spread`` what the roundings of F are relative to, dJ is a multiple of
    products + spread |F| and

        dP = mu dF + d(pressure) cof F + pressure d(cof F),    |pressure| <= bent/J,    |d pressure| <= bent dJ/J^2

    for bent = lame (1 + |ln J|) + mu. At most 60 roundings lie one behind the other: 4 in the moduli, 8 in F, 4 in J,
    16 in the logarithm, the rest in P and the sums.
    """
    (ux, vx), (uy, vy) = gradients(u, GAUSS)
    spread = spread_of(u)
    products = jnp.abs((1 + ux) * (1 + vy)) + jnp.abs(uy * vx)
    j = (1 + ux) * (1 + vy) - uy * vx
    inverse = (2 + jnp.abs(ux) + jnp.abs(uy) + jnp.abs(vx) + jnp.abs(vy)) / j  # at least |F^-1|
    bent = m.lame * (1 + jnp.abs(jnp.log(j))) + m.mu
    total = (m.mu * spread + bent * inverse * (products / j + spread * inverse)).sum(axis=0) / (4 * m.mu.shape[0])
    part = jnp.stack([total, total])
    return gamma(60) * _spread(part, part, part, 1.0)


# ---- the second derivative of the energy ---------------------------------------------------------------------------


class Tangent(NamedTuple):
    """d^2 energy/dF^2 = shift I + bend c c' + pressure M in four points, c = cof F and M = d cof F/dF as a matrix.

    In the order (11, 21, 12, 22) of F, c = (across_x, across_y) and M has the entries 1 at (11, 22), -1 at (21, 12).
    """

    shift: Float[Array, "4 n n"]
    bend: Float[Array, "4 n n"]
    pressure: Float[Array, "4 n n"]
    across_x: Float[Array, "2 4 n n"]
    across_y: Float[Array, "2 4 n n"]


def tangent(m: Moduli, u: Float[Array, "2 n+1 n+1"]) -> Tangent:
    """At the Gauss points: d pressure = bend c . dF with bend = (lame + mu - lame ln J)/J^2."""
    (ux, vx), (uy, vy) = gradients(u, GAUSS)
    j = (1 + ux) * (1 + vy) - uy * vx
    log = m.lame * jnp.log(j)
    return Tangent(
        jnp.broadcast_to(m.mu, j.shape),
        (m.lame + m.mu - log) / j**2,
        (log - m.mu) / j,
        jnp.stack([1 + vy, -uy]),
        jnp.stack([-vx, 1 + ux]),
    )


def blocks(t: Tangent) -> tuple[Array, Array, Array]:
    """The blocks (x, x), (x, y) and (y, y) of the tangent, [2, 2, 4, n, n] each."""
    one = jnp.eye(2)[:, :, None, None, None]
    turn = jnp.array([[0.0, 1.0], [-1.0, 0.0]])[:, :, None, None, None]
    cx, cy = t.across_x, t.across_y
    return (
        t.shift * one + t.bend * cx[:, None] * cx[None],
        t.pressure * turn + t.bend * cx[:, None] * cy[None],
        t.shift * one + t.bend * cy[:, None] * cy[None],
    )


def distances(n: int) -> list[int]:
    """The occupied diagonals of ``stiffness``."""
    line = 2 * (n + 1)
    return [0, 1, 2, 3, *range(line - 3, line + 4)]


def stiffness(t: Tangent, free: np.ndarray) -> Float[Array, "11 N"]:
    """The Jacobian of ``forces``, in all nodes, node after node with the component last, by its diagonals from the main
    one down (``linear_algebra/banded.py``); rows and columns that are not ``free`` are those of the identity.

    In the modes the matrix of a cell is a sum over its points of the blocks of the tangent times 1, xi, eta and their
    products, and the corners take the modes with the signs of ``_spread``.
    """
    n = t.shift.shape[-1]
    xx, xy, yy = blocks(t)
    yx = xy.swapaxes(0, 1)
    xi, eta = (jnp.asarray(GAUSS[:, axis])[:, None, None] for axis in (0, 1))
    xh, yh = eta * xx + xi * xy, eta * yx + xi * yy
    hh = eta**2 * xx + xi * eta * (xy + yx) + xi**2 * yy
    rows = [[xx, xy, xh], [yx, yy, yh], [xh.swapaxes(0, 1), yh.swapaxes(0, 1), hh]]
    modes = jnp.stack([block.sum(axis=2) / 4 for row in rows for block in row])  # [9, 2, 2, n, n]
    signs = np.array([[i - 0.5, j - 0.5, 1.0 if i == j else -1.0] for i, j in CORNERS])
    pairs = jnp.asarray(np.einsum("am,bk->abmk", signs, signs).reshape(16, 9))
    corners = (pairs @ modes.reshape(9, -1)).reshape(4, 4, 2, 2, n, n)

    mask = free.reshape(n + 1, n + 1, 2)
    found = {distance: jnp.zeros((n + 1, n + 1, 2)) for distance in distances(n)}
    for a, (ai, aj) in enumerate(CORNERS):  # the row's corner, and the column's
        for b, (bi, bj) in enumerate(CORNERS):
            for c, d in np.ndindex(2, 2):
                distance = 2 * ((ai - bi) * (n + 1) + aj - bj) + c - d
                if distance < 0:
                    continue
                both = mask[ai : n + ai, aj : n + aj, c] & mask[bi : n + bi, bj : n + bj, d]
                entry = jnp.pad(jnp.where(both, corners[a, b, c, d], 0.0), ((bi, 1 - bi), (bj, 1 - bj)))
                found[distance] = found[distance].at[:, :, d].add(entry)
    found[0] = jnp.where(mask, found[0], 1.0)
    return jnp.stack([found[distance].reshape(-1) for distance in distances(n)])
