"""Files that are there whole or not at all, and files of others that are read with care.

A file is written under another name in the same folder, brought to the disk, and renamed: a reader, a kill or a full
disk meets the old file or the new one. The other name is drawn at random and created exclusively, so that no link
planted there is followed; whoever writes it holds a lock on it, by which the next writer tells the leftover of a killed
process from work in progress, and clears it away.

What is read may have been made by anybody: its size is bounded before it is read, its nesting before it is believed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

try:
    import fcntl
except ImportError:  # not a POSIX system: two writers at once are then not noticed
    fcntl = None  # type: ignore[assignment]

LARGEST = 1 << 30  # bytes of a text
DEEPEST = 64  # brackets within brackets in JSON
_NOT_THROUGH_LINKS = getattr(os, "O_NOFOLLOW", 0)
_NEVER_WAIT = getattr(os, "O_NONBLOCK", 0)  # for a reader that a pipe at the file's place might never have
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def checked_path(path: Any, what: str) -> Path:
    """
    Raises:
        ValueError: ``path`` is none.
    """
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"to read {what}, give the path of a file, not {path!r:.80}")
    return Path(path)


def replace(path: str | os.PathLike[str], content: str | bytes | Callable[[BinaryIO], object]) -> None:
    """Write a file in one step; its mode follows the umask.

    Args:
        content: text, bytes, or what writes into a binary stream opened for it (which can seek and be read).

    Raises:
        OSError: the disk is full, the folder cannot be written, the path is a link or no file; it names the path.
    """
    path = Path(path)
    with naming(path):
        _check_replaceable(path)
        scratch, file = _created(path)
        try:
            with open(file, "w+b") as stream:
                if callable(content):
                    content(stream)
                else:
                    stream.write(content.encode() if isinstance(content, str) else content)
                stream.flush()
                os.fsync(stream.fileno())  # the content before the name, also if the power fails
                os.replace(scratch, path)  # still locked: nobody takes it for a leftover
        except BaseException:
            with contextlib.suppress(OSError):
                scratch.unlink()
            raise
    _clear_leftovers(path)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Operating system errors in here are about ``path``, whatever was being done to it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from None


def open_own(path: Path) -> int:
    """A file of ours opened for reading and appending, made where it is missing; never anything through a link.

    Raises:
        OSError: naming the path.
    """
    with naming(path):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _NOT_THROUGH_LINKS | _NEVER_WAIT, 0o666)
        try:
            _check_plain(os.fstat(file))
        except BaseException:
            os.close(file)
            raise
        return file


def lock(file: int, wait: bool) -> bool:
    """Lock an open file against other processes until it is closed or the process dies; False where another holds it.

    On systems, and in file systems, without such locks: always True.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
    return True


class HeldFolder:
    """A folder that other processes cannot hold while this object, or this process, lives.

    Raises:
        OSError: another one holds it; it names the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._file = -1
        if fcntl is None:
            return
        with naming(folder):
            self._file = os.open(folder, os.O_RDONLY)
            if not lock(self._file, wait=False):
                raise OSError(errno.EBUSY, "another process is working here: wait for it, or choose another folder")

    def __del__(self) -> None:
        if self._file >= 0:
            os.close(self._file)


def same_file(file: int, path: Path) -> bool:
    """Whether an open file is still what stands at ``path``."""
    try:
        there, here = os.lstat(path), os.fstat(file)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Other processes that lock this path wait, by a lock file beside it.

    Raises:
        OSError: the lock file cannot be made.
    """
    beside = path.with_name(f".{path.name}.lock")
    file = open_own(beside)
    try:
        lock(file, wait=True)
        yield
    finally:
        os.close(file)


@contextlib.contextmanager
def opened(path: str | os.PathLike[str], links: bool = True) -> Iterator[BinaryIO]:
    """A plain file to be read; with ``links`` also through a link.

    Raises:
        OSError: there is none, it is a folder or a device; it names the path.
    """
    path = Path(path)
    with naming(path):
        file = os.open(path, os.O_RDONLY | _NEVER_WAIT | (0 if links else _NOT_THROUGH_LINKS))
        with open(file, "rb") as stream:
            _check_plain(os.fstat(file))
            yield stream


