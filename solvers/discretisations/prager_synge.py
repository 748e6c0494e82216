"""How far a field is from the exact solution of -div(a grad u) = f, u = 0 on the boundary: proved, on both sides.

For v in H1_0 and any sigma with -div sigma = f + rho (Prager and Synge 1947), in the norm ||v||_a^2 = int a |grad v|^2:

    ||u - v||_a <= ||a^(1/2) grad v - a^(-1/2) sigma|| + C ||rho||,    ||u||_a <= ||a^(-1/2) sigma|| + C ||rho||
    ||u - v||_a >= (f(t) - a(v, t)) / ||t||_a,                         ||u||_a >= f(t) / ||t||_a        for any t

with C = 1/(pi sqrt(2 min a)) on the unit square (Friedrichs), where rho is what rounding leaves. Here v is a Q1
field, f = 1, and sigma the Raviart-Thomas flux (RT0) of the cell-centred finite volume scheme on the cells, each
split ``refine`` times per side; t is the Q1 solution on such a grid (less v). The coefficient is a_c in each cell or,
with ``oscillation``, any a(x) with |ln a - ln a_c| <= delta_c there: with G = a_c^(1/2) grad v and S = a_c^(-1/2)
sigma

    |a^(1/2) grad v - a^(-1/2) sigma| = |cosh(d/2) (G - S) + sinh(d/2) (G + S)|,    |d| <= delta_c
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float

from ..linear_algebra.direct import factorise
from ..precision import RANGE, gamma
from . import q1

EVALUATION = gamma(40)  # relative error of one cell's terms, evaluated below with at most 30 roundings


class DiscretisationBound(NamedTuple):
    """||u - v||_a and ||u||_a for the exact solution u, as proved enclosures."""

    lower: float
    upper: float
    energy_lower: float  # of ||u||_a
    energy_upper: float
    relative_lower: float  # of ||u - v||_a / ||u||_a
    relative_upper: float
    norm: str
    evidence: str = "proved"

    @property
    def relative(self) -> float:
        """The upper end of the enclosure of ||u - v||_a / ||u||_a, which is what a report may say."""
        return self.relative_upper


class Flux(NamedTuple):
    """An RT0 field by its total fluxes through the edges, towards +x and +y."""

    x: Float[np.ndarray, "m+1 m"]
    y: Float[np.ndarray, "m m+1"]


def equilibrated_flux(w: Float[np.ndarray, "m m"]) -> Flux:
    """Fluxes of the cell-centred finite volume scheme for f = 1 on m x m cells: -div sigma = 1 to rounding.

    The conductance between two cells is the harmonic mean of theirs, to the boundary twice the cell's.
    """
    m = len(w)
    x = np.zeros((m + 1, m))
    x[1:-1] = 2 / (1 / w[1:] + 1 / w[:-1])
    x[[0, -1]] = 2 * w[[0, -1]]
    y = np.zeros((m, m + 1))
    y[:, 1:-1] = 2 / (1 / w[:, 1:] + 1 / w[:, :-1])
    y[:, [0, -1]] = 2 * w[:, [0, -1]]
    diagonal = x[1:] + x[:-1] + y[:, 1:] + y[:, :-1]
    along_y = y[:, 1:].copy()
    along_y[:, -1] = 0  # the next cell in memory is no neighbour across the boundary
    bands = [diagonal.ravel(), -along_y.ravel()[:-1], -along_y.ravel()[:-1], -x[1:-1].ravel(), -x[1:-1].ravel()]
    solve = factorise(sp.diags(bands, [0, 1, -1, m, -m], format="csr"))
    load = np.full((m, m), 1 / m**2)
    sigma = Flux(np.zeros_like(x), np.zeros_like(y))
    for _ in range(2):  # the second time for what rounding left of the divergence
        pressure = np.pad(solve((load + divergence(sigma)).ravel()).reshape(m, m), 1)
        sigma = Flux(sigma.x + x * np.diff(pressure, axis=0)[:, 1:-1], sigma.y + y * np.diff(pressure, axis=1)[1:-1])
    return sigma


def divergence(sigma: Flux) -> Float[np.ndarray, "m m"]:
    """The integral of div sigma over every cell."""
    return np.diff(sigma.x, axis=0) + np.diff(sigma.y, axis=1)


def refined_solution(w: Float[np.ndarray, "m m"]) -> Float[np.ndarray, "m+1 m+1"]:
    """The Q1 solution for f = 1 by a direct method (any error in it costs sharpness, not truth)."""
    m = len(w)
    solve = factorise(q1.CsrMap(m, m)(w))
    return np.pad(solve(np.full((m - 1) ** 2, 1 / m**2)).reshape(m - 1, m - 1), 1)


def split(v: np.ndarray, times: int) -> np.ndarray:
    """Bilinear interpolation of nodal values to cells split ``times`` per side: the same field."""
    n = len(v) - 1
    position = np.arange(n * times + 1) / times
    rows = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(n + 1)))
    return rows @ v @ rows.T


def bound_discretisation_error(
    w: Float[np.ndarray, "n n"],
    v: Float[np.ndarray, "n+1 n+1"],
    refine: int = 2,
    oscillation: Float[np.ndarray, "n n"] | None = None,
) -> DiscretisationBound:
    """||u - v||_a and ||u||_a on the unit square with f = 1; ``v`` must vanish on the boundary.

    Args:
        w: weights of the cells.
        v: nodal values.
        refine: cells per side that each cell is divided into for the flux and the better solution: sharper, dearer.
        oscillation: ``CellDiffusion.oscillation``; None where the coefficient is constant in every cell.

    Raises:
        ValueError: a field that does not vanish on the boundary, weights that are not positive and finite.
    """
    w, v = np.asarray(w, dtype=np.float64), np.asarray(v, dtype=np.float64)
    if not ((w >= 1 / RANGE).all() and (w <= RANGE).all()):
        raise ValueError("the cell weights must be positive, and between 2^-100 and 2^100: change the units")
    if any(np.any(side) for side in (v[0], v[-1], v[:, 0], v[:, -1])):
        raise ValueError("the field must vanish on the boundary: overwrite its values there first")
    times = np.ones((refine, refine))
    fine, v_fine = np.kron(w, times), split(v, refine)
    delta = np.zeros_like(fine) if oscillation is None else np.kron(oscillation, times)
    sigma, t = equilibrated_flux(fine), refined_solution(fine)
    friedrichs = 1 / (np.pi * np.sqrt(2 * fine.min() * np.exp(-delta.max())))
    unbalanced = friedrichs * _imbalance(sigma)
    upper = _gap(fine, v_fine, sigma, delta) + unbalanced
    energy_upper = _gap(fine, 0 * v_fine, sigma, delta) + unbalanced
    energy_lower = _functional(fine, t, 0 * t, delta)
    lower = max(0.0, _functional(fine, t - v_fine, v_fine, delta))
    # Interpolating v to the finer grid moved it by a few roundings: |B| of a cell has norm below 3.5 (see
    # diffusion.py).
    moved = gamma(8) * 3.5 * np.sqrt(fine.max() * np.exp(delta.max())) * 1.01 * float(np.linalg.norm(v_fine))
    lower, upper = max(0.0, lower - moved), upper + moved
    relative = upper / energy_lower if energy_lower > 0 else np.inf
    name = "energy norm ||v||_a"
    return DiscretisationBound(lower, upper, energy_lower, energy_upper, lower / energy_upper, relative, name)


def _imbalance(sigma: Flux) -> float:
    """The L2 norm of rho = -div sigma - 1, rounding included."""
    m = len(sigma.x) - 1
    size = np.abs(sigma.x[1:]) + np.abs(sigma.x[:-1]) + np.abs(sigma.y[:, 1:]) + np.abs(sigma.y[:, :-1]) + 1 / m**2
    rho = np.abs(divergence(sigma) + 1 / m**2) + gamma(6) * size
    return 1.001 * m * float(np.linalg.norm(rho))


def _cell_terms(w: np.ndarray, v: np.ndarray, sigma: Flux) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Orthogonal components of G and S in every cell, weighted so that their squares add to the integral.

    G_x = w^(1/2) (X + eta H), S_x = w^(-1/2) (mean + xi step), for the other axis alike; eta and xi have mean square
    1/12.
    """
    a, b, c, d = v[:-1, :-1], v[1:, :-1], v[:-1, 1:], v[1:, 1:]
    root, third = np.sqrt(w), 1 / np.sqrt(12)
    zero = np.zeros_like(w)
    twist = root * ((d - c) - (b - a)) * third
    gradient = [root * ((b - a) + (d - c)) / 2, twist, zero, root * ((c - a) + (d - b)) / 2, twist, zero]
    flux = [
        (sigma.x[1:] + sigma.x[:-1]) / 2 / root,
        zero,
        np.diff(sigma.x, axis=0) * third / root,
        (sigma.y[:, 1:] + sigma.y[:, :-1]) / 2 / root,
        zero,
        np.diff(sigma.y, axis=1) * third / root,
    ]
    return gradient, flux


