"""The layout of The Well (Ohana et al. 2024), written from its specification.

    attributes      n_spatial_dims, n_trajectories, grid_type
    ``dimensions``  @spatial_dims; ``time`` [T] and the ticks of each axis
    ``t0_fields``   scalars [B, T, X(, Y, Z)], ``t1_fields`` vectors [.., D], ``t2_fields`` tensors [.., D, D]; each
                    with @sample_varying, @time_varying and @dim_varying, whose axes are left out where they are False
    ``scalars``     numbers, of which those that vary between samples are inputs
    ``boundary_conditions``  groups with @bc_type (PERIODIC, WALL, OPEN), @associated_dims, and a ``mask`` of the nodes
                    where they hold; the grid is periodic along the axes of those that are PERIODIC

The first state is the input, a function, with the fields that do not change in time and the numbers as further
channels; the later states are the field. With one time alone the fields that do not change are the input, or the
numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .around import UNSAID, around
from .dataset import Dataset
from .hdf5 import BY_HAND, Chosen, Contents, array, group, has, words, write
from .states import is_steady, ticks_of, times_from_start

ORDERS = ("t0_fields", "t1_fields", "t2_fields")
BOUNDARIES = "boundary_conditions"
KINDS = ("PERIODIC", "WALL", "OPEN")


def is_the_well(file: Any) -> bool:
    """Whether a file has this layout."""
    return has(file, "dimensions") and has(file, ORDERS[0])


def read(file: Any, chosen: Chosen) -> Contents:
    """
    Raises:
        ValueError: arrays that do not belong together, times or grids that change between samples, or no inputs.
    """
    dimensions = group(file, "dimensions")
    axes = words(dimensions.attrs["spatial_dims"]) if "spatial_dims" in dimensions.attrs else []
    for name in (*axes, "time"):
        data = _hard(dimensions, name)
        if data is not None and (_is(data, "sample_varying") or _is(data, "time_varying")):
            raise ValueError(f"its {name} varies between samples or in time: bring the samples onto one grid first")
    if not axes or not all(has(dimensions, name) for name in (*axes, "time")):
        raise ValueError(f"its dimensions lack @spatial_dims, an axis that stands there, or time: {BY_HAND}")
    ticks = tuple(array(dimensions, name, chosen.nodes) for name in axes)
    times = array(dimensions, "time", chosen.times)
    states: dict[str, np.ndarray] = {}
    fixed: dict[str, np.ndarray] = {}
    remarks: list[str] = []
    for order in ORDERS:
        held: Any = group(file, order) if has(file, order) else {}
        for name in words(held.attrs.get("field_names", [])) if held else []:
            data = _hard(held, name)
            if data is None or not _is(data, "sample_varying", True):
                remarks.append(f"{name} is the same in all samples, and was left out")
                continue
            into = states if _is(data, "time_varying", True) else fixed
            into |= _components(held, name, data, axes, chosen)
    if not states:
        raise ValueError(
            f"no field of it varies both between samples and in time, as what is predicted does: {BY_HAND}"
        )
    wanted = tuple(len(x) for x in ticks)
    for name, values in (*states.items(), *fixed.items()):
        head = (len(times),) if name in states else ()
        if values.shape[1:] != head + wanted:
            raise ValueError(
                f"its {name} has shape {list(values.shape)}, not [n, {', '.join(map(str, head + wanted))}]: {BY_HAND}"
            )
    numbers = _numbers(file, chosen, remarks)
    periodic, told = _around(file, axes, chosen)
    U = np.stack(list(states.values()), axis=-1)
    parts = tuple(states) if len(states) > 1 else None
    if len(times) > 1:
        given = {name: values[:, 0] for name, values in states.items()} | fixed
        names, inputs = _with_numbers(given, numbers, wanted)
        return Contents(inputs, U[:, 1:], ticks, times[1:], names, parts, tuple(remarks), periodic, told)
    if fixed:
        names, inputs = _with_numbers(fixed, numbers, wanted)
    elif numbers:
        names, inputs = tuple(numbers), np.stack(list(numbers.values()), axis=1)
    else:
        raise ValueError(f"it has one time, and neither fields nor numbers that could be its inputs: {BY_HAND}")
    return Contents(inputs, U[:, 0], ticks, None, names, parts, tuple(remarks), periodic, told)


def _around(file: Any, axes: list[str], chosen: Chosen) -> tuple[bool, str]:
    """As ``around``; boundaries that lie in another file, or whose kind or axes are unknown, say nothing."""
    held: Any = group(file, BOUNDARIES) if has(file, BOUNDARIES) else {}
    inside = [held[name].attrs for name in held if held.id.links.get_info(name.encode()).type == h5py.h5l.TYPE_HARD]
    kinds: dict[str, set[str]] = {axis: set() for axis in axes}
    for about in (about for about in inside if {"bc_type", "associated_dims"} <= set(about)):
        for axis in set(words(about["associated_dims"])) & set(axes):
            kinds[axis] |= {"".join(words(about["bc_type"])).upper()} & set(KINDS)
    if not any(kinds.values()):
        return False, UNSAID
    periodic = [axis for axis, found in kinds.items() if "PERIODIC" in found]
    both = [axis for axis in periodic if len(kinds[axis]) > 1]
    if both:
        other = " and ".join(sorted(kinds[both[0]] - {"PERIODIC"}))
        return False, (
            f"it says that its grid is PERIODIC along {both[0]}, and {other}: it is taken as not periodic: "
            "periodic=True where it is"
        )
    return around(axes, [len(file["dimensions"][axis]) for axis in axes], periodic, chosen.every_node)


def _is(data: Any, name: str, otherwise: bool = False) -> bool:
    return bool(np.all(data.attrs.get(name, otherwise)))


def _components(held: Any, name: str, data: Any, axes: list[str], chosen: Chosen) -> dict[str, np.ndarray]:
    """The components of a field [n, times, sides ..] (without times where it has none), by their names."""
    varying = np.broadcast_to(np.asarray(data.attrs.get("dim_varying", True), dtype=bool), len(axes))
    head = [chosen.rows, *[chosen.times] * _is(data, "time_varying", True)]
    values = array(held, name, *head, *[chosen.nodes] * int(varying.sum()))
    for a in np.flatnonzero(~varying):  # an axis along which it is constant is left out in the file
        count = len(array(held.file["dimensions"], axes[a], chosen.nodes))
        values = np.repeat(np.expand_dims(values, len(head) + a), count, axis=len(head) + a)
    rest = values.shape[len(head) + len(axes) :]
    flat = values.reshape(*values.shape[: len(head) + len(axes)], -1)
    if not rest:
        return {name: flat[..., 0]}
    order = len(rest)
    labels = ["_".join(axes[i] if i < len(axes) else str(i) for i in index) for index in np.ndindex(*rest)]
    if order > 2 or len(set(labels)) != len(labels):
        raise ValueError(f"its {name} has shape {list(values.shape)}, that of no scalar, vector or tensor: {BY_HAND}")
    return {f"{name}_{label}": flat[..., i] for i, label in enumerate(labels)}


def _numbers(file: Any, chosen: Chosen, remarks: list[str]) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    held: Any = group(file, "scalars") if has(file, "scalars") else {}
    for name in words(held.attrs.get("field_names", [])) if held else []:
        data = _hard(held, name)
        if data is None or not _is(data, "sample_varying"):
            continue
        if _is(data, "time_varying"):
            remarks.append(f"the number {name} varies in time, and was left out")
            continue
        found[name] = array(held, name, chosen.rows).reshape(-1)
    return found


def _hard(held: Any, name: str) -> Any:
    """The array of that name, which lies in the file itself; None where there is no such name."""
    if not has(held, name):
        return None
    array(held, name, slice(0, 0))
    return held[name]


def _with_numbers(
    given: dict[str, np.ndarray], numbers: dict[str, np.ndarray], sides: tuple[int, ...]
) -> tuple[tuple[str, ...], np.ndarray]:
    """Functions, and numbers as functions that are constant."""
    ones = np.ones(sides)
    whole = given | {name: np.multiply.outer(values, ones) for name, values in numbers.items()}
    return tuple(whole), np.stack(list(whole.values()), axis=-1)


def save(data: Dataset, path: Path, dtype: str) -> None:
    """
    Raises:
        ValueError: the data has no place in this layout.
    """
    problem, sides = data.problem, data.problem.grid_shape
    times, _, components = problem.shape
    n = len(data)
    if sides is None or len(sides) != problem.points.shape[1]:
        raise ValueError("a file of The Well holds functions on a tensor grid: write layout='assay', which holds all")
    names = problem.parts if components > 1 else ("u",)
    U = problem.known_fields.reshape(n, times, *sides, components)
    steady = is_steady(problem)
    start = problem.known_inputs.reshape(n, *sides, -1) if problem.channels else None
    if not steady and (
        start is None or start.shape[-1] < components or problem.channels[:components] not in (names, ("input",))
    ):
        raise ValueError(
            "of data with times a file of The Well holds the first state, under the names of the components, as its "
            "input: write layout='assay', which holds all"
        )
    states = U if steady or start is None else np.concatenate([start[:, None, ..., :components], U], axis=1)
    more = () if start is None else tuple(problem.channels[0 if steady else components :])
    axes = ("x", "y", "z")[: len(sides)]

    def fill(file: Any) -> None:
        file.attrs.update(n_spatial_dims=len(sides), n_trajectories=n, grid_type="cartesian", dataset_name=problem.name)
        file.attrs["simulation_parameters"] = []
        dimensions = file.create_group("dimensions")
        dimensions.attrs["spatial_dims"] = list(axes)
        whole = problem.times if steady else times_from_start(problem)
        for name, ticks in (("time", whole), *zip(axes, ticks_of(problem, sides), strict=True)):
            dimensions.create_dataset(name, data=ticks.astype(dtype)).attrs.update(
                sample_varying=False, time_varying=False
            )
        boundaries = file.create_group(BOUNDARIES)  # none where the grid is not periodic: of what kind is not known
        for axis, side in zip(axes, sides, strict=True) if problem.periodic else ():
            _periodic(boundaries.create_group(f"{axis}_periodic"), axis, side)
        scalars = file.create_group("scalars")
        numbers = () if problem.channels else problem.box.names
        scalars.attrs["field_names"] = list(numbers)
        for j, name in enumerate(numbers):
            scalars.create_dataset(name, data=problem.known_inputs[:, j].astype(dtype)).attrs.update(
                sample_varying=True, time_varying=False
            )
        fields = file.create_group(ORDERS[0])
        fields.attrs["field_names"] = [*names, *more]
        for c, name in enumerate(names):
            _field(fields, name, states[..., c].astype(dtype), len(sides), True)
        for c, name in enumerate(more, start=0 if steady else components):
            assert start is not None
            _field(fields, name, start[..., c].astype(dtype), len(sides), False)
        for order in ORDERS[1:]:
            file.create_group(order).attrs["field_names"] = []

    write(path, fill)


def _periodic(boundary: Any, axis: str, side: int) -> None:
    """Both ends of an axis."""
    boundary.attrs.update(
        bc_type="PERIODIC", associated_dims=[axis], associated_fields=[], sample_varying=False, time_varying=False
    )
    boundary.create_dataset("mask", data=np.isin(np.arange(side), (0, side - 1)))


def _field(held: Any, name: str, values: np.ndarray, axes: int, in_time: bool) -> None:
    held.create_dataset(name, data=values).attrs.update(
        dim_varying=[True] * axes, sample_varying=True, time_varying=in_time
    )
