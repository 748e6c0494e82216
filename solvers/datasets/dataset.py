"""``dataset``: arrays of inputs and fields, checked, as a problem without a solver and its snapshots."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ..box import Box
from ..field_norm import field_norm
from ..problems.dataset import DatasetProblem
from ..real import real_array
from ..relations.relation import Relation, check_bounds_errors, checked_relations
from ..seed import checked_seed
from ..snapshots.snapshot_file import Snapshots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAME = 1e-6  # relative: fields of equal inputs that differ by less are one
AXES = ("times", "nodes", "components")
SPLIT = 7  # a stream of random numbers of its own


@dataclass(frozen=True, eq=False)
class Dataset:
    """Solutions that somebody else computed or measured. ``problem`` stands wherever a problem does; ``snapshots`` are
    all its rows; ``remarks`` say what was left out.
    """

    problem: DatasetProblem
    snapshots: Snapshots
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.snapshots)

    def __repr__(self) -> str:
        axes = [f"{k} {name}" for k, name in zip(self.problem.shape, AXES, strict=True) if k > 1 or name == "nodes"]
        remarks = "".join(f"; {remark}" for remark in self.remarks)
        return f"Dataset({len(self)} rows of {self.problem.name}, each {' x '.join(axes)}{remarks})"

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """The first rows, as ``Snapshots.plot`` draws them."""
        return self.snapshots.plot(path, self.problem)

    def split(self, share: float = 0.2, seed: int = 0) -> tuple[Snapshots, Snapshots]:
        """Rows to learn from, and a share of them drawn at random to be held out: for tests, and for nothing else.

        Raises:
            ValueError: the share leaves one of them empty.
        """
        number = isinstance(share, int | float | np.number) and np.isfinite(share)
        held = round(float(share) * len(self)) if number else 0
        if not 0 < held < len(self):
            raise ValueError(f"a share of {share!r} of {len(self)} rows leaves none to hold out or none to learn from")
        order = np.random.default_rng([checked_seed(seed), SPLIT]).permutation(len(self))
        return rows_of(self.snapshots, np.sort(order[held:])), rows_of(self.snapshots, np.sort(order[:held]))


def rows_of(snapshots: Snapshots, rows: np.ndarray | slice) -> Snapshots:
    """Some rows of snapshots that have no reasons."""
    chosen = {key: getattr(snapshots, key)[rows] for key in ("inputs", "fields", "residuals")}
    return dataclasses.replace(snapshots, **chosen)


def dataset(
    inputs: Any,
    fields: Any,
    coordinates: Any = None,
    *,
    times: Any = None,
    names: Sequence[str] | None = None,
    components: Sequence[str] | None = None,
    box: Box | None = None,
    norm: Any = None,
    residual: Callable[[Any, Any], Any] | None = None,
    relations: Iterable[Relation] = (),
    periodic: bool = False,
    name: str = "dataset",
    drop: bool = False,
) -> Dataset:
    """A data set from plain arrays of n samples.

    Args:
        inputs: numbers [n, d], or functions on the nodes [n, nodes, channels] or [n, sides of the grid .., channels].
        fields: [n, nodes], [n, nodes, components], with ``times`` [n, times, nodes, components]; a grid's sides may
            stand for the nodes.
        coordinates: where the nodes lie, [nodes, axes], or of a tensor grid the ticks of its axes, a tuple ([X], [Y]).
        times: of the fields' second axis.
        names: of the inputs, or of the channels.
        components: the names of the numbers of a node.
        box: of inputs that are numbers; left out, from the least to the largest in the data. Values of a function
            share one range a channel, so that distances between inputs are those between functions.
        norm: as of ``black_box``.
        residual: (p, u [N]) -> array in jax.numpy, zero at a solution: what falsify holds answers against.
        relations: what solutions fulfil, as of ``black_box``: falsify tells errors of answers that break one.
        drop: leave out samples that are not finite, instead of refusing them.

    Raises:
        ValueError: shapes that do not belong together; NaN (sample and node are named); equal inputs with other fields;
            an input that never changes.
    """
    given, U = real_array(inputs, "the inputs have"), real_array(fields, "the fields have")
    if given.ndim == 1:
        given = given[:, None]
    if given.ndim < 2 or U.ndim < 2 or not len(given) == len(U) > 0:
        raise ValueError(
            f"inputs and fields have one row a sample, as many of both, not shapes {list(given.shape)} and "
            f"{list(U.shape)}"
        )
    if not given.size or not U.size:
        raise ValueError(f"inputs {list(given.shape)} and fields {list(U.shape)} hold no numbers at all")
    _check_kinds(box, residual, periodic, drop)
    ticks = np.zeros(1) if times is None else _ticks(times, "times")
    points, sides = _nodes(coordinates, int(np.prod(U.shape[2:3] if times is not None else U.shape[1:2])))
    U = _arranged(U, len(ticks) if times is not None else None, points, sides)
    parts = _labels(components, U.shape[3], "component", "components")
    functions = given.ndim > 2
    if functions:
        given = _on_nodes(given, points, sides)
    channels = _labels(names, given.shape[2], "input", "names") if functions else ()
    if functions and channels == ("",):
        channels = ("input",)
    U, given, remarks = _finite(U, given, points, ticks, parts, channels, drop)
    P, U = given.reshape(len(given), -1), U.reshape(len(U), -1)
    P, U, again = _once(P, U)
    remarks += again
    if box is None:
        box = _box_of_functions(P, channels, len(points)) if functions else _box_of(P, names)
    elif box.dimension != P.shape[1]:
        raise ValueError(f"the box has {box.dimension} inputs, and the data {P.shape[1]}")
    P = box.check(P)
    measure = field_norm(norm, box.centre, U.shape[1] // len(parts), len(parts))
    about_it = (_name(name), residual, bool(periodic), checked_relations(relations))
    problem = DatasetProblem(P, U, box, points, ticks, parts, channels, measure, *about_it)
    check_bounds_errors(problem, problem.declared)
    for array in (P, U, points, ticks):
        array.setflags(write=False)
    about = (0, problem.name, problem.settings, box, problem.fingerprint)
    return Dataset(problem, Snapshots(P, U, np.full(len(P), np.nan), *about), tuple(remarks))


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise ValueError(f"name is a word that tells this data set from others, not {name!r}")
    return name


def _nodes(coordinates: Any, found: int) -> tuple[Float[np.ndarray, "nodes axes"], tuple[int, ...]]:
    """Where they lie, and the sides of the tensor grid that they were given as (none where they were not)."""
    if coordinates is None:
        return np.arange(float(found))[:, None], ()
    if isinstance(coordinates, tuple):
        ticks = [_ticks(x, "coordinates of an axis") for x in coordinates]
        if not ticks:
            raise ValueError("coordinates are an empty tuple: give the ticks of every axis, or leave them out")
        points = np.stack([m.ravel() for m in np.meshgrid(*ticks, indexing="ij")], axis=1)
        sides = tuple(len(x) for x in ticks)
    else:
        points, sides = real_array(coordinates, "the coordinates have"), ()
        points = points[:, None] if points.ndim == 1 else points
    if points.ndim != 2:
        raise ValueError(f"coordinates are finite numbers [nodes, axes], or a tuple of ticks, not {list(points.shape)}")
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(bad):
        raise ValueError(f"the coordinates of node {bad[0]} are {points[bad[0]].tolist()}: they must be finite")
    return points, sides


def _ticks(given: Any, what: str) -> Float[np.ndarray, " k"]:
    """
    Raises:
        ValueError: not finite, or the same twice; times that do not increase.
    """
    found = real_array(given, f"the {what} have").reshape(-1)
    if not np.isfinite(found).all() or len(np.unique(found)) != len(found):
        raise ValueError(f"the {what} must be finite numbers, all different, not {found.tolist()!r:.80}")
    if what == "times" and (np.diff(found) < 0).any():
        raise ValueError("the times must increase: sort them, and the fields with them")
    return found


def _check_kinds(box: Any, residual: Any, periodic: Any, drop: Any) -> None:
    if box is not None and not isinstance(box, Box):
        raise ValueError(f"box is an assay.Box, not {box!r:.80}")
    if residual is not None and not callable(residual):
        raise ValueError(f"residual is a function (p, u) -> array, not {residual!r:.80}")
    for name, value in (("periodic", periodic), ("drop", drop)):
        if not isinstance(value, bool | np.bool_):
            raise ValueError(f"{name} is true or false, not {value!r:.80}")


def _arranged(
    U: np.ndarray, times: int | None, points: np.ndarray, sides: tuple[int, ...]
) -> Float[np.ndarray, "n times nodes components"]:
    """
    Raises:
        ValueError: the fields have another shape than times, nodes and components ask for.
    """
    head = () if times is None else (times,)
    for nodes in ((len(points),), sides):
        here = head + nodes
        if nodes and U.shape[1 : 1 + len(here)] == here and U.ndim - len(here) in (1, 2):
            return U.reshape(len(U), times or 1, len(points), -1)
    wanted = ", ".join([*(["n"]), *([f"{times} times"] if times else []), f"{len(points)} nodes", "components"])
    grid = f" (or the sides {list(sides)} for the nodes)" if len(sides) > 1 else ""
    raise ValueError(
        f"the fields must have shape [{wanted}]{grid}, not {list(U.shape)}: give the coordinates of its nodes, and the "
        "times where it has any; components come last"
    )


def _on_nodes(given: np.ndarray, points: np.ndarray, sides: tuple[int, ...]) -> Float[np.ndarray, "n nodes channels"]:
    for nodes in ((len(points),), sides):
        if nodes and given.shape[1 : 1 + len(nodes)] == nodes and given.ndim - len(nodes) in (1, 2):
            return given.reshape(len(given), len(points), -1)
    grid = f" or {['n', *sides, 'channels']}" if len(sides) > 1 else ""
    raise ValueError(
        f"inputs that are functions must have shape [n, {len(points)}, channels]{grid}, on the nodes of the fields, "
        f"not {list(given.shape)}: interpolate them there, or give numbers [n, d]"
    )


def _labels(given: Sequence[str] | None, count: int, word: str, what: str) -> tuple[str, ...]:
    if given is None:
        return tuple(f"{word} {c + 1}" for c in range(count)) if count > 1 else ("",)
    found = _words(given)
    if len(found) != count or len(set(found)) != count or not all(isinstance(x, str) and x for x in found):
        raise ValueError(f"{what} must be {count} different words, not {given!r}")
    return found


def _finite(
    U: np.ndarray,
    given: np.ndarray,
    points: np.ndarray,
    ticks: np.ndarray,
    parts: tuple[str, ...],
    channels: tuple[str, ...],
    drop: bool,
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """
    Raises:
        ValueError: a sample has NaN or infinity, and is not to be dropped; sample and node are named.
    """
    good = np.isfinite(U).all(axis=(1, 2, 3)) & np.isfinite(given.reshape(len(given), -1)).all(axis=1)
    if good.all():
        return U, given, []
    bad = int((~good).sum())
    first = int(np.argmin(good))
    if drop and good.any():
        return U[good], given[good], [f"{bad} of {len(U)} samples are not finite and were left out, the first {first}"]
    if not np.isfinite(U[first]).all():
        t, node, c = (int(x) for x in np.argwhere(~np.isfinite(U[first]))[0])
        value, where = U[first, t, node, c], f"the field of sample {first}"
        more = [f"component {parts[c]}"] if len(parts) > 1 else []
        more += [f"time {ticks[t]:g}"] if len(ticks) > 1 else []
        at = _place(node, points, more)
    elif channels:
        node, c = (int(x) for x in np.argwhere(~np.isfinite(given[first]))[0])
        value, where = given[first, node, c], f"the input of sample {first}"
        at = _place(node, points, [f"channel {channels[c]}"] if len(channels) > 1 else [])
    else:
        (j,) = (int(x) for x in np.argwhere(~np.isfinite(given[first]))[0])
        value, where, at = given[first, j], f"the input of sample {first}", f"entry {j}"
    others = f", and {bad - 1} other samples are not finite either" if bad > 1 else ""
    remedy = (
        "mend them, or leave such samples out with drop=True" if good.any() else "no sample is finite: look at the data"
    )
    raise ValueError(f"{where} is {value} at {at}{others}: {remedy}")


def _place(node: int, points: np.ndarray, more: list[str]) -> str:
    at = ", ".join(f"{x:.6g}" for x in points[node])
    return ", ".join([f"node {node} ({at})", *more])


def _once(P: np.ndarray, U: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The first of rows with equal inputs.

    Raises:
        ValueError: their fields differ.
    """
    _, first, group = np.unique(P, axis=0, return_index=True, return_inverse=True)
    if len(first) == len(P):
        return P, U, []
    leader = first[group.ravel()]
    for i in np.flatnonzero(leader != np.arange(len(P))):
        size = np.linalg.norm(U[leader[i]]) or np.linalg.norm(U[i])
        away = np.linalg.norm(U[i] - U[leader[i]])
        if not away <= SAME * size:
            raise ValueError(
                f"samples {leader[i]} and {i} have the same input and fields that differ by {away / size:.2g} of their "
                "size: add the input in which they differ, or average them"
            )
    kept = np.sort(first)
    return P[kept], U[kept], [f"{len(P) - len(kept)} samples repeat another one and were left out"]


