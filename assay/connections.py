"""Problems that a command line names by how they are reached, with their box and all else by --set:

    command:./solver {input} {output}          a program (``solvers/external/command.py``)
    umbridge:http://127.0.0.1:4242#forward     a model of a UM-Bridge server (``solvers/external/umbridge.py``)

    --set box=k1=0.1:10:log,k2=1:2    or in a TOML file    [set.box]
                                                           k1 = [0.1, 10, "log"]
                                                           k2 = [1, 2]

Only words of the command line come here: no file names what is run or asked.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from .solvers.box import Box
from .solvers.problem import Problem
from .solvers.problems.catalogue import closest
from .terminal.errors import UserError

COMMAND, UMBRIDGE = "command:", "umbridge:"
COMMON = {"box", "coordinates", "name", "norm", "components", "time_limit"}
SETTINGS = {COMMAND: COMMON | {"size"}, UMBRIDGE: COMMON | {"config", "output", "patience", "at_once"}}
WAITING = {"time_limit", "patience", "at_once"}  # how long one waits for answers, not what they are
BOX = "--set box=NAME=LOW:HIGH,... (NAME=LOW:HIGH:log for a logarithmic scale)"


def is_connection(word: str) -> bool:
    """Whether a word names a program or a server."""
    return word.startswith((COMMAND, UMBRIDGE))


def connect(word: str, settings: dict[str, Any]) -> Problem:
    """The problem that is solved there.

    Raises:
        UserError, ValueError: no box, an unknown setting, nothing that can be run or asked.
        SolveError: a program fails at the centre of the box.
    """
    from .solvers.external.command import command
    from .solvers.external.umbridge import umbridge

    kind = COMMAND if word.startswith(COMMAND) else UMBRIDGE
    for key in settings:
        if key not in SETTINGS[kind]:
            raise closest(key, SETTINGS[kind], f"setting of {kind}")
    if "box" not in settings:
        raise UserError(f"{word}: say what the inputs are, with {BOX}")
    options = {**settings, "box": box_of(settings["box"])}
    if "coordinates" in options:
        options["coordinates"] = _points(options["coordinates"])
    if kind == UMBRIDGE:
        url, _, model = word.removeprefix(UMBRIDGE).partition("#")
        return umbridge(url, model or None, **options)
    try:
        words = shlex.split(word.removeprefix(COMMAND))
    except ValueError as error:
        raise UserError(f"{word}: {error}: it is split into words as a shell does") from None
    return command(words, **options)


def lasting(word: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Of the settings of a problem those that its answers depend on, a box written in one way only."""
    if not is_connection(word):
        return settings
    kept = {key: value for key, value in settings.items() if key not in WAITING}
    return {**kept, "box": box_of(kept["box"]).to_json()} if "box" in kept else kept


def same_connection(one: str, other: str) -> bool:
    """Whether two words name one model, which may have moved to another address."""
    both = one.startswith(UMBRIDGE) and other.startswith(UMBRIDGE)
    return one == other or (both and one.partition("#")[2] == other.partition("#")[2])


def file_name(word: str) -> str:
    """What a file or folder about a problem is called."""
    return re.sub(r"[^\w.+-]+", "-", word).strip("-")[:80]


def box_of(given: Any) -> Box:
    """The box that --set box=... or a TOML table says.

    Raises:
        UserError: it cannot be read.
        ValueError: as ``Box``.
    """
    if isinstance(given, dict):
        entries = list(given.items())
    else:
        texts = given if isinstance(given, list) else [given]
        pairs = [str(text).partition("=") for text in texts]
        if not all(name.strip() and equals for name, equals, _ in pairs):
            raise UserError(f"the box is {BOX}, not {given!r}")
        entries = [(name.strip(), ends.split(":")) for name, _, ends in pairs]
    return Box(
        tuple(name for name, _ in entries),
        np.array([_end(name, ends, 0) for name, ends in entries]),
        np.array([_end(name, ends, 1) for name, ends in entries]),
        log=tuple(_is_log(name, ends) for name, ends in entries),
    )


def _end(name: str, ends: Any, which: int) -> float:
    try:
        if isinstance(ends, list) and len(ends) in (2, 3) and not isinstance(ends[which], bool):
            return float(ends[which])
    except (TypeError, ValueError):
        pass
    raise UserError(f"input {name!r} of the box goes from a number to a number: {BOX}")


def _is_log(name: str, ends: list[Any]) -> bool:
    if len(ends) == 3 and ends[2] != "log":
        raise UserError(f"input {name!r}: the scale is log, or left out, not {ends[2]!r}")
    return len(ends) == 3


def _points(file: Any) -> np.ndarray:
    """
    Raises:
        UserError: no file of numbers.
    """
    path = Path(str(file))
    try:
        if path.suffix == ".npy":
            found: np.ndarray = np.load(path, allow_pickle=False)
            return found
        return np.loadtxt(path, delimiter="," if path.suffix == ".csv" else None, ndmin=2)
    except (OSError, ValueError) as error:
        raise UserError(
            f"--set coordinates={path}: a .npy file, or text with one node a line ({' '.join(str(error).split())})"
        ) from None
