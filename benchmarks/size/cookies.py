"""The public "cookies" problem of forward uncertainty quantification, posed through ``affine``.

    -div(a grad u) = 100 on F = [.4, .6]^2, 0 elsewhere,    u = 0 on the boundary of the unit square

a = 1 + y_n in the n-th of eight discs of radius .13 about the points of {.2, .5, .8}^2 without the middle, numbered
lexicographically, and 1 elsewhere; y_n uniform in [-.99, -.2]. Bilinear elements on ``cells`` x ``cells`` squares, 5 x
5 Gauss points each. The output is the integral of u over F: a hundredth of the compliance. At 400 x 400 it is
.05725576523730 at y = (-.2, -.2, -.3, -.4, -.5, -.6, -.7, -.8) and .06225525752977 where all are -.595. References:
Back, Nobile, Tamellini, Tempone 2011; the benchmark collection of UM-Bridge (Seelinger et al. 2023).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from ...solvers.box import Box
from ...solvers.problems.affine import affine
from ...solvers.problems.affine_problem import Affine

RADIUS, SOURCE = 0.13, 100.0
CENTRES = tuple((x, y) for x in (0.2, 0.5, 0.8) for y in (0.2, 0.5, 0.8) if (x, y) != (0.5, 0.5))
PUBLISHED = (
    ((-0.2, -0.2, -0.3, -0.4, -0.5, -0.6, -0.7, -0.8), 0.05725576523730),
    ((-0.595,) * 8, 0.06225525752977),
)  # at 400 x 400


def weights(y: jax.Array) -> jax.Array:
    """One outside of the discs, 1 + y_n in the n-th."""
    return jnp.concatenate([jnp.ones(1), 1 + y])


def cookies(cells: int = 400) -> Affine:
    """The problem over the (cells - 1)^2 nodes inside."""
    matrices, load = _assembled(cells)
    inputs = Box(tuple(f"y{n + 1}" for n in range(8)), np.full(8, -0.99), np.full(8, -0.2))
    nodes = np.arange(1, cells) / cells
    points = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    return affine(matrices, weights, load, inputs, points)


def _assembled(cells: int) -> tuple[list[sp.csr_matrix], np.ndarray]:
    nodes, weight = np.polynomial.legendre.leggauss(5)
    nodes, weight = (nodes + 1) / 2, weight / 2
    x, y = np.meshgrid(nodes, nodes, indexing="ij")
    w = np.outer(weight, weight)
    shape = np.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y])
    dx, dy = np.stack([-(1 - y), 1 - y, -y, y]), np.stack([-(1 - x), -x, 1 - x, x])
    element = np.einsum("iab,jab,ab->abij", dx, dx, w) + np.einsum("iab,jab,ab->abij", dy, dy, w)

    i, j = (k.ravel() for k in np.indices((cells, cells)))
    n = cells + 1
    corners = np.stack([i * n + j, (i + 1) * n + j, i * n + j + 1, (i + 1) * n + j + 1], axis=1)
    px, py = (i[:, None, None] + x) / cells, (j[:, None, None] + y) / cells
    discs = [((px - a) ** 2 + (py - b) ** 2 <= RADIUS**2).astype(float) for a, b in CENTRES]
    inside = np.zeros((n, n), dtype=bool)
    inside[1:-1, 1:-1] = True
    free = np.flatnonzero(inside)

    matrices = []
    for indicator in (1 - np.sum(discs, axis=0), *discs):
        used = np.flatnonzero(indicator.any(axis=(1, 2)))
        values = np.einsum("cab,abij->cij", indicator[used], element)
        rows, columns = np.repeat(corners[used], 4, axis=1).ravel(), np.tile(corners[used], (1, 4)).ravel()
        whole = sp.csr_matrix((values.ravel(), (rows, columns)), shape=(n * n, n * n))
        part = whole[free][:, free]
        matrices.append(((part + part.T) / 2).tocsr())
    source = ((px >= 0.4) & (px <= 0.6) & (py >= 0.4) & (py <= 0.6)).astype(float)
    load = np.zeros(n * n)
    np.add.at(load, corners, SOURCE / cells**2 * np.einsum("cab,iab,ab->ci", source, shape, w))
    return matrices, load[free]
