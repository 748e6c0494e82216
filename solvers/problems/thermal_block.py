"""Thermal block: steady heat conduction in a square of bx x by blocks, each with its own conductivity.

    -div(k grad u) = 1  in (0, 1)^2,    u = 0 on the boundary,    k = p[i * by + j] in the block i-th in x and j-th in y

Discretisation: bilinear (Q1) elements on cells x cells equal squares, exact integration; second order in L2, first in
the energy norm (regularity near the block corners permitting). Inputs: bx * by conductivities, log-scaled in [low,
high]; good ranges are 2 to 9 blocks and contrasts high/low of 10 to 1000. Homogeneous: u(c p) = u(p) / c.
Reference: Quarteroni, Manzoni, Negri, Reduced Basis Methods for PDEs (2016), section 6.1.1 (there with a Neumann side).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from numbers import Real

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..box import Box
from ..classes.diffusion import CellDiffusion, nonnegative
from ..discretisations.blocks import checked_blocks, checked_cells, numbered, spread
from ..meshes.symmetry import Symmetry, rectangle_group
from ..relations.limit import Known, alike
from ..relations.relation import Relation
from ..relations.scaling import Homogeneous
from ..relations.symmetry import Symmetric, motions, permuted


@dataclass(frozen=True, eq=False)
class ThermalBlock(CellDiffusion):
    """See the module's docstring. ``cells`` per side must be a multiple of both block counts.

    Raises:
        ValueError: no blocks, cells not a multiple of the blocks or too few, low >= high or not positive.
    """

    blocks: tuple[int, int] = (2, 2)
    cells: int = 64
    low: float = 0.1
    high: float = 10.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", checked_blocks(self.blocks))
        object.__setattr__(self, "cells", checked_cells(self.cells, self.blocks))
        if not (all(isinstance(x, Real) for x in (self.low, self.high)) and 0 < self.low < self.high < np.inf):
            raise ValueError(f"conductivities need 0 < low < high < infinity, not low={self.low}, high={self.high}")

    @cached_property
    def inputs(self) -> Box:
        names = numbered("k", self.blocks)
        d = len(names)
        return Box(names, np.full(d, self.low), np.full(d, self.high), log=(True,) * d)

    def cell_weights(self, theta: Float[Array, " Q"]) -> Float[Array, "n n"]:
        """One value per block to one per cell."""
        return spread(theta, self.blocks, (self.cells, self.cells))

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        return tuple(rectangle_group(self.blocks, (self.cells + 1, self.cells + 1)))

    @cached_property
    def relations(self) -> tuple[Relation, ...]:
        blocks = motions(self.blocks)
        scaled = np.arange(len(self.inputs.names))
        return (
            nonnegative(self),
            Known("limit", "at equal k u is Poisson's solution over k", alike(scaled), self._of_one_material),
            Homogeneous("homogeneity", "u(c k) = u(k)/c", scaled, -1.0, 0.5),  # |v|^2 at c k is c times that at k
            *(
                Symmetric(name, "u(g k) = g u(k)", permuted(blocks[name]), entries)
                for name, entries in motions(self.grid_shape).items()
                if name in blocks
            ),
        )

    def _of_one_material(self, p: Float[Array, " d"]) -> Float[Array, " N"]:
        """By sines, in which the operator at equal k is diagonal."""
        return self.reference_solve(self.load(p)) / p[0]

    @property
    def rough(self) -> bool:
        return self.cells // max(self.blocks) < 4 and self.cells > 8

    @property
    def weight_roundings(self) -> int:
        return 0

    def theta(self, p: Float[Array, " d"]) -> Float[Array, " Q"]:
        return p

    def load_terms(self) -> Float[np.ndarray, "J N"] | None:
        return self._load[None]

    @cached_property
    def reference_theta(self) -> np.ndarray:
        return np.ones(len(self.inputs.names))

    def features(self, p: Float[Array, " d"]) -> tuple[Float[Array, " m"], Float[Array, ""]]:
        """u(c p) = u(p)/c: learn the field of geometric mean one, from the deviations of the logarithms."""
        logs = jnp.log(p)
        mean = jnp.mean(logs)
        return 2 * (logs - mean) / np.log(self.high / self.low), jnp.exp(-mean)