def _gap(w: np.ndarray, v: np.ndarray, sigma: Flux, delta: np.ndarray) -> float:
    """An upper bound of ||a^(1/2) grad v - a^(-1/2) sigma||, rounding included."""
    gradient, flux = _cell_terms(w, v, sigma)
    corners = np.abs(v[:-1, :-1]) + np.abs(v[1:, :-1]) + np.abs(v[:-1, 1:]) + np.abs(v[1:, 1:])
    edges = np.abs(sigma.x[1:]) + np.abs(sigma.x[:-1]) + np.abs(sigma.y[:, 1:]) + np.abs(sigma.y[:, :-1])
    rounding = EVALUATION * (3 * np.sqrt(w) * corners + edges / np.sqrt(w))
    near = np.sqrt(sum((g - s) ** 2 for g, s in zip(gradient, flux, strict=True))) + rounding
    far = np.sqrt(sum((g + s) ** 2 for g, s in zip(gradient, flux, strict=True))) + rounding
    # exp, cosh and sinh only scale upwards here; 1e-12 is far more than their and the sum's rounding (n^2 u < 1e-10).
    cells = (np.cosh(delta / 2) * near + np.sinh(delta / 2) * far) * (1 + 1e-12)
    return float(np.linalg.norm(cells)) * (1 + gamma(w.size + 8))


