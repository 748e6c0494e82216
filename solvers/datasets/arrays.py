"""Arrays of one's own in an HDF5 file, each as ``assay.dataset`` takes it: ``inputs``, ``fields``, and if there
are any ``coordinates`` and ``times``.
"""

from __future__ import annotations

from typing import Any

from .hdf5 import Chosen, Contents, array, has


def is_arrays(file: Any) -> bool:
    """Whether a file has both."""
    return has(file, "inputs") and has(file, "fields")


def read(file: Any, chosen: Chosen) -> Contents:
    """
    Raises:
        ValueError: no arrays of numbers, or only some of the times or nodes are asked for.
    """
    if (chosen.every_time, chosen.every_node) != (1, 1):
        raise ValueError("of arrays inputs and fields every time and node is read: leave every_time and every_node out")
    where = array(file, "coordinates") if has(file, "coordinates") else None
    times = array(file, "times") if has(file, "times") else None
    inputs, fields = (array(file, name, chosen.rows) for name in ("inputs", "fields"))
    return Contents(inputs, fields, where, times, None, None)
