"""Rows of numbers appended to a file so that a process killed at any moment loses at most the row it was writing.

    header   magic, length and JSON of what the rows belong to, digest
    record   row number, the row's float64 values, digest                         (all little-endian, fixed length)

Nothing written is ever changed. A torn write can only be the last thing in the file, its digest does not match, and the
next writer cuts it off. HDF5 gives no such promise: a process killed while it flushes may leave metadata that no longer
fit together; hence rows are collected here, and HDF5 files are only ever replaced as a whole (``snapshot_file.py``).
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..files import lock, naming, open_own, opened, parse_json, same_file

MAGIC = b"assay journal 1\n"
DIGEST = 16
LONGEST_HEADER = 1 << 24


class Contents(NamedTuple):
    """What a journal holds, as far as it is intact."""

    owner: dict[str, Any] | None  # None: not even the header was finished
    rows: dict[int, Float[np.ndarray, " width"]]
    intact: int  # bytes up to the end of the last whole record
    width: int = 0


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST).digest()


def _header(owner: dict[str, Any], width: int) -> bytes:
    text = json.dumps({"owner": owner, "width": width}, sort_keys=True).encode()
    head = MAGIC + struct.pack("<Q", len(text)) + text
    return head + _digest(head)


def read(path: Path) -> Contents:
    """Every whole record of a journal; a torn end is left out.

    Raises:
        ValueError: the file is no journal.
    """
    with opened(path, links=False) as stream:
        whole = os.fstat(stream.fileno()).st_size
        start = stream.read(len(MAGIC) + 8)
        length = struct.unpack("<Q", start[len(MAGIC) :])[0] if len(start) == len(MAGIC) + 8 else 0
        if start[: len(MAGIC)] != MAGIC[: len(start)] or length > LONGEST_HEADER:
            raise ValueError(f"{path} is not a journal of this library: move it away")
        text, digest = stream.read(length), stream.read(DIGEST)
        if len(digest) < DIGEST or _digest(start + text) != digest:
            return Contents(None, {}, 0)
        owner, width = _about(path, text)
        position, size = stream.tell(), 8 + 8 * width
        rows = {}
        while position + size + DIGEST <= whole:
            record = stream.read(size)
            if _digest(record) != stream.read(DIGEST):
                break
            rows[struct.unpack("<Q", record[:8])[0]] = np.frombuffer(record, dtype="<f8", offset=8)
            position += size + DIGEST
    return Contents(owner, rows, position, width)


def _about(path: Path, text: bytes) -> tuple[dict[str, Any], int]:
    try:
        about = parse_json(text)
        owner, width = about["owner"], about["width"]
        if not isinstance(owner, dict) or type(width) is not int or width < 1:
            raise ValueError("its header is of another kind")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a journal of this library ({error}): move it away") from None
    return owner, width


class Journal:
    """A journal opened for appending, by one process at a time.

    Args:
        owner: what the rows belong to, as JSON values.
        width: numbers in a row.

    Raises:
        ValueError: the file is no journal, or another process is writing it.
    """

    def __init__(self, path: Path, owner: dict[str, Any], width: int) -> None:
        self.path = path
        self._file = _open_locked(path)
        try:
            contents = read(path)
            self.owner = contents.owner if contents.owner is not None else owner
            self.rows = contents.rows
            if contents.owner is not None and contents.width != width:
                raise ValueError(
                    f"{path} holds rows of {contents.width} numbers, not {width}: delete it, or choose another"
                )
            if contents.owner is None:
                os.ftruncate(self._file, 0)
                _write(self._file, _header(owner, width))
            else:
                os.ftruncate(self._file, contents.intact)
        except BaseException:
            self.close()
            raise

    def append(self, number: int, row: Float[np.ndarray, " width"]) -> None:
        """Write one record: the number of a row and its values, with their digest."""
        record = struct.pack("<Q", number) + np.ascontiguousarray(row, dtype="<f8").tobytes()
        with naming(self.path):
            _write(self._file, record + _digest(record))

    def remove(self) -> None:
        """Delete the file: its rows are stored elsewhere."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file, which gives up the lock on it."""
        os.close(self._file)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _open_locked(path: Path) -> int:
    while True:
        file = open_own(path)
        free = lock(file, wait=False)
        if free and same_file(file, path):
            return file
        os.close(file)  # the previous writer removed the file between our opening and locking it
        if not free:
            raise ValueError(f"another process is writing {path}: wait for it, or choose another file")
