"""Quadrilaterals under plane stress: shapes, supports and loads of the membranes that ``elasticity.py`` offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from .plane_stress import CORNERS


class Geometry(NamedTuple):
    """A straight-sided quadrilateral with its supports; ``along`` cells in the first direction for each in the
    second.
    """

    corners: tuple[tuple[float, float], ...]  # of (xi, eta) = (0, 0), (1, 0), (0, 1), (1, 1)
    along: int
    poisson: float
    low: float
    high: float
    traction: float  # per length, on the edge xi = 1; the cantilever's total end load

    def nodes(self, nx: int, ny: int) -> Float[np.ndarray, "nx+1 ny+1 2"]:
        """The nodes of nx x ny cells, by bilinear interpolation between the corners."""
        xi, eta = np.meshgrid(np.arange(nx + 1) / nx, np.arange(ny + 1) / ny, indexing="ij")
        a, b, c, d = (np.array(corner) for corner in self.corners)
        xi, eta = xi[..., None], eta[..., None]
        return (1 - xi) * ((1 - eta) * a + eta * c) + xi * ((1 - eta) * b + eta * d)


GEOMETRIES = {
    "square": Geometry(((0, 0), (1, 0), (0, 1), (1, 1)), 1, 0.3, 0.1, 10.0, 1.0),
    "cook": Geometry(((0, 0), (48, 44), (0, 44), (48, 60)), 1, 1 / 3, 0.1, 10.0, 1 / 16),
    "cantilever": Geometry(((0, -6), (48, -6), (0, 6), (48, 6)), 4, 0.3, 3e6, 3e8, 1000.0),
}


def supports(geometry: str, nx: int, ny: int) -> Bool[np.ndarray, "2 nx+1 ny+1"]:
    """Which entries are free: the edge xi = 0 is clamped, the cantilever held without hindering its exact solution."""
    mask = np.ones((2, nx + 1, ny + 1), dtype=bool)
    if geometry == "cantilever":
        mask[:, 0, ny // 2] = False
        mask[0, 0, ny] = False
    else:
        mask[:, 0] = False
    return mask


def loads(
    geometry: str, nodes: Float[np.ndarray, "nx+1 ny+1 2"], traction: float, body: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The body force, and the tractions on the edge xi = 1 along x and along y (of the cantilever: on both ends)."""
    total = _body_load(nodes, body)
    x_load, y_load = np.zeros_like(total), np.zeros_like(total)
    if geometry != "cantilever":
        x_load[:, -1] = _edge_load(nodes[-1], lambda y: (traction + 0 * y, 0 * y))
        y_load[1] = x_load[0]
        return total, x_load, y_load
    half, length = nodes[0, -1, 1], nodes[-1, 0, 0]
    inertia = (2 * half) ** 3 / 12

    def shear(y: Any) -> Any:
        return traction / (2 * inertia) * (half**2 - y**2)

    y_load[:, -1] = _edge_load(nodes[-1], lambda y: (0 * y, shear(y)))
    y_load[:, 0] = _edge_load(nodes[0], lambda y: (traction * length * y / inertia, -shear(y)))
    return total, x_load, y_load


def _body_load(nodes: np.ndarray, body: tuple[float, float]) -> Float[np.ndarray, "2 nx+1 ny+1"]:
    """A constant body force against the bilinear shape functions, by 2 x 2 Gauss points: exact on any quadrilateral."""
    nx, ny = nodes.shape[0] - 1, nodes.shape[1] - 1
    corners = [nodes[i : nx + i, j : ny + j] for i, j in CORNERS]
    load = np.zeros((2, nx + 1, ny + 1))
    for xi in (0.5 - 1 / np.sqrt(12), 0.5 + 1 / np.sqrt(12)):
        for eta in (0.5 - 1 / np.sqrt(12), 0.5 + 1 / np.sqrt(12)):
            a, b, c, d = corners
            along_xi = (1 - eta) * (b - a) + eta * (d - c)
            along_eta = (1 - xi) * (c - a) + xi * (d - b)
            area = along_xi[..., 0] * along_eta[..., 1] - along_xi[..., 1] * along_eta[..., 0]
            for i, j in CORNERS:
                shape = (xi if i else 1 - xi) * (eta if j else 1 - eta)
                load[:, i : nx + i, j : ny + j] += np.multiply.outer(body, area * shape / 4)
    return load


def _edge_load(nodes: Float[np.ndarray, "n+1 2"], traction: Callable[[Any], tuple[Any, Any]]) -> np.ndarray:
    """Tractions (as a function of y) against the linear shape functions along an edge, 3 Gauss points: cubics exact."""
    ends = np.hypot(*(nodes[1:] - nodes[:-1]).T)
    load = np.zeros((2, len(nodes)))
    for point, weight in zip(*np.polynomial.legendre.leggauss(3), strict=True):
        s = (1 + point) / 2
        force = np.stack(traction((1 - s) * nodes[:-1, 1] + s * nodes[1:, 1])) * ends * weight / 2
        load[:, :-1] += (1 - s) * force
        load[:, 1:] += s * force
    return load
