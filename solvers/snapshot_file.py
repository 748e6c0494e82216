"""The truth at a design of inputs, in memory and as HDF5.

On disk: ``FILE`` (HDF5: inputs, fields, residuals, valid; attributes format, problem, settings, box, seed, hash) holds
the first rows of the design. It is replaced as a whole (``files.py``), so that it is always complete. Rows
solved since then stand in ``FILE.journal`` (``journal.py``), one checksummed record each; a run that ends joins both.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
from jaxtyping import Bool, Float

from .box import Box
from .files import replace
from .journal import read as read_journal
from .problem import Problem

FORMAT = "assay-snapshots-1"


@dataclass(frozen=True, eq=False)
class Snapshots:
    """The truth at n inputs; a solve that failed is a row of NaN and not ``valid``."""

    inputs: Float[np.ndarray, "n d"]
    fields: Float[np.ndarray, "n N"]
    residuals: Float[np.ndarray, " n"]  # true relative residuals; NaN where the problem knows none
    seed: int
    problem_name: str
    problem_settings: dict[str, Any]
    box: Box

    def __post_init__(self) -> None:
        for name in ("inputs", "fields", "residuals"):
            array = np.asarray(getattr(self, name), dtype=np.float64).view()
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def valid(self) -> Bool[np.ndarray, " n"]:
        """Which rows were solved."""
        return np.isfinite(self.fields).all(axis=1)

    @cached_property
    def hash(self) -> str:
        """SHA-256 over everything that these snapshots say, the same on disk and in memory."""
        text = json.dumps([FORMAT, self.owner, list(self.fields.shape)], sort_keys=True)
        digest = hashlib.sha256(text.encode())
        for array in (self.inputs, self.fields, self.residuals):
            digest.update(np.ascontiguousarray(array, dtype="<f8").data)
        return digest.hexdigest()

    @property
    def owner(self) -> dict[str, Any]:
        """Which design of which problem this is, as JSON values."""
        about = {"problem": self.problem_name, "settings": self.problem_settings, "box": self.box.to_json()}
        return as_json({**about, "size": self.fields.shape[1], "seed": self.seed})

    def first(self, n: int) -> Snapshots:
        """The first n rows: the sample of that size."""
        rows = (self.inputs[:n], self.fields[:n], self.residuals[:n])
        return Snapshots(*rows, self.seed, self.problem_name, self.problem_settings, self.box)


def load_snapshots(path: str | os.PathLike[str], problem: Problem | None = None) -> Snapshots:
    """The snapshots in a file, with those that an interrupted run left in its journal.

    Raises:
        ValueError: no such file, damaged or foreign, or not of ``problem`` where one is given.
    """
    path = Path(path)
    journal = journal_path(path)
    # The journal before the file: a run that ends in between moves rows from the first to the second.
    found = read_journal(journal) if journal.exists() else None
    stored = read(path) if path.exists() else None
    if found is not None and found.owner is not None:
        if stored is not None:
            check_owner(journal, found.owner, stored.owner)
        stored = joined(stored, found.owner, found.rows)
    if stored is None or len(stored) == 0:
        raise ValueError(f"there are no snapshots at {path}")
    if problem is not None:
        check_owner(path, stored.owner, owner_of(problem, stored.seed))
    return stored


def journal_path(path: Path) -> Path:
    return path.with_name(path.name + ".journal")


def as_json(value: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = json.loads(json.dumps(value))
    return out


def owner_of(problem: Problem, seed: int) -> dict[str, Any]:
    about = {"problem": problem.name, "settings": problem.settings, "box": problem.inputs.to_json()}
    return as_json({**about, "size": problem.size, "seed": seed})


def check_owner(path: Path, there: dict[str, Any], here: dict[str, Any]) -> None:
    """Raise ValueError naming the first thing in which the two differ."""

    def flat(owner: dict[str, Any]) -> dict[str, Any]:
        return {
            "problem": owner["problem"],
            **owner["settings"],
            **{f"box {key}": value for key, value in owner["box"].items()},
            "field size": owner["size"],
            "seed": owner["seed"],
        }

    a, b = flat(there), flat(here)
    for key in [*a, *(key for key in b if key not in a)]:
        if a.get(key) != b.get(key):
            raise ValueError(
                f"{path} holds snapshots of another run: {key} is {a.get(key)!r} there and {b.get(key)!r} here. "
                "Choose another file, or go on with the same problem, settings and seed"
            )


def joined(stored: Snapshots | None, owner: dict[str, Any], rows: dict[int, np.ndarray]) -> Snapshots:
    """``stored`` and those rows of a journal that continue it without a gap."""
    box, size = Box.from_json(owner["box"]), owner["size"]
    start = 0 if stored is None else len(stored)
    stop = start
    while stop in rows:
        stop += 1
    new = np.array([rows[i] for i in range(start, stop)]).reshape(stop - start, box.dimension + size + 1)
    inputs, fields, residuals = new[:, : box.dimension], new[:, box.dimension : -1], new[:, -1]
    if stored is not None:
        inputs = np.concatenate([stored.inputs, inputs])
        fields = np.concatenate([stored.fields, fields])
        residuals = np.concatenate([stored.residuals, residuals])
    return Snapshots(inputs, fields, residuals, owner["seed"], owner["problem"], owner["settings"], box)


def stored_at(path: Path, owner: dict[str, Any]) -> Snapshots | None:
    if not path.exists():
        return None
    stored = read(path)
    check_owner(path, stored.owner, owner)
    return stored


def write(path: Path, snapshots: Snapshots) -> None:
    """Replace the file as a whole: at every moment there is the old one or the new one."""

    def content(stream: BinaryIO) -> None:
        with h5py.File(stream, "w") as file:
            file.attrs["format"] = FORMAT
            for key in ("problem", "settings", "box", "seed"):
                file.attrs[key] = json.dumps(snapshots.owner[key])
            file.attrs["hash"] = snapshots.hash
            for key in ("inputs", "fields", "residuals", "valid"):
                file.create_dataset(key, data=getattr(snapshots, key))

    replace(path, content)


def read(path: Path) -> Snapshots:
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise ValueError(f"{path} is an HDF5 file, but not one of this library's snapshots")
            about = {key: json.loads(file.attrs[key]) for key in ("problem", "settings", "box", "seed")}
            inputs, fields, residuals = (np.asarray(file[key]) for key in ("inputs", "fields", "residuals"))
            expected = file.attrs["hash"]
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} cannot be read as HDF5 snapshots ({error}): it is damaged or no such file") from None
    box = Box.from_json(about["box"])
    snapshots = Snapshots(inputs, fields, residuals, about["seed"], about["problem"], about["settings"], box)
    if snapshots.hash != expected:
        raise ValueError(f"{path} is damaged: its content does not have the hash written in it")
    return snapshots
