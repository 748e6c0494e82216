"""What a file is, whose it is, and whether it is whole: read as this library reads it, and held against its schema.

Nothing that a file names is looked up or run, and no problem is built: what is checked is what the file says of itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..run_folder import FORMAT as RUN
from ..run_folder import LARGEST
from ..solvers.datasets import own_file
from ..solvers.datasets.files import load_dataset
from ..solvers.datasets.hdf5 import array, has, reading
from ..solvers.files import opened, parse_json, read_arrays, read_text
from ..solvers.snapshots.snapshot_file import ABOUT, journal_path, load_snapshots
from ..surrogates.checkpoint import DIGEST, read_whole
from ..surrogates.training.optimise import steps_done
from ..verify.boxes import map_file
from ..verify.search.records import read_records
from ..verify.search.unsolved_input import UnsolvedInput
from ..verify.statistics.calibration import load_calibration
from .schema import misfit

HDF5, ZIP = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"
NO_FORMAT = "is of no format of this library"


@dataclass(frozen=True)
class FileCheck:
    """What was found of one file.

    ``whole``: whether it can be read to its end, and fits its schema; None where it is of something unfinished.
    ``sealed``: whether it holds a hash of its content, which fits. ``whose``: the fingerprint or hash of its problem,
    empty where it holds none. ``said``: what is in it.
    """

    path: str
    kind: str
    schema: str
    problem: str
    whose: str
    whole: bool | None
    sealed: bool
    said: str

    def __str__(self) -> str:
        state = "damaged" if self.whole is False else "unfinished" if self.whole is None else "whole"
        state += "" if self.sealed or not self.whole else " as far as can be told without a hash of its content"
        of = f" of {self.problem}" if self.problem else ""
        whose = f" ({self.whose[:16]})" if self.whose else ""
        return f"{self.path}: {self.kind}{of}{whose}, {state}: {self.said}"

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


View = tuple[Any, str, str, bool | None, bool, str]  # as its schema sees it; problem, whose, whole, sealed, said


def check_file(path: str | os.PathLike[str]) -> FileCheck:
    """What a file of this library is, whose, and whether it is whole; ``assay check`` on the command line.

    Raises:
        ValueError: in one line, naming the file: it cannot be read, is damaged, or of no format of this library.
    """
    path = Path(path)
    try:
        with opened(path) as stream:
            head = stream.read(16)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        name, check = _kind(path, head)
        view, problem, whose, whole, sealed, said = check(path)
    except (LookupError, TypeError, AttributeError, OverflowError, RuntimeError, MemoryError, OSError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {_short(error)})") from None
    for part in view if name == "records" else [view]:
        wrong = misfit(name, part)
        if wrong:
            raise ValueError(f"{path} is no {TITLES[name]} as this version writes it: {wrong}")
    return FileCheck(str(path), TITLES[name], name, _short(problem), whose, whole, sealed, said)


def _short(text: Any) -> str:
    return " ".join(str(text).split())[:200]


def _kind(path: Path, head: bytes) -> tuple[str, Callable[[Path], View]]:
    """By what is in it, whatever it is called.

    Raises:
        ValueError: nothing that this library writes.
    """
    if head.startswith(HDF5):
        with reading(path) as file:
            return ("dataset", _dataset) if own_file.is_own(file) else ("snapshots", _snapshots)
    if head.startswith(ZIP):
        try:
            about = read_arrays(path).get("about")
        except Exception as error:  # a file of zip has many ways to be damaged
            raise ValueError(f"{path} is a damaged .npz file, or {NO_FORMAT[3:]} ({_short(error)})") from None
        if about is None:
            raise ValueError(f"{path} is an .npz file, but {NO_FORMAT[3:]}: it has no array 'about'")
        return ("calibration", _calibration) if about.dtype == np.uint8 else ("training-checkpoint", _checkpoint)
    if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return "surrogate", _surrogate
    if not head.lstrip().startswith(b"{"):
        raise ValueError(f"{path} {NO_FORMAT}")
    text = read_text(path)
    first = _json(path, text.partition("\n")[0]) if text.startswith('{"') else _json(path, text)
    if "axis" in first and "children" in first:
        return "trust-map", _trust_map
    if first.get("format") == RUN:
        return "run", _run
    if "of" in first and "command" in first:
        return "result", _result
    if "inputs" in first and "found" in first:
        return "records", _records
    raise ValueError(f"{path} is JSON, but {NO_FORMAT[3:]}")


def _json(path: Path, text: str) -> dict[str, Any]:
    try:
        found = parse_json(text, nan=True)
    except ValueError as error:
        raise ValueError(f"{path} is damaged, or {NO_FORMAT[3:]}: {_short(error)}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} {NO_FORMAT}")
    return found


def _shapes(arrays: Any) -> dict[str, Any]:
    return {str(name): {"dtype": str(a.dtype), "shape": [int(n) for n in a.shape]} for name, a in arrays.items()}


def _snapshots(path: Path) -> View:
    found = load_snapshots(path)
    with opened(path) as stream, h5py.File(stream, "r") as file:
        attributes = {k: parse_json(str(v)) if k in ABOUT else v for k, v in file.attrs.items()}
        view = {"attributes": attributes, "arrays": _shapes({name: file[name] for name in file})}
        marked = array(file, "valid") if has(file, "valid") else found.valid
    if not np.array_equal(marked, found.valid) or any(i >= len(found) or found.valid[i] for i in found.reasons):
        raise ValueError(f"{path} is damaged: what it says of failed rows is not what its fields are")
    waiting = journal_path(path).exists()
    said = f"{len(found)} solutions of {found.fields.shape[1]} values at {found.inputs.shape[1]} inputs each"
    failed = int((~found.valid).sum())
    said += f", {failed} failed" if failed else ""
    said += "; an interrupted run left rows beside it, which are counted: the same command goes on" if waiting else ""
    return view, found.problem_name, found.fingerprint, None if waiting else True, True, said


def _dataset(path: Path) -> View:
    found = load_dataset(path).problem
    with reading(path) as file:
        view = {
            "attributes": dict(file.attrs),
            "about": parse_json(np.asarray(file["about"]).tobytes()),
            "arrays": _shapes({name: file[name] for name in file}),
        }
    said = f"{len(found.known_inputs)} rows of {found.size} values"
    return view, found.name, found.fingerprint, True, True, said


def _surrogate(path: Path) -> View:
    header, arrays = read_whole(path)
    members = header["architecture"].get("members")
    each = f" of {len(members)}" if isinstance(members, list) else ""
    said = f"{_short(header['architecture'].get('name'))}{each}, {len(arrays)} arrays"
    view = {"header": header, "arrays": _shapes(arrays)}
    return view, header["problem"], header.get("fingerprint", ""), True, DIGEST in header, said


def _records(path: Path) -> View:
    found = read_records(path)
    lines = [parse_json(line) for line in read_text(path).splitlines()]
    unsolved = sum(isinstance(record, UnsolvedInput) for record in found)
    said = f"{len(found) - unsolved} counterexamples, {unsolved} inputs that were not solved"
    said += "; `assay replay` solves one again"
    problems = dict.fromkeys(record.problem_name for record in found)
    whose = {record.fingerprint for record in found}
    return lines, ", ".join(problems), whose.pop() if len(whose) == 1 else "", True, False, said


def _trust_map(path: Path) -> View:
    found = map_file.load_trust_map(path)
    said = f"{int((found.axis < 0).sum())} leaves at tolerance {found.tolerance:g}; `assay audit` proves them again"
    return parse_json(read_text(path)), found.problem_name, found.problem_hash, True, True, said


def _calibration(path: Path) -> View:
    found = load_calibration(path)
    arrays = read_arrays(path)
    view = {"about": parse_json(arrays.pop("about").tobytes()), "arrays": _shapes(arrays)}
    said = f"{found.n} draws, tolerance {found.tolerance:g}, miscoverage {found.miscoverage:g}"
    return view, found.problem_name, found.solver_hash, True, True, said


def _checkpoint(path: Path) -> View:
    steps = steps_done(path)
    arrays = read_arrays(path)
    view = {"about": parse_json(str(arrays.pop("about")), nan=True), "arrays": _shapes(arrays)}
    return view, "", "", None, False, f"training stands at step {steps}; the command that began it goes on from there"


def _run(path: Path) -> View:
    found = parse_json(read_text(path, LARGEST), nan=True)
    about = found["settings"].get("problem", {})
    done = found.get("status") == "complete"
    if done and "results" not in found:
        raise ValueError(f"{path} is damaged: it says that its run is complete, and has no results")
    said = "complete" if done else f"interrupted, or being made: go on with `{_short(found.get('command'))}`"
    return found, str(about.get("name", "")), str(about.get("fingerprint", "")), True if done else None, False, said


def _result(path: Path) -> View:
    found = parse_json(read_text(path, LARGEST), nan=True)
    said = f"what `{_short(found['command'])}` found"
    return found, str(found.get("problem", "")), str(found["of"].get("problem", "")), True, False, said


TITLES = {
    "snapshots": "snapshots",
    "dataset": "data set",
    "surrogate": "surrogate",
    "records": "records",
    "trust-map": "trust map",
    "calibration": "calibration",
    "run": "run",
    "result": "result of a verb",
    "training-checkpoint": "training checkpoint",
}
