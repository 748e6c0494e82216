"""An executable as a function p -> u: it reads files, writes files, and says by its exit code whether it was solved."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..answers import LONGEST, Unanswered, printable
from ..batching import without_caches
from .number_files import as_text, from_text, read_numbers, write_numbers
from .process_group import TimeLimit, run_program

FILES, FOLDER = ("input", "output"), "folder"
PLACE = re.compile(r"\{\{(\w+)\}\}|\{(\w+)\}((?:\.\w+)*)")
TAIL = 4096  # bytes at the end of what it printed, of which the last lines are told


@dataclass(frozen=True)
class Program:
    """One call of it for each input, in a private folder that is removed after it.

    words: its command line with places to fill in; ``names``: the inputs that a word may stand for.
    folder: where it runs. ``files``: the words that name files, with the hashes of their contents.
    """

    words: tuple[str, ...]
    names: tuple[str, ...]
    folder: str
    limit: float | None
    files: tuple[tuple[str, str], ...]

    def __getstate__(self) -> dict[str, Any]:
        return without_caches(self)

    def __call__(self, p: Float[np.ndarray, " d"]) -> np.ndarray:
        """
        Raises:
            Unanswered: it cannot be started, took too long, ended with another exit code than 0, or wrote nothing.
            Refused: what it wrote are no numbers.
        """
        self._check_files()
        scratch = Path(tempfile.mkdtemp(prefix="assay-"))
        try:
            return self._answer(p, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _answer(self, p: np.ndarray, scratch: Path) -> np.ndarray:
        paths: dict[str, Path] = {}
        words = [self._filled(word, p, scratch, paths) for word in self.words]
        printed, complaints = scratch / "stdout", scratch / "stderr"
        with ExitStack() as stack:
            stdin: Any = subprocess.DEVNULL
            if "input" in paths:
                write_numbers(paths["input"], p)
            elif not self._inputs_are_words:
                (scratch / "stdin").write_text(as_text(p))
                stdin = stack.enter_context((scratch / "stdin").open("rb"))
            streams = [stack.enter_context(path.open("wb")) for path in (printed, complaints)]
            try:
                code = run_program(words, self.folder, scratch, self.limit, stdin, *streams)
            except TimeLimit:
                raise Unanswered(f"did not answer within {self.limit:g} s{_said(complaints)}") from None
            except OSError as error:
                raise Unanswered(f"could not be started: {error}") from None
        if code:
            how = f"ended with exit code {code}" if code > 0 else f"was ended by {_signal(-code)}"
            raise Unanswered(how + (_said(complaints) or _said(printed)))
        if "output" not in paths:
            return from_text(printed.read_text(errors="replace"), "what it printed")
        if not paths["output"].is_file():
            raise Unanswered(f"ended with exit code 0 but wrote no output file{_said(complaints) or _said(printed)}")
        return read_numbers(paths["output"], "its output file")

    @cached_property
    def _inputs_are_words(self) -> bool:
        return any(match[2] in self.names for word in self.words for match in PLACE.finditer(word))

    def _filled(self, word: str, p: np.ndarray, scratch: Path, paths: dict[str, Path]) -> str:
        """A word of the command line; the files that it names are noted in ``paths``."""

        def fill(match: re.Match[str]) -> str:
            literal, name, suffix = match.groups()
            if literal is not None:
                return f"{{{literal}}}"
            if name in FILES:
                paths[name] = scratch / f"{name}{suffix}"
                return str(paths[name])
            return (str(scratch) if name == FOLDER else repr(float(p[self.names.index(name)]))) + suffix

        return PLACE.sub(fill, word)

    @cached_property
    def _seen(self) -> dict[str, tuple[int, int]]:
        """When each file was found to be the one that the problem was made with."""
        return {}

    def _check_files(self) -> None:
        """
        Raises:
            Unanswered: a file is no longer what it was when the problem was made: answers would be of another solver.
        """
        for word, digest in self.files:
            try:
                about = os.stat(Path(self.folder, word))
                stamp = about.st_mtime_ns, about.st_size
                if self._seen.get(word) != stamp and hash_of(Path(self.folder, word)) != digest:
                    raise Unanswered(f"is another program now: {word} was changed since this problem was made of it")
            except OSError as error:
                raise Unanswered(f"could not be started: {error}") from None
            self._seen[word] = stamp

    def identity(self) -> str:
        """A hash of the command line and of the files that it names."""
        return hashlib.sha256(json.dumps([self.words, self.files]).encode()).hexdigest()


def hash_of(path: Path) -> str:
    """
    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _said(file: Path) -> str:
    """The last lines of what it printed, after a colon; "" where there is nothing."""
    with file.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(stream.tell() - TAIL, 0))
        lines = stream.read().decode(errors="replace").splitlines()
    text, room = "", LONGEST * 3 // 4
    for line in reversed([printable(line) for line in lines if line.strip()]):
        if text and len(line) + len(text) + 3 > room:
            break
        text = f"{line[-room:]} / {text}" if text else line[-room:]
    return f": {text}" if text else ""
