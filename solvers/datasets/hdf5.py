"""Other people's HDF5 files: arrays that lie in the file itself, and no more of them than is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from ..files import opened, replace

BY_HAND = "read its arrays with h5py and pass them to assay.dataset"  # where a layout is another


class NotHdf5(ValueError):
    """A file of another kind, a folder, or one that is damaged."""


@dataclass(frozen=True)
class Chosen:
    """Which part of a file: the first ``samples`` (None: all), every so many times and nodes along each axis."""

    samples: int | None = None
    every_time: int = 1
    every_node: int = 1

    def __post_init__(self) -> None:
        for name in ("samples", "every_time", "every_node"):
            value = getattr(self, name)
            if (value is None and name == "samples") or (type(value) is int and value >= 1):
                continue
            raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")

    @property
    def rows(self) -> slice:
        return slice(0, self.samples)

    @property
    def times(self) -> slice:
        return slice(None, None, self.every_time)

    @property
    def nodes(self) -> slice:
        return slice(None, None, self.every_node)


@dataclass(frozen=True)
class Contents:
    """What a layout says: ready for ``dataset``. ``inputs`` and ``fields`` on the grid, sides after samples (and
    times), channels last.
    """

    inputs: np.ndarray
    fields: np.ndarray
    ticks: tuple[np.ndarray, ...] | np.ndarray | None  # or the nodes' coordinates
    times: np.ndarray | None
    names: tuple[str, ...] | None
    components: tuple[str, ...] | None
    remarks: tuple[str, ...] = ()
    periodic: bool = False
    of_periodic: str = ""  # what is to be said of that, unless the caller knows better


@contextmanager
def reading(path: Path) -> Iterator[h5py.File]:
    """
    Raises:
        ValueError: no such file, or not HDF5.
    """
    try:
        with opened(path) as stream, h5py.File(stream, "r") as file:
            yield file
    except FileNotFoundError:
        raise ValueError(f"there is no data file at {path}") from None
    except OSError as error:
        raise NotHdf5(f"{path} cannot be read as HDF5: {' '.join(str(error).split())}") from None


def array(group: Any, name: str, *index: slice) -> np.ndarray:
    """A part of a numeric array of the file, in the file's own type.

    Raises:
        ValueError: it is missing, no array of numbers, or lies in another file.
    """
    if not has(group, name):
        raise ValueError(f"it has no array {name!r}, which this layout has: {BY_HAND}")
    inside = group.id.links.get_info(name.encode()).type == h5py.h5l.TYPE_HARD
    data = group[name] if inside else None
    if not isinstance(data, h5py.Dataset) or data.is_virtual or data.external or data.dtype.kind not in "fiub":
        raise ValueError(f"{name!r} is no array of numbers that lies in the file itself: copy the data into one file")
    return np.asarray(data[index[: data.ndim]] if index else data[()])


def has(group: Any, name: str) -> bool:
    """Whether there is such a name, without looking where it leads."""
    return bool(group.id.links.exists(name.encode()))


def group(parent: Any, name: str) -> Any:
    """A group that lies in this very file.

    Raises:
        ValueError: another kind, or a link elsewhere.
    """
    inside = has(parent, name) and parent.id.links.get_info(name.encode()).type == h5py.h5l.TYPE_HARD
    found = parent[name] if inside else None
    if not isinstance(found, h5py.Group):
        raise ValueError(f"{name!r} is no group that lies in the file itself: copy the data into one file")
    return found


def words(value: Any) -> list[str]:
    """An attribute that is a list of words; what is no text is replaced by marks, which no name has."""
    found = [value] if isinstance(value, str | bytes) else list(np.asarray(value).reshape(-1))
    return [
        (w if isinstance(w, bytes) else str(w).encode(errors="surrogateescape")).decode(errors="replace") for w in found
    ]


def write(path: Path, fill: Callable[[h5py.File], None]) -> None:
    """Replace the file as a whole."""

    def content(stream: BinaryIO) -> None:
        with h5py.File(stream, "w") as file:
            fill(file)

    replace(path, content)
