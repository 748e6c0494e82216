"""The truth at a design of inputs, in memory and as HDF5.

On disk: ``FILE`` (HDF5: inputs, fields, residuals, valid; attributes format, problem, settings, box, seed, hash) holds
the first rows of the design. It is replaced as a whole (``files.py``), so that it is always complete. Rows
solved since then stand in ``FILE.journal`` (``journal.py``), one checksummed record each; a run that ends joins both.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import h5py
import numpy as np
from jaxtyping import Bool, Float

from ..box import Box
from ..files import checked_path, opened, parse_json, replace
from ..identity import check_rows, first_difference
from ..problem import Problem
from ..shown.drawn import drawn
from ..shown.table import html_table
from .journal import read as read_journal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMAT = "assay-snapshots-1"
ABOUT = ("problem", "settings", "box", "seed", "fingerprint")
UNKNOWN = "the solver did not say why"


@dataclass(frozen=True, eq=False, repr=False)
class Snapshots:
    """The truth at n inputs; a solve that failed is a row of NaN and not ``valid``."""

    inputs: Float[np.ndarray, "n d"]
    fields: Float[np.ndarray, "n N"]
    residuals: Float[np.ndarray, " n"]  # true relative residuals; NaN where the problem knows none
    seed: int
    problem_name: str
    problem_settings: dict[str, Any]
    box: Box
    fingerprint: str = ""  # ``Problem.fingerprint``; files of before there was one have none
    reasons: dict[int, str] = field(default_factory=dict)  # why rows were not solved, where that is known

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
        known = {"fingerprint": self.fingerprint} if self.fingerprint else {}
        return as_json({**about, "size": self.fields.shape[1], "seed": self.seed, **known})

    def first(self, n: int) -> Snapshots:
        """The first n rows: the sample of that size."""
        rows = {key: getattr(self, key)[:n] for key in ("inputs", "fields", "residuals")}
        return dataclasses.replace(self, **rows, reasons={i: why for i, why in self.reasons.items() if i < n})

    def why_failed(self) -> dict[str, int]:
        """How many rows failed, by reason, the most frequent first."""
        return dict(Counter(self.reasons.get(int(i), UNKNOWN) for i in np.flatnonzero(~self.valid)).most_common())

    def __repr__(self) -> str:
        failed = "".join(f"; {count} failed: {why}" for why, count in self.why_failed().items())
        return f"Snapshots({len(self)} of {self.problem_name}, {self.fields.shape[1]} values each{failed})"

    def _repr_html_(self) -> str:
        known = self.residuals[np.isfinite(self.residuals)]
        rows = {
            "solutions": int(self.valid.sum()),
            "failed solves": [f"{count}: {why}" for why, count in self.why_failed().items()] or None,
            "inputs": self.box.listed,
            "values each": self.fields.shape[1],
            "largest relative residual": float(known.max()) if len(known) else None,
            "hash": self.hash[:16],
        }
        return html_table(f"Snapshots of {self.problem_name}", rows)

    def plot(self, path: str | os.PathLike[str] | None = None, problem: Problem | None = None) -> Figure:
        """The first solutions: over their places, in time a row of frames, vectors with arrows, complex ones by modulus
        and phase.

        Args:
            path: where the picture is written, too.
            problem: tells where values lie, where this is no problem of this library's own; else they are drawn by
                their numbers.
        """
        return drawn("snapshots", path, self, problem)


def load_snapshots(path: str | os.PathLike[str], problem: Problem | None = None) -> Snapshots:
    """The snapshots in a file, with those that an interrupted run left in its journal.

    Raises:
        ValueError: no such file, damaged or foreign, or not of ``problem`` where one is given (of a black box one row
            is solved again).
    """
    path = checked_path(path, "snapshots")
    journal = journal_path(path)
    # The journal before the file: a run that ends in between moves rows from the first to the second.
    found = read_journal(journal) if journal.exists() else None
    stored = read(path) if path.exists() else None
    if found is not None and found.owner is not None:
        check_journal(journal, found.owner, found.width)
        if stored is not None:
            check_owner(journal, found.owner, stored.owner)
        stored = joined(stored, found.owner, found.rows)
    if stored is None or len(stored) == 0:
        raise ValueError(f"there are no snapshots at {path}")
    if problem is not None:
        check_owner(path, stored.owner, owner_of(problem, stored.seed))
        check_rows(str(path), problem, stored)
    return stored


def check_journal(path: Path, owner: dict[str, Any], width: int) -> None:
    """Check that a journal's rows have the length that what it says of its owner asks for.

    Raises:
        ValueError: what the journal says of its owner cannot be, or its rows are of another length.
    """
    try:
        if width != Box.from_json(checked_owner(owner)["box"]).dimension + owner["size"] + 1:
            raise ValueError("its rows are of another length")
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}: delete it") from None


def journal_path(path: Path) -> Path:
    """Where the rows stand that were solved since the file at ``path`` was written."""
    return path.with_name(path.name + ".journal")


def as_json(value: dict[str, Any]) -> dict[str, Any]:
    """The value as it reads back from JSON: tuples are lists."""
    out: dict[str, Any] = json.loads(json.dumps(value))
    return out


def owner_of(problem: Problem, seed: int) -> dict[str, Any]:
    """Which design of which problem snapshots of this problem with this seed are, as JSON values."""
    about = {"problem": problem.name, "settings": problem.settings, "box": problem.inputs.to_json()}
    return as_json({**about, "size": problem.size, "seed": seed, "fingerprint": problem.fingerprint})


def check_owner(path: Path, there: dict[str, Any], here: dict[str, Any]) -> None:
    """
    Raises:
        ValueError: the two owners differ; the message names the first thing in which they do.
    """

    def flat(owner: dict[str, Any]) -> dict[str, Any]:
        return {
            "problem": owner["problem"],
            **owner["settings"],
            **{f"box {key}": value for key, value in owner["box"].items()},
            "field size": owner["size"],
            "seed": owner["seed"],
        }

    difference = first_difference(flat(there), flat(here))
    one, other = (owner.get("fingerprint", "")[:12] for owner in (there, here))
    if difference is None and one and other:  # files of before there were fingerprints have none
        what = "fingerprint (class, matrices, weights, loads, program)"
        difference = first_difference({what: one}, {what: other})
    if difference is not None:
        raise ValueError(
            f"{path} holds snapshots of another run of {there['problem']}: {difference}. Choose another file, or go on "
            "with the same problem, settings and seed"
        )


def joined(stored: Snapshots | None, owner: dict[str, Any], rows: dict[int, np.ndarray]) -> Snapshots:
    """``stored`` with those rows of a journal that continue it without a gap, or that it lacks because they failed."""
    box, size = Box.from_json(owner["box"]), owner["size"]
    d = box.dimension
    old = np.zeros((0, d + size + 1))
    reasons: dict[int, str] = {}
    if stored is not None:
        old = np.concatenate([stored.inputs, stored.fields, stored.residuals[:, None]], axis=1)
        again = [int(i) for i in np.flatnonzero(~stored.valid) if i in rows]
        reasons = {i: why for i, why in stored.reasons.items() if i not in again}
        for i in again:
            old[i] = rows[i]
    stop = len(old)
    while stop in rows:
        stop += 1
    new = np.array([rows[i] for i in range(len(old), stop)]).reshape(stop - len(old), d + size + 1)
    every = np.concatenate([old, new]) if len(new) or stored is None else old
    about = (owner["seed"], owner["problem"], owner["settings"], box, owner.get("fingerprint", ""), reasons)
    return Snapshots(every[:, :d], every[:, d:-1], every[:, -1], *about)


def stored_at(path: Path, owner: dict[str, Any]) -> Snapshots | None:
    """The snapshots in a file, None where there is none.

    Raises:
        ValueError: it cannot be read, or is of another owner.
    """
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
            for key in ABOUT:
                if key in snapshots.owner:
                    file.attrs[key] = json.dumps(snapshots.owner[key])
            file.attrs["hash"] = snapshots.hash
            for key in ("inputs", "fields", "residuals", "valid"):
                file.create_dataset(key, data=getattr(snapshots, key))
            if snapshots.reasons:
                text = json.dumps({str(i): why for i, why in snapshots.reasons.items()})
                file.create_dataset("reasons", data=np.frombuffer(text.encode(), dtype=np.uint8))

    replace(path, content)


def read(path: Path) -> Snapshots:
    """The file, whoever made it: nothing is read from other files, nor more than it holds.

    Raises:
        ValueError: no such file, foreign, damaged, or open for writing elsewhere.
    """
    try:
        # Through a stream, so that it does not matter who else has the file open: ours are only ever replaced.
        with opened(path) as stream, h5py.File(stream, "r") as file:
            most = os.fstat(stream.fileno()).st_size
            if not _same(file.attrs.get("format"), FORMAT):
                raise ValueError("it is an HDF5 file, but not one of this library's snapshots")
            about = {key: parse_json(_attribute(file, key)) for key in ABOUT if key in file.attrs}
            inputs, fields, residuals = (_array(file, key, "f", most) for key in ("inputs", "fields", "residuals"))
            told = parse_json(_array(file, "reasons", "u", most).tobytes()) if _has(file, "reasons") else {}
            expected = _attribute(file, "hash")
        owner = checked_owner({**about, "size": fields.shape[1] if fields.ndim == 2 else 0})
        box = Box.from_json(owner["box"])
        if inputs.shape != (len(fields), box.dimension) or residuals.shape != (len(fields),):
            raise ValueError("its inputs, fields and residuals do not belong together")
        if not isinstance(told, dict) or not all(i.isdecimal() and isinstance(why, str) for i, why in told.items()):
            raise ValueError("what it says of failed rows cannot be read")
    except FileNotFoundError:
        raise ValueError(f"there are no snapshots at {path}") from None
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path} cannot be read as HDF5 snapshots: {_why(error)}") from None
    reasons = {int(i): why for i, why in told.items()}
    names = (owner["seed"], owner["problem"], owner["settings"], box, owner.get("fingerprint", ""), reasons)
    snapshots = Snapshots(inputs, fields, residuals, *names)
    if snapshots.hash != expected:
        raise ValueError(f"{path} is damaged, or being changed: its content does not have the hash written in it")
    return snapshots


def checked_owner(owner: dict[str, Any]) -> dict[str, Any]:
    """What a file says of its owner, every part of the kind that it should be.

    Raises:
        ValueError: otherwise.
    """
    kinds = {"problem": str, "settings": dict, "box": dict, "size": int, "seed": int}
    for key, kind in kinds.items():
        if type(owner.get(key)) is not kind or (kind is int and owner[key] < 0):
            raise ValueError(f"what it says of its {key} cannot be read")
    if not isinstance(owner.get("fingerprint", ""), str):
        raise ValueError("what it says of its fingerprint cannot be read")
    try:
        Box.from_json(owner["box"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"what it says of its box cannot be read ({error})") from None
    return owner


def _same(value: Any, text: str) -> bool:
    return isinstance(value, str) and value == text


def _attribute(file: h5py.File, key: str) -> str:
    value = file.attrs.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key} is not a text")
    return value


def _has(file: h5py.File, key: str) -> bool:
    """Whether there is such a name, without looking where it leads."""
    return bool(file.id.links.exists(key.encode()))


def _array(file: h5py.File, key: str, kind: str, most: int) -> np.ndarray:
    """A plain array that lies in this very file, all of it."""
    inside = _has(file, key) and file.id.links.get_info(key.encode()).type == h5py.h5l.TYPE_HARD
    data = file[key] if inside else None
    if not isinstance(data, h5py.Dataset) or data.is_virtual or data.external or data.chunks:
        raise ValueError(f"its {key} do not lie in the file itself as written by this library")
    if data.dtype.kind != kind or data.nbytes > most:
        raise ValueError(f"its {key} are of another kind, or more than the file can hold")
    return np.asarray(data)


def _why(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "already open" in text:
        return "another program has it open for writing, or ended without closing it: close it there"
    return f"damaged, or not HDF5 ({text})" if isinstance(error, OSError) and error.errno is None else text
