"""Lognormal diffusion: steady flow through a random medium on the unit square.

    -div(e^g grad u) = 1  in (0, 1)^2,    u = 0 on the boundary,    g(x) = sigma sum_k sqrt(lambda_k) phi_k(x) xi_k

g is the Karhunen-Loeve expansion of a Gaussian field of covariance sigma^2 exp(-(|x1 - y1| + |x2 - y2|)/length), cut
after the d largest eigenvalues. Discretisation: bilinear (Q1) elements on cells x cells equal squares with e^g taken
at the cell midpoints; second order in L2, first in the energy norm. Every cell is a weight of its own: Q = cells^2.
Inputs: the coefficients xi_1 .. xi_d, standard normal truncated at +-3. Good ranges: d = 2 to 64, sigma up to 3,
length 0.05 to 2, cells of at most a quarter of the length. With few coefficients the variance is below sigma^2:
``variance_share`` says how much. References: Ghanem and Spanos (1991), section 2.3.3; Lord, Powell, Shardlow,
Computational Stochastic PDEs (2014), chapter 9.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..box import Box
from ..classes.diffusion import CellDiffusion, nonnegative
from ..discretisations import karhunen_loeve
from ..relations.limit import Known, zeroed
from ..relations.relation import Relation
from ..relations.symmetry import Symmetric, flipped, motions, permuted


@dataclass(frozen=True, eq=False)
class LognormalDiffusion(CellDiffusion):
    """See the module's docstring.

    Raises:
        ValueError: no coefficients or more than the grid can show, sigma or length not positive, too few cells.
    """

    d: int = 4
    sigma: float = 1.0
    length: float = 0.5
    cells: int = 64

    def __post_init__(self) -> None:
        for what, least in (("d", 1), ("cells", 2)):
            value = getattr(self, what)
            if int(value) != value or value < least:
                raise ValueError(f"{what} must be a whole number of at least {least}, not {value}")
            object.__setattr__(self, what, int(value))
        for what in ("sigma", "length"):
            value = float(getattr(self, what))
            if not 0 < value < np.inf:
                raise ValueError(f"{what} must be positive and finite, not {value}")
            object.__setattr__(self, what, value)
        finest = 1 + max(int(self._modes[0].max()), int(self._modes[1].max()))
        if finest > self.cells:
            raise ValueError(
                f"{self.d} coefficients reach the {finest}th mode along a side, which {self.cells} cells cannot show: "
                f"take at least {finest} cells, or fewer coefficients"
            )

    @cached_property
    def inputs(self) -> Box:
        names = tuple(f"xi{k + 1}" for k in range(self.d))
        return Box(names, np.full(self.d, -3.0), np.full(self.d, 3.0), laws=("normal",) * self.d)

    @cached_property
    def _modes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return karhunen_loeve.tensor_modes(self.d, self.length)

    @property
    def variance_share(self) -> float:
        """The share of sigma^2 (averaged over the square) that the d modes carry."""
        return float(self._modes[2].sum())

    def _eigenfunctions(self, ticks: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n m"]:
        """The one-dimensional ones."""
        along_x, along_y, _ = self._modes
        count = 1 + max(int(along_x.max()), int(along_y.max()))
        return karhunen_loeve.eigenfunctions(ticks, count, self.length)

    @cached_property
    def _table(self) -> Float[np.ndarray, "n m"]:
        """At the cell midpoints."""
        return self._eigenfunctions((np.arange(self.cells) + 0.5) / self.cells)

    @cached_property
    def _nodal_table(self) -> Float[np.ndarray, "n+1 m"]:
        return self._eigenfunctions(np.arange(self.cells + 1) / self.cells)

    def _expansion(self, table: Float[np.ndarray, "k m"], p: Float[Array, " d"]) -> Float[Array, "k k"]:
        along_x, along_y, values = self._modes
        count = table.shape[1]
        spread = jnp.zeros((count, count)).at[along_x, along_y].set(self.sigma * np.sqrt(values) * p)
        return table @ spread @ table.T

    def log_field(self, p: Float[Array, " d"]) -> Float[Array, "n n"]:
        """g at the cell midpoints."""
        return self._expansion(self._table, p)

    def input_field(self, p: Float[Array, " d"]) -> Float[Array, "nodes channels"]:
        """e^g in the nodes themselves."""
        return jnp.exp(self._expansion(self._nodal_table, p)).reshape(-1, 1)

    def theta(self, p: Float[Array, " d"]) -> Float[Array, " Q"]:
        return jnp.exp(self.log_field(p)).reshape(-1)

    def cell_weights(self, theta: Float[Array, " Q"]) -> Float[Array, "n n"]:
        return theta.reshape(self.cells, self.cells)

    @property
    def rough(self) -> bool:
        return self.sigma**2 > 0.25 * self.cells * self.length  # the variance of g(x + h) - g(x) is 2 sigma^2 h/length

    @cached_property
    def weight_roundings(self) -> int:
        """The discrete truth takes the float64 tables of modes as exact; what theta adds to them is counted here.

        g is two matrix products with m terms each, so it carries gamma_(2 m + 2) times the sum of its absolute terms,
        which the box bounds by G; the exponential turns that into a relative error and adds at most 16 ulp.
        """
        along_x, along_y, values = self._modes
        size = np.abs(self._table)
        spread = np.zeros((size.shape[1],) * 2)
        spread[along_x, along_y] = self.sigma * np.sqrt(values)
        largest = float((size @ spread @ size.T).max()) * float(np.abs(self.inputs.upper).max())
        return int(np.ceil(1.01 * (2 * size.shape[1] + 2) * largest)) + 33

    @cached_property
    def relations(self) -> tuple[Relation, ...]:
        """Eigenfunctions are even or odd about the middle: a reflection changes the signs of some coefficients."""
        along_x, along_y, _ = self._modes
        order = {mode: k for k, mode in enumerate(zip(along_x.tolist(), along_y.tolist(), strict=True))}
        swapped = [order.get((j, i)) for i, j in order]
        moved = {f"reflection of {x}": flipped((-1.0) ** k) for x, k in (("x", along_x), ("y", along_y))}
        if None not in swapped:  # the last of two equal eigenvalues may be cut off
            moved["swap of x and y"] = permuted(np.array(swapped))
        entries = motions(self.grid_shape)
        found = (Symmetric(name, "u(g xi) = g u(xi)", there, entries[name]) for name, there in moved.items())
        poisson = zeroed(np.arange(self.inputs.dimension))
        limit = Known(
            "limit", "at xi = 0 u is Poisson's solution", poisson, lambda p: self.reference_solve(self.load(p))
        )
        return (nonnegative(self), limit, *found)

    def oscillation(self, p: Float[np.ndarray, " d"]) -> Float[np.ndarray, "n n"]:
        """|g - g(midpoint)| in every cell: the slopes at the midpoint, and a bound of all second derivatives."""
        along_x, along_y, values = self._modes
        count, half = self._table.shape[1], 0.5 / self.cells
        midpoints = (np.arange(self.cells) + 0.5) / self.cells
        slopes = karhunen_loeve.eigenfunctions(midpoints, count, self.length, slopes=True)
        spread = np.zeros((count, count))
        spread[along_x, along_y] = self.sigma * np.sqrt(values) * np.asarray(p)
        first = np.abs(slopes @ spread @ self._table.T) + np.abs(self._table @ spread @ slopes.T)
        w, size = karhunen_loeve.frequencies(count, self.length), karhunen_loeve.amplitudes(count, self.length)
        second = float((np.abs(spread) * np.add.outer(w, w) ** 2 * np.outer(size, size)).sum())
        rounding = 1e-12 * (1 + second)  # far above that of the two products and of g itself
        return half * first + half**2 / 2 * second + rounding

    @cached_property
    def reference_theta(self) -> np.ndarray:
        return np.ones(self.cells**2)

    def operator_terms(self, u: Float[Array, " N"]) -> Float[Array, "Q N"]:
        raise ValueError(
            f"lognormal diffusion has one term per cell, here {self.cells**2}: their table would fit no reduced path; "
            "use the elementwise bounds, which need apply and flux_energy only"
        )
