"""Offline constants of proofs, kept in files: what takes minutes to compute and verify is done once.

    <the user's cache folder>/assay/constants/<problem hash>/<theorem>-<stage>.npz

A theorem names its ``Stage``s (``Proof.offline``). Each is kept as soon as it is done, so that what was interrupted
goes on from there; of two processes that need the same one the second waits and reads. Files hold arrays of numbers and
a text (JSON), nothing that is run.

*Whom this trusts.* A proof stands on numbers that it finds here, so whoever can write here decides what is proved: the
folder is this user's alone (``private_folder``), or nothing is kept nor read. A file is believed if the problem's hash,
the theorem with its version, the text of the modules that made it and of those beside them, names, shapes and a
checksum are those expected, every number is finite, and the stage's own ``check``, which verifies again what costs
little, has no objection. Another one is computed anew, or left out where that takes an ``assay.prepare``, and the notes
say why. That the rest of it was verified when it was written is an assumption.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...solvers import files
from ...solvers.identity import first_difference
from ...solvers.private_folder import NotPrivate, make_private, user_cache

ASSUMED = "constants from a file of this user's own were verified when it was written, and are since unchanged"
OFF = "ASSAY_NO_CACHE"
FORMAT = 1
Arrays = dict[str, np.ndarray]
Known = Mapping[str, np.ndarray]
Progress = Callable[[str, int, int], None]  # a stage, how many seconds' work are done, and how many there are


def _no_objection(known: Known, made: Arrays) -> str:
    return ""


@dataclass(frozen=True)
class Stage:
    """Arrays that are computed, verified and kept together.

    Attributes:
        name: of small letters, digits and hyphens; part of a file's name.
        seconds: about how long ``make`` takes.
        make: the arrays by name, from those of all earlier stages; no two stages share a name. Plain Python on the
            host, which can be interrupted.
        check: why arrays of this name cannot be those of this stage, in words, from those of earlier stages; "" where
            there is no objection. Whatever a proof can verify again at little cost belongs here, shapes first.
        on_first_use: whether a verb that needs the proof makes it; else only ``assay.prepare`` does.
    """

    name: str
    seconds: float
    make: Callable[[Known], Arrays]
    check: Callable[[Known, Arrays], str] = _no_objection
    on_first_use: bool = True


@dataclass(frozen=True)
class Prepared:
    """What became of the stages of one proof: ``stages`` holds, by name, "kept", "made" or "left", and the seconds it
    took; ``folder`` is where they are kept, None where they are not; ``notes`` say what was the matter. ``reach``:
    ``Proof.reach`` with these.
    """

    arrays: Arrays = field(repr=False, default_factory=dict)
    stages: dict[str, tuple[str, float]] = field(default_factory=dict)
    folder: str | None = None
    notes: tuple[str, ...] = ()
    reach: str = ""

    @property
    def seconds(self) -> float:
        return sum(spent for _, spent in self.stages.values())

    @property
    def size(self) -> int:
        """Bytes of all arrays."""
        return sum(x.nbytes for x in self.arrays.values())


def place() -> Path:
    """Where the constants of all problems are kept, whether the folder is there or not.

    Raises:
        NotPrivate: nobody knows where.
    """
    return user_cache() / "assay" / "constants"


def source_of(*things: Any, beside: bool = False) -> str:
    """A hash of the text of the modules in which classes or functions were defined: another text, other constants.

    ``beside``: and of all modules in the same package, from where they may have what computes and verifies.
    """
    digest = hashlib.sha256()
    for thing in things:
        while isinstance(thing, partial):
            thing = thing.func
        module = sys.modules.get(getattr(thing, "__module__", ""))
        own, package = Path(str(getattr(module, "__file__", ""))), getattr(module, "__package__", None)
        for path in sorted(own.parent.glob("*.py")) if beside and package else [own]:
            with contextlib.suppress(OSError, TypeError):
                digest.update(path.read_bytes())
            digest.update(b"\0")
    return digest.hexdigest()[:16]


def gather(
    stages: Iterable[Stage],
    whose: dict[str, Any],
    folder: str | os.PathLike[str] | None = None,
    everything: bool = True,
    progress: Progress | None = None,
) -> Prepared:
    """The arrays of all stages, from their files or made now and kept.

    Args:
        whose: what a file must say of itself: the problem's hash, the theorem.
        folder: instead of the user's cache folder.
        everything: make stages that are not made on first use, too.

    Raises:
        ValueError: a given folder is not this user's alone; what a stage made is not finite, or its check objects.
    """
    todo = list(stages)
    notes: list[str] = []
    home = _home(whose["problem"], folder, notes)
    theorem = re.sub(r"\W", "", whose["theorem"].rpartition(".")[2])
    names = [None if home is None else home / f"{theorem}-{stage.name}.npz" for stage in todo]
    costs = [_cost(stage, file, everything) for stage, file in zip(todo, names, strict=True)]
    tell = progress or (lambda stage, done, total: None)
    total, done = max(round(sum(costs)), 1), 0.0
    arrays: Arrays = {}
    account: dict[str, tuple[str, float]] = {}
    for stage, file, cost in zip(todo, names, costs, strict=True):
        tell(stage.name, round(done), total)
        start = time.perf_counter()
        source = source_of(stage.make, stage.check, beside=True)
        about = {"format": FORMAT, **whose, "stage": stage.name, "source": source}
        made, how = _one(stage, about, arrays, file, everything or stage.on_first_use, notes)
        arrays.update(made)
        account[stage.name] = (how, time.perf_counter() - start)
        done += cost
    tell("ready", total, total)
    return Prepared(arrays, account, None if home is None else str(home), tuple(notes))


def _cost(stage: Stage, file: Path | None, everything: bool) -> float:
    """About how many seconds it will take: none where it is kept, or will be left out."""
    kept = file is not None and file.exists()
    return stage.seconds if (everything or stage.on_first_use) and not kept else 0.0


def _home(problem_hash: str, folder: str | os.PathLike[str] | None, notes: list[str]) -> Path | None:
    """The folder of one problem's constants; None where nothing is kept."""
    if folder is not None:
        try:
            return make_private(Path(os.path.abspath(folder)), problem_hash[:32])
        except NotPrivate as error:
            raise ValueError(f"constants cannot be kept in {folder}: {error}") from None
    if os.environ.get(OFF, "") not in ("", "0"):
        return None
    try:
        return make_private(user_cache(), "assay", "constants", problem_hash[:32])
    except NotPrivate as error:
        notes.append(f"constants of the proof are not kept: {error}")
        return None


