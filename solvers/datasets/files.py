"""Data sets in files: the layouts of PDEBench and The Well, and this library's own, told apart by what is in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..answers import words
from ..files import checked_path
from . import arrays, own_file, pdebench, the_well
from .dataset import Dataset, dataset
from .hdf5 import Chosen, NotHdf5, reading

LAYOUTS = ("assay", "pdebench", "the-well")
DTYPES = ("float32", "float64")


def load_dataset(
    path: str | os.PathLike[str],
    *,
    samples: int | None = None,
    every_time: int = 1,
    every_node: int = 1,
    norm: Any = None,
    periodic: bool | None = None,
    name: str | None = None,
    drop: bool = False,
) -> Dataset:
    """The data set in an HDF5 file of PDEBench, The Well or ``save_dataset``, or of arrays ``inputs``, ``fields`` and
    where there are any ``coordinates`` and ``times``, as ``dataset`` takes them.

    Args:
        samples: only the first so many; ``every_time``, ``every_node``: only every so many times, and nodes along each
            axis.
        norm, drop: as of ``dataset``.
        periodic: left out, what the file says; where it says nothing the grid is taken as not, and a remark says so.
        name: left out, the file's.

    Raises:
        ValueError: no such file, another layout (what it holds is said), damaged, or as ``dataset``.
    """
    path, chosen = checked_path(path, "a data set"), Chosen(samples, every_time, every_node)
    try:
        with reading(path) as file:
            if own_file.is_own(file):
                if chosen != Chosen():
                    raise ValueError("a file of this library is read as a whole: leave samples and every_ out")
                return own_file.read(file, path.stat().st_size, norm=norm, periodic=periodic, name=name)
            if pdebench.is_pdebench(file):
                found = pdebench.read(file, chosen)
            elif the_well.is_the_well(file):
                found = the_well.read(file, chosen)
            elif arrays.is_arrays(file):
                found = arrays.read(file, chosen)
            else:
                held = ", ".join(list(file)[:8]) or "nothing"
                raise ValueError(
                    "its layout is neither PDEBench's nor The Well's, nor are there arrays named inputs and fields: "
                    f"it holds {held}. Read its arrays with h5py and pass them to assay.dataset(inputs, fields, "
                    "coordinates)"
                )
        made = dataset(
            found.inputs,
            found.fields,
            found.ticks,
            times=found.times,
            names=found.names,
            components=found.components,
            norm=norm,
            periodic=found.periodic if periodic is None else periodic,
            name=path.stem if name is None else name,
            drop=drop,
        )
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:  # attributes of other kinds
        raise ValueError(f"{path} is damaged, or its layout is another ({words(error)})") from None
    except MemoryError:
        raise ValueError(f"{path} does not fit into memory: read fewer samples, times or nodes (samples=)") from None
    except NotHdf5 as error:
        raise ValueError(
            f"{error}. Arrays of other files: assay.dataset(inputs, fields, coordinates); assay.save_dataset of that "
            "makes a file for the command line"
        ) from None
    except ValueError as error:
        text = str(error)
        raise ValueError(text if str(path) in text else f"{path}: {text}") from None
    said = (found.of_periodic,) if found.of_periodic and periodic is None else ()
    return Dataset(made.problem, made.snapshots, (*found.remarks, *said, *made.remarks))


def save_dataset(data: Dataset, path: str | os.PathLike[str], layout: str = "assay", dtype: str = "float32") -> Path:
    """Write a data set; missing folders are made. ``dtype``: of the layouts of others, float32 in theirs.

    Raises:
        ValueError: an unknown layout or dtype, or data that has no place in it.
    """
    if not isinstance(data, Dataset) or not isinstance(path, str | os.PathLike):
        raise ValueError(f"save_dataset(data, path), not of a {type(data).__name__} and a {type(path).__name__}")
    path = Path(path)
    if layout not in LAYOUTS:
        raise ValueError(f"the layout is one of {', '.join(LAYOUTS)}, not {layout!r}")
    if dtype not in DTYPES:
        raise ValueError(f"dtype is one of {', '.join(DTYPES)}, not {dtype!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    if layout == "assay":
        own_file.save(data, path)
    elif layout == "pdebench":
        pdebench.save(data, path, dtype)
    else:
        the_well.save(data, path, dtype)
    return path
