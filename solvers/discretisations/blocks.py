"""Inputs that are constant on blocks: a rectangle or an interval cut into equal parts, one number in each."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import product
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

COUNTS = {(2,): "two whole numbers, along x and along y", (1, 2): "one or two whole numbers, one for each axis"}


def checked_blocks(blocks: Any, dimensions: tuple[int, ...] = (2,)) -> tuple[int, ...]:
    """How many blocks there are along each axis.

    Raises:
        ValueError: not whole numbers, none along an axis, or more or fewer axes than the problem has.
    """
    try:
        found = tuple(operator.index(b) for b in blocks)
    except TypeError:
        found = ()
    if len(found) not in dimensions:
        raise ValueError(f"blocks are {COUNTS[dimensions]}, not {blocks!r}")
    if min(found) < 1:
        raise ValueError(f"at least one block is needed along each axis, not {' x '.join(map(str, found))}")
    return found


def checked_cells(cells: Any, blocks: tuple[int, ...]) -> int:
    """Cells along each axis, so many that no block ends inside one.

    Raises:
        ValueError: fewer than two, or not a multiple of the blocks.
    """
    if isinstance(cells, bool) or not isinstance(cells, int | np.integer) or cells < 2:
        raise ValueError(f"cells must be a whole number of at least 2, not {cells!r}")
    if any(cells % b for b in blocks):
        raise ValueError(
            f"cells={cells} is not a multiple of the blocks {' x '.join(map(str, blocks))}: "
            f"take a multiple of {np.lcm.reduce(blocks)} so that no block ends inside a cell"
        )
    return int(cells)


def numbered(letter: str, counts: Sequence[int], first: int = 0) -> tuple[str, ...]:
    """Names of inputs, block column by block column: k00, k01, ...; k0_10 where an index has two digits."""
    between = "" if max(counts) + first <= 10 else "_"
    return tuple(letter + between.join(map(str, at)) for at in product(*(range(first, first + n) for n in counts)))


def spread(values: Float[Array, " Q"], blocks: tuple[int, ...], grid: Sequence[int]) -> Float[Array, "..."]:
    """One value per block to one per cell of the grid; numpy for numpy, since on the host no JAX code may run."""
    module: Any = np if isinstance(values, np.ndarray) else jnp
    apart = [n for b in blocks for n in (b, 1)]
    wide = [n for b, cells in zip(blocks, grid, strict=True) for n in (b, cells // b)]
    return module.broadcast_to(values.reshape(apart), wide).reshape(grid)


def on_nodes(cells: Float[Array, "..."]) -> Float[Array, "..."]:
    """Values of cells as values of their corners, one more along each axis: the mean of the cells around each.

    With the lumped mass of equal cells it has the same integral.
    """
    for axis in range(cells.ndim):
        wide = jnp.moveaxis(jnp.pad(cells, [(int(a == axis),) * 2 for a in range(cells.ndim)], mode="edge"), axis, 0)
        cells = jnp.moveaxis((wide[1:] + wide[:-1]) / 2, 0, axis)
    return cells