def _functional(w: np.ndarray, t: np.ndarray, v: np.ndarray, delta: np.ndarray) -> float:
    """A lower bound of (f(t) - a(v, t)) / ||t||_a for f = 1, rounding included; zero where ``t`` is."""
    m = len(w)
    silent = Flux(np.zeros((m + 1, m)), np.zeros((m, m + 1)))
    of_t, of_v = _cell_terms(w, t, silent)[0], _cell_terms(w, v, silent)[0]
    size_t = np.sqrt(sum(g**2 for g in of_t))
    size_v = np.sqrt(sum(g**2 for g in of_v))
    length = float(np.linalg.norm(np.exp(delta / 2) * size_t)) * (1 + 1e-10)
    if length == 0:
        return 0.0
    load = t[1:-1, 1:-1].sum() / m**2
    product = sum((g * h).sum() for g, h in zip(of_t, of_v, strict=True))
    corners_t = np.abs(t[:-1, :-1]) + np.abs(t[1:, :-1]) + np.abs(t[:-1, 1:]) + np.abs(t[1:, 1:])
    corners_v = np.abs(v[:-1, :-1]) + np.abs(v[1:, :-1]) + np.abs(v[:-1, 1:]) + np.abs(v[1:, 1:])
    rounding = gamma(6 * w.size + 40) * (np.abs(t).sum() / m**2 + (9 * w * corners_t * corners_v).sum())
    varied = float((np.expm1(delta) * size_t * size_v).sum()) * (1 + 1e-10)
    return float((load - product - rounding - varied) / length)
