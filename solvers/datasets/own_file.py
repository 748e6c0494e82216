"""A data set in a file of this library: everything, to the bit, and nothing that would be run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..box import Box
from ..field_norm import NAMES
from ..files import parse_json
from .dataset import Dataset, dataset
from .hdf5 import array, write

FORMAT = "assay-dataset-1"
ARRAYS = ("inputs", "fields", "points", "times")


def is_own(file: Any) -> bool:
    """Whether a file is one of these."""
    return isinstance(file.attrs.get("format"), str) and file.attrs["format"].startswith("assay-dataset")


def save(data: Dataset, path: Path) -> None:
    """
    Raises:
        ValueError: the norm is a function or a matrix, which no file holds.
    """
    problem = data.problem
    if problem.measure.kind not in (*NAMES, "weights"):
        raise ValueError("a norm that is a function or a matrix stands in no file: give it again when the data is read")
    about = {
        "name": problem.name,
        "box": problem.box.to_json(),
        "parts": problem.parts,
        "channels": problem.channels,
        "norm": problem.measure.kind,
        "periodic": problem.around,
    }

    def fill(file: Any) -> None:
        file.attrs["format"] = FORMAT
        file.attrs["fingerprint"] = problem.fingerprint
        file.create_dataset("about", data=np.frombuffer(json.dumps(about).encode(), dtype=np.uint8))
        values = (problem.known_inputs, problem.known_fields, problem.points, problem.times)
        for name, found in zip(ARRAYS, values, strict=True):
            file.create_dataset(name, data=found)
        if problem.measure.kind == "weights":
            file.create_dataset("weights", data=problem.measure.data)

    write(path, fill)


def read(file: Any, size: int, **others: Any) -> Dataset:
    """
    Args:
        size: bytes of the file.
        others: norm, periodic, name in the place of the file's; None for these.

    Raises:
        ValueError: another version, or damaged; as ``dataset`` of what is given.
    """
    if file.attrs["format"] != FORMAT:
        raise ValueError(
            f"it has format {file.attrs['format']!r}, and this version reads {FORMAT!r}: save it again with this one"
        )
    try:
        for name in ("about", *ARRAYS):
            array(file, name, slice(0, 0))  # that it lies in the file itself
        if sum(file[name].nbytes for name in ("about", *ARRAYS)) > size:
            raise ValueError("its arrays are more than the file can hold")
        about = parse_json(array(file, "about").tobytes())
        box, parts, channels = Box.from_json(about["box"]), tuple(about["parts"]), tuple(about["channels"])
        inputs, fields, points, times = (array(file, name) for name in ARRAYS)
        kind = array(file, "weights") if about["norm"] == "weights" else str(about["norm"])
        shape = (len(inputs), len(times), len(points), len(parts))
        held: dict[str, Any] = {
            "inputs": inputs.reshape(len(inputs), len(points), -1) if channels else inputs,
            "fields": fields.reshape(shape),
            "coordinates": points,
            "times": times,
            "names": channels or box.names,
            "components": None if parts == ("",) else parts,
            "box": box,
            "norm": kind,
            "periodic": bool(about["periodic"]),
            "name": str(about["name"]),
        }
        made = dataset(**held)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ValueError(f"it is damaged ({type(error).__name__}: {error})") from None
    if file.attrs.get("fingerprint") != made.problem.fingerprint:
        raise ValueError("it is damaged: its content does not have the hash written in it")
    given = {key: value for key, value in others.items() if value is not None}
    return dataset(**(held | given)) if given else made
