"""Files of findings, one JSON object a line: counterexamples, and inputs at which the truth fails. No code is in them:
a file from a stranger is data, checked before it is used.

A database is a folder of such files, one a problem, named by the problem's hash: every search adds what it found, and
the next search of any surrogate of the same problem tries these inputs first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ...solvers.files import locked, parse_json, read_text, replace
from ...solvers.problem import Problem
from .counterexample import LARGEST, Counterexample
from .unsolved_input import KIND, UnsolvedInput

Record = Counterexample | UnsolvedInput
WHOSE = 16  # digits of a problem's hash that name its file


def write_records(path: str | Path, records: Sequence[Record]) -> None:
    """The file replaced in one step: a reader or an interruption never meets half of it."""
    replace(path, "".join(json.dumps(record.to_json()) + "\n" for record in records))


def read_records(path: str | Path) -> list[Record]:
    """All records of a file.

    Raises:
        ValueError: no such file, or a line that is not a record (its number is named).
    """
    try:
        text = read_text(path)
    except OSError as error:
        missing = "; falsify writes it where it finds a failure" if isinstance(error, FileNotFoundError) else ""
        raise ValueError(f"{path} could not be read: {error.strerror}{missing}") from None
    records: list[Record] = []
    left = LARGEST
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            data = parse_json(line)
            if isinstance(data, dict) and data.get("kind") == KIND:
                records.append(UnsolvedInput.from_json(data))
                continue
            found = Counterexample.from_json(data, left)
            records.append(found)
            left -= found.field.nbytes * (1 if found.simplest is None else 2)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    if not records:
        raise ValueError(f"{path} holds no record")
    return records


def kept_records(path: Path) -> list[Record]:
    """The records of a file that may not exist yet."""
    return read_records(path) if path.exists() and path.stat().st_size else []


def add_records(path: Path, new: Sequence[Record]) -> list[int]:
    """Add records to a file; returns the place of each. One that is there already is not added again.

    The file is read anew and locked meanwhile: searches that run at the same time all keep their records.
    """
    if not new:
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        kept = kept_records(path)
        known = {record.key: i for i, record in enumerate(kept)}
        places = []
        for record in new:
            if record.key not in known:
                known[record.key] = len(kept)
                kept.append(record)
            places.append(known[record.key])
        write_records(path, kept)
    return places


def database_file(folder: str | Path, problem: Problem) -> Path:
    """Where a database keeps the records of this problem.

    Raises:
        ValueError: ``folder`` is no folder, or the file in it a link.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: a database is a folder, made where there is none")
    file = folder / f"{problem.fingerprint[:WHOSE]}.jsonl"
    if file.is_symlink():
        raise ValueError(f"{file} is a link, which could lead anywhere: put the file itself there")
    return file


def known_failures(folder: str | Path, problem: Problem) -> tuple[Float[np.ndarray, "k d"], list[str]]:
    """The failing inputs that a database holds for this problem, with what they were shrunk to, those of the largest
    errors first; and what is to be said of the rest. Where the truth failed there is nothing to try a surrogate at.

    Raises:
        ValueError: the database's file is damaged.
    """
    known: dict[bytes, np.ndarray] = {}
    foreign = 0
    records = [record for record in kept_records(database_file(folder, problem)) if isinstance(record, Counterexample)]
    for record in sorted(records, key=lambda record: -record.error):
        for p in [record.inputs] + ([] if record.shrunk is None else [record.shrunk]):
            mine = record.fingerprint == problem.fingerprint and p.shape == (problem.inputs.dimension,)
            if mine and np.isfinite(p).all() and problem.inputs.contains(p[None])[0]:
                known.setdefault(p.tobytes(), p)
            else:
                foreign += 1
    notes = [f"{foreign} inputs of the database are of another problem, or outside its box: left out"] * (foreign > 0)
    return np.array(list(known.values())).reshape(len(known), problem.inputs.dimension), notes
