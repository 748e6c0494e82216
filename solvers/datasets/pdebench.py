"""The layouts of PDEBench (Takamoto et al. 2022), written from their description.

    one array      ``tensor`` [N, T, X(, Y, Z)(, C)], ``x-coordinate``, .., ``t-coordinate`` [T] or [T + 1]
    Darcy          ``nu`` [N, X, Y] besides, and T = 1: from the coefficient to the solution
    flow           ``density``, ``pressure``, ``Vx``, .. [N, T, X(, Y, Z)] in the place of ``tensor``
    a group each   ``0000/data`` [T, X(, Y), C], ``0000/grid/x``, .., ``0000/grid/t``

Where there are several times the first state is the input, a function, and the later ones are the field. Whether the
grid is periodic stands in none of them: what is written here says so in an attribute, ``periodic``, that other readers
pass over.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .around import UNSAID, around
from .dataset import Dataset
from .hdf5 import BY_HAND, Chosen, Contents, array, group, has, write
from .states import is_steady, ticks_of, times_from_start

AXES = ("x-coordinate", "y-coordinate", "z-coordinate")
FLOW = ("density", "pressure", "Vx", "Vy", "Vz")


def is_pdebench(file: Any) -> bool:
    """Whether a file has one of these layouts."""
    return has(file, "tensor") or (has(file, "density") and has(file, AXES[0])) or bool(_groups(file))


def read(file: Any, chosen: Chosen) -> Contents:
    """
    Raises:
        ValueError: arrays that do not belong together; what is missing is named.
    """
    names = _groups(file)
    found = _of_groups(file, names, chosen) if names else _of_one_array(file, chosen)
    said = file.attrs.get("periodic")
    if not isinstance(said, bool | np.bool_) or names:
        return replace(found, of_periodic=UNSAID)
    axes = [axis for axis in AXES if has(file, axis)]
    sides = [len(file[axis]) for axis in axes]
    periodic, told = around(axes, sides, axes if said else (), chosen.every_node)
    return replace(found, periodic=periodic, of_periodic=told)


def _of_one_array(file: Any, chosen: Chosen) -> Contents:
    ticks = tuple(array(file, axis, chosen.nodes) for axis in AXES if has(file, axis))
    if not ticks:
        raise ValueError(f"it has no {AXES[0]!r}, so that nothing says where the nodes lie: {BY_HAND}")
    index = (chosen.rows, chosen.times, *[chosen.nodes] * len(ticks))
    if has(file, "tensor"):
        U, parts = array(file, "tensor", *index), None
    else:
        parts = tuple(name for name in FLOW if has(file, name))
        U = np.stack([array(file, name, *index) for name in parts], axis=-1)
    U = U[..., None] if U.ndim == 2 + len(ticks) else U
    sides = tuple(len(x) for x in ticks)
    if U.ndim != 3 + len(ticks) or U.shape[2:-1] != sides:
        raise ValueError(
            f"its fields have shape {list(U.shape)}, and its coordinates ask for [N, T, {', '.join(map(str, sides))}] "
            f"with or without channels: {BY_HAND}"
        )
    if has(file, "nu"):
        return Contents(array(file, "nu", chosen.rows, *index[2:])[..., None], U[:, 0], ticks, None, ("nu",), parts)
    return _evolved(U, ticks, array(file, "t-coordinate"), chosen, parts)


def _evolved(
    U: np.ndarray, ticks: tuple[np.ndarray, ...], times: np.ndarray, chosen: Chosen, parts: tuple[str, ...] | None
) -> Contents:
    times = times[chosen.times][: U.shape[1]]  # some files have one time more than states
    if U.shape[1] < 2 or len(times) != U.shape[1]:
        raise ValueError(
            f"it has {U.shape[1]} states and {len(times)} times, and an input and a field take two of each: where the "
            f"inputs are elsewhere, {BY_HAND}"
        )
    return Contents(U[:, 0], U[:, 1:], ticks, times[1:], parts, parts)


def _groups(file: Any) -> list[str]:
    names = sorted(name for name in file if name.isdecimal())
    first = group(file, names[0]) if names else None
    return names if first is not None and has(first, "data") and has(first, "grid") else []


def _of_groups(file: Any, names: list[str], chosen: Chosen) -> Contents:
    grid = group(group(file, names[0]), "grid")
    axes = [axis for axis in "xyz" if has(grid, axis)]
    ticks = tuple(array(grid, axis, chosen.nodes) for axis in axes)
    index = (chosen.times, *[chosen.nodes] * len(axes))
    U = np.stack([array(group(file, name), "data", *index) for name in names[chosen.rows]])
    U = U[..., None] if U.ndim == 2 + len(axes) else U
    return _evolved(U, ticks, array(grid, "t"), chosen, None)


def save(data: Dataset, path: Path, dtype: str) -> None:
    """
    Raises:
        ValueError: the data has no place in this layout.
    """
    problem, sides = data.problem, data.problem.grid_shape
    times, _, components = problem.shape
    channels, n = len(problem.channels), len(data)
    if sides is None or len(sides) != problem.points.shape[1] or not channels:
        raise ValueError(
            "a PDEBench file holds functions on a tensor grid, inputs too: write layout='assay', which holds all"
        )
    U = problem.known_fields.reshape(n, times, *sides, components)
    start = problem.known_inputs.reshape(n, *sides, channels)
    steady = is_steady(problem)
    if channels != (1 if steady else components):
        raise ValueError(
            "a PDEBench file holds the first state, or one coefficient, as its input: write layout='assay', which "
            "holds all"
        )
    tensor = U if steady else np.concatenate([start[:, None], U], axis=1)

    def fill(file: Any) -> None:
        file.create_dataset("tensor", data=(tensor if components > 1 else tensor[..., 0]).astype(dtype))
        for axis, ticks in zip(AXES, ticks_of(problem, sides), strict=False):
            file.create_dataset(axis, data=ticks.astype(dtype))
        file.attrs["periodic"] = problem.periodic
        if steady:
            file.create_dataset("nu", data=start[..., 0].astype(dtype))
            file.attrs["beta"] = 1.0
        else:
            file.create_dataset("t-coordinate", data=times_from_start(problem).astype(dtype))

    write(path, fill)