def read_bytes(path: str | os.PathLike[str], largest: int = LARGEST) -> bytes:
    """The content of a plain file.

    Raises:
        OSError: there is none, it is a folder or a device; it names the path.
        ValueError: it is larger than ``largest``.
    """
    with opened(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        content = stream.read(min(size, largest) + 1)
    if max(size, len(content)) > largest:
        raise ValueError(f"{path} is larger than {largest} bytes, which no such file of this library is")
    return content


def read_text(path: str | os.PathLike[str], largest: int = LARGEST) -> str:
    """``read_bytes`` as text.

    Raises:
        OSError, ValueError: as ``read_bytes``, or it is not UTF-8.
    """
    try:
        return read_bytes(path, largest).decode()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text (UTF-8)") from None


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of a .npz file that was written without compression, none larger than the file is.

    Raises:
        OSError, ValueError, zipfile.BadZipFile: it cannot be read, or is another kind of file.
    """
    with opened(path, links=False) as stream:
        most = os.fstat(stream.fileno()).st_size
        with zipfile.ZipFile(stream) as archive:
            for entry in archive.infolist():
                with archive.open(entry) as member:
                    header = _HEADERS.get(np.lib.format.read_magic(member))
                    shape, _, dtype = header(member) if header else ((), False, np.dtype(object))
                    size = math.prod(shape) * dtype.itemsize
                if (
                    entry.compress_type != zipfile.ZIP_STORED
                    or dtype.hasobject
                    or size > entry.file_size
                    or size > most
                ):
                    raise ValueError(f"{path}: {entry.filename} is no plain array, or larger than the file")
        stream.seek(0)
        with np.load(stream, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}


def parse_json(text: str | bytes, nan: bool = False) -> Any:
    """JSON that is nested no deeper than ``DEEPEST``.

    Args:
        nan: let NaN and Infinity through, which are not JSON but what Python writes.

    Raises:
        ValueError: anything else, in one line.
    """
    data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    if _depth(data) > DEEPEST and _depth(_STRING.sub(b"", data)) > DEEPEST:
        raise ValueError(f"not JSON that this library writes: nested too deeply, more than {DEEPEST}")
    try:
        return json.loads(data, parse_constant=None if nan else _no_constant)
    except RecursionError:
        raise ValueError("not JSON that this library writes: nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("not JSON: not text (UTF-8)") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None


def _no_constant(word: str) -> Any:
    raise ValueError(f"not JSON: {word} is not a number that JSON has")


def _depth(data: bytes) -> int:
    """How deep brackets nest, those in strings counted too."""
    depth = deepest = 0
    for start in range(0, len(data), 1 << 20):
        b = np.frombuffer(data[start : start + (1 << 20)], dtype=np.uint8) | 0x20  # [ and {, ] and } differ by this bit
        depths = depth + np.cumsum((b == ord("{")).astype(np.int64) - (b == ord("}")))
        depth, deepest = int(depths[-1]), max(deepest, int(depths.max()))
    return deepest


def _check_replaceable(path: Path) -> None:
    try:
        about = os.lstat(path)
    except FileNotFoundError:
        return
    _check_plain(about)


def _check_plain(about: os.stat_result) -> None:
    if stat.S_ISLNK(about.st_mode):
        raise OSError(errno.ELOOP, "is a link, which is not followed: remove it")
    if stat.S_ISDIR(about.st_mode):
        raise OSError(errno.EISDIR, "is a folder")
    if not stat.S_ISREG(about.st_mode):
        raise OSError(errno.EINVAL, "is not a plain file")


def _created(path: Path) -> tuple[Path, int]:
    """A new file beside ``path``, open and locked."""
    while True:
        scratch = path.with_name(f"{path.name}.{os.urandom(4).hex()}.partial")
        file = os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOT_THROUGH_LINKS, 0o666)
        if lock(file, wait=True) and same_file(file, scratch):
            return scratch, file
        os.close(file)  # taken for a leftover before it was locked


def _clear_leftovers(path: Path) -> None:
    """Remove what processes that were killed left behind while they wrote ``path``."""
    if fcntl is None:
        return
    ours = re.compile(re.escape(path.name) + r"\.[0-9a-f]{8}\.partial")
    with contextlib.suppress(OSError):
        for name in [entry.name for entry in os.scandir(path.parent) if ours.fullmatch(entry.name)]:
            file = os.open(path.with_name(name), os.O_RDONLY | _NOT_THROUGH_LINKS | _NEVER_WAIT)
            try:
                if lock(file, wait=False):
                    os.unlink(path.with_name(name))
            finally:
                os.close(file)