def _one(
    stage: Stage, about: dict[str, Any], known: Arrays, file: Path | None, wanted: bool, notes: list[str]
) -> tuple[Arrays, str]:
    """One stage: read, else made and kept, else left."""
    if file is None:
        return (_made(stage, known), "made") if wanted else ({}, "left")
    said: list[str] = []
    if (found := _read(file, stage, about, known, said)) is not None:
        return found, "kept"
    if not wanted:
        notes += [f"constants of the proof ({stage.name}) are left out until assay.prepare, for {why}" for why in said]
        return {}, "left"
    with _alone(file):  # another process may have made it meanwhile
        said = []
        if (found := _read(file, stage, about, known, said)) is not None:
            return found, "kept"
        notes += [f"constants of the proof ({stage.name}) were computed anew, for {why}" for why in said]
        arrays = _made(stage, known)
        try:
            _write(file, about, arrays)
        except OSError as error:
            notes.append(f"constants of the proof ({stage.name}) are not kept: {file}: {error.strerror or error}")
    return arrays, "made"


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    """While no other process makes this file; where locks cannot be had two may make it, each in one step."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(files.locked(file))
        yield


def _made(stage: Stage, known: Arrays) -> Arrays:
    arrays = {name: np.ascontiguousarray(x) for name, x in stage.make(known).items()}
    why = _unfit(arrays, known) or stage.check(known, arrays)
    if why:
        raise ValueError(f"the constants of stage {stage.name!r} that were computed cannot be used: {why}")
    return arrays


def _unfit(arrays: Arrays, known: Arrays) -> str:
    for name, x in arrays.items():
        if x.dtype.kind not in "biufc":
            return f"{name} is no array of numbers"
        if not np.isfinite(x).all():
            return f"{name} holds NaN or infinity"
        if name in known:
            return f"{name} belongs to an earlier stage"
    return ""


def _checksum(about: dict[str, Any], arrays: Arrays) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(arrays):
        x = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {x.dtype.str} {x.shape}".encode())
        digest.update(x.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _write(file: Path, about: dict[str, Any], arrays: Arrays) -> None:
    text = json.dumps({**about, "checksum": _checksum(about, arrays)})
    content = {"about": np.frombuffer(text.encode(), dtype=np.uint8), **{f"array {k}": x for k, x in arrays.items()}}
    files.replace(file, lambda stream: np.savez(stream, **content))  # type: ignore[arg-type]  # keywords of any name


def _read(file: Path, stage: Stage, about: dict[str, Any], known: Arrays, said: list[str]) -> Arrays | None:
    """The arrays of a file; None where there is none, or it is not to be believed: why, is then said."""
    try:
        content = files.read_arrays(file)
        there = files.parse_json(content.pop("about").tobytes())
        arrays = {name.removeprefix("array "): x for name, x in content.items()}
        checksum = there.pop("checksum")
        why = first_difference(there, about) or ""
        if not why and checksum != _checksum(about, arrays):
            why = "its checksum is that of other numbers"
        why = why or _unfit(arrays, known) or stage.check(known, arrays)
    except FileNotFoundError:
        return None
    except OSError as error:
        why = f"it cannot be read ({error.strerror or error})"
    except Exception as error:  # whatever a damaged or forged file leads to
        why = f"nothing can be read ({type(error).__name__}): it is damaged, or another kind of file"
    if why:
        said.append(f"of {file.name} {why}")
        return None
    return arrays
