"""What networks on tensor grids have in common: the inputs as arrays on the grid, and problems without one."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from ...solvers.problem import Problem
from .design import View

MOST_AXES = 3


def channels_of(view: View, grid: tuple[int, ...], coordinates: bool) -> Float[Array, "n *grid c"]:
    """The inputs as functions on the grid, with the coordinates of the nodes as further ones where asked for."""
    assert view.fields is not None
    fields = view.fields
    if coordinates:
        where = jnp.broadcast_to(view.coordinates.astype(fields.dtype), (len(fields), *view.coordinates.shape))
        fields = jnp.concatenate([fields, where], axis=-1)
    return fields.reshape((len(fields), *grid, fields.shape[-1]))


def misfit_grid(name: str, problem: Problem, least: int = 2) -> str:
    """Why a network on grids, of ``least`` nodes along each axis, does not fit a problem; empty where it does."""
    instead = "deeponet needs none"
    grid = problem.grid_shape
    if grid is None:
        return (
            f"the nodes of {problem.name} form no tensor grid, which {name} needs (coordinates tell of one where they "
            f"are given): {instead}"
        )
    if len(grid) > MOST_AXES:
        return f"the grid of {problem.name} has {len(grid)} axes, and {name} knows up to {MOST_AXES}: {instead}"
    if min(grid) < least:
        return f"{name} needs at least {least} nodes along each axis, and {problem.name} has {min(grid)}: {instead}"
    return ""