def _words(names: Any) -> tuple[str, ...]:
    if isinstance(names, str):  # one word, not its letters
        return (names,)
    return tuple(names) if isinstance(names, Sequence | np.ndarray) else ()


def _box_of(P: np.ndarray, names: Sequence[str] | None) -> Box:
    labels = tuple(f"x{j + 1}" for j in range(P.shape[1])) if names is None else _words(names)
    low, high = P.min(axis=0), P.max(axis=0)
    if len(labels) != P.shape[1]:
        raise ValueError(f"names must be {P.shape[1]} words, one for each input, not {names!r}")
    constant = [label for label, a, b in zip(labels, low, high, strict=True) if a == b]
    if constant:
        raise ValueError(
            f"{'input' if len(constant) == 1 else 'inputs'} {', '.join(constant[:6])} never "
            f"{'changes' if len(constant) == 1 else 'change'} in this data: leave "
            "them out, or give the box that they come from, box="
        )
    return Box(labels, low, high)


def _box_of_functions(P: np.ndarray, channels: tuple[str, ...], nodes: int) -> Box:
    values = P.reshape(len(P), nodes, len(channels))
    low, high = values.min(axis=(0, 1)), values.max(axis=(0, 1))
    flat = np.where(low == high, np.maximum(np.abs(low), 1.0), 0.0)  # a channel that is one number
    names = tuple(f"{channel}[{i}]" for i in range(nodes) for channel in channels)
    return Box(names, np.tile(low - flat, nodes), np.tile(high + flat, nodes))
