"""Which solution: the branch of flows that is followed from where the flow is stable in energy, and so the only one.

Over a whole cell, in a = Re u, the equations are a polynomial of twice the degrees of a polynomial a(p),

    G(p) = V a + J(a, W a) + Re lid(profile),    in Bernstein form    G_k = sum_(i+j=k) w_ij (V a_j + J(a_i, W a_j)) ...

so that ||G(p)||_V' <= eps = max ||G_k||_V' for every p of the cell. With ||a(p) - base(p)||_V <= D0 by the control
fields of the difference, beta = beta_c (1 - theta) - 2 c D0 and t = 4 c eps / beta^2 < 1 there is a solution a*(p)
within r = 2 eps / (beta (1 + sqrt(1 - t))) of a(p), for every p, the only one nearby, hence continuous in p:

    ||a*(p) - base(p)||_V <= D = D0 + r

Two solutions at one p are the same where the Jacobian between them is invertible: F is quadratic, F(a) - F(b) =
J((a + b)/2)(a - b). So branches of neighbouring cells are one if beta_c (1 - theta) > 2 c times what their mean may be
off from the base, at a corner that they share; and so is a* the only solution of all, if it is stable in energy there.
"""

from __future__ import annotations

from math import comb

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ....solvers.precision import UNIT_ROUNDOFF
from ....solvers.problems.cavity import Cavity
from .cells import Degrees
from .dual import ENTRY, DualNorm

FINE: Degrees = (5, 4)  # of a(p)
SLACK = 1 + 1e-12


def products(first: int, second: int) -> Float[np.ndarray, "a b c"]:
    """w with B_i B_j = w_ij B_(i+j): the product of Bernstein polynomials, [i, j, i + j]."""
    w = np.zeros((first + 1, second + 1, first + second + 1))
    for i in range(first + 1):
        for j in range(second + 1):
            w[i, j, i + j] = comb(first, i) * comb(second, j) / comb(first + second, i + j)
    return w


def elevated(fields: Float[np.ndarray, "k n"], degrees: Degrees, to: Degrees) -> Float[np.ndarray, "m n"]:
    """The control fields of the same polynomial in higher degrees."""
    grid = fields.reshape(degrees[0] + 1, degrees[1] + 1, -1)
    for axis in (0, 1):
        w = products(degrees[axis], to[axis] - degrees[axis]).sum(axis=1)
        grid = np.moveaxis(np.tensordot(w.T, grid, axes=(1, axis)), 0, axis)
    return grid.reshape(-1, fields.shape[1])


class Branch:
    """Residuals and distances of polynomials, over whole cells."""

    def __init__(self, problem: Cavity, dual: DualNorm) -> None:
        self.problem, self.dual = problem, dual
        self._norms = jax.jit(jax.vmap(dual))
        self._curls = jax.jit(jax.vmap(dual.curl_norm))
        self._pairs = jax.jit(jax.vmap(self._pair, in_axes=(None, 0)))

    def _pair(self, a: Float[Array, "m m"], b: Float[Array, "m m"]) -> tuple[Array, Array]:
        """V b + J(a, W b), and its terms' sizes."""
        a, b, still = jnp.pad(a, 1), jnp.pad(b, 1), jnp.zeros(self.problem.cells + 1)
        one, curl = jnp.ones(()), self.problem.curl
        sizes = self.problem.transport(one, jnp.abs(a), curl(jnp.abs(b), still, 1.0), 1.0)
        return self.problem.transport(one, a, curl(b, still)), sizes

    def _lid(self, low: np.ndarray, high: np.ndarray) -> tuple[Float[np.ndarray, "4 n"], Float[np.ndarray, "4 n"]]:
        """Re lid(profile) in the corners of a cell, in which it is bilinear; and its terms' sizes."""
        nothing = jnp.zeros((self.problem.cells + 1,) * 2)
        values: list[np.ndarray] = []
        sizes: list[np.ndarray] = []
        for reynolds in (low[0], high[0]):
            for profile in (low[1], high[1]):
                g = self.problem.lid(jnp.array([reynolds, profile]))
                for made, sign in ((values, -1.0), (sizes, 1.0)):
                    w = self.problem.curl(nothing, jnp.abs(g) if sign > 0 else g, sign)
                    made.append(reynolds * np.asarray(self.problem.transport(jnp.zeros(()), nothing, w, sign)).ravel())
        return np.stack(values), np.stack(sizes)

    def residual(self, fields: Float[np.ndarray, "k n"], low: np.ndarray, high: np.ndarray) -> float:
        """At least ||G(p)||_V' for every p of a cell; ``fields`` of degrees ``FINE``."""
        m, twice = self.problem.cells - 1, (2 * FINE[0], 2 * FINE[1])
        grids = jnp.asarray(fields.reshape(-1, m, m))
        w = [products(d, d) for d in FINE]
        value, size = (elevated(x, (1, 1), twice).reshape(twice[0] + 1, twice[1] + 1, -1) for x in self._lid(low, high))
        size = np.abs(size)
        for i in range(FINE[0] + 1):
            for j in range(FINE[1] + 1):
                weights = np.einsum("ak,bl->abkl", w[0][i], w[1][j])
                pair, sizes = (np.asarray(x).reshape(FINE[0] + 1, FINE[1] + 1, -1) for x in self._pairs(
                    grids[i * (FINE[1] + 1) + j], grids
                ))  # fmt: skip
                value = value + np.einsum("abkl,abn->kln", weights, pair)
                size = size + np.einsum("abkl,abn->kln", weights, sizes)
        off = 4 * ENTRY * size  # and the sum of at most 30 by 30 terms, with their weights
        norms = [
            self._norms(jnp.asarray(v.reshape(-1, m, m)), jnp.asarray(o.reshape(-1, m, m)))
            for v, o in zip(value, off, strict=True)
        ]
        return float(np.max(np.stack([np.asarray(x) for x in norms]))) * SLACK

    def apart(self, fields: Float[np.ndarray, "k n"], others: Float[np.ndarray, "k n"]) -> float:
        """At least ||a(p) - b(p)||_V for every p, of polynomials of the same degrees by their control fields."""
        m = self.problem.cells - 1
        norms = np.asarray(self._curls(jnp.asarray((fields - others).reshape(-1, m, m))))
        h, dual = self.problem.widths
        rounded = 64 * UNIT_ROUNDOFF * (np.abs(fields).max() + np.abs(others).max()) * 9 / (h.min() * dual.min())
        return float(norms.max() + rounded) * SLACK

    def followed(
        self,
        fine: Float[np.ndarray, "k n"],
        base: Float[np.ndarray, "k n"],
        degrees: Degrees,
        corner: tuple[np.ndarray, np.ndarray],
        beta: float,
        c: float,
    ) -> float:
        """D of the branch over a cell; infinite where none is shown. ``beta``: beta_c (1 - theta)."""
        off = self.apart(fine, elevated(base, degrees, FINE))
        least = beta - 2 * c * off * SLACK
        if not least > 0:
            return np.inf
        eps = self.residual(fine, *corner)
        t = 4 * c * eps / least**2 * SLACK
        if not t < 1:
            return np.inf
        D = off + 2 * eps / (least * (1 + np.sqrt(1 - t))) * SLACK
        return D * SLACK if beta > 2 * c * D * SLACK else np.inf
