"""Any executable as a problem: started for each solve, its numbers in files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..box import Box
from ..problems.black_box import BlackBox, black_box, checked_limit
from .program import FILES, FOLDER, PLACE, Program, hash_of


def command(
    words: Sequence[str],
    box: Box,
    coordinates: Any = None,
    *,
    name: str | None = None,
    time_limit: float | None = None,
    **options: Any,
) -> BlackBox:
    """A problem whose solver is a program: ``command(["./solver", "{input}", "{output}"], box)``.

    It is started in the current folder for each solve, as a shell would start it, with the places in its words filled:

        {input}, {output}   files in a folder that is this solve's alone and removed after it. What follows says how
                            numbers stand there: {input}.npy, {output}.npy are numpy's; with any other suffix, or
                            none, text: inputs one a line, answers between blanks, commas and line ends, row by row
        {k1}                the value of the input k1 of the box
        {folder}            that folder, for programs whose files have names of their own:
                            ["sh", "-c", "cp case.nml {folder} && cd {folder} && /opt/solver < {input} > {output}"]
        {{word}}            is {word}, nothing filled in

    Without {input}, and no input of the box among the words, the numbers come on its stdin; without {output} its answer
    is what it prints. An exit code that is not 0, a signal, no output, NaN or anything that is no number, and the time
    limit make a failed solve: its reason holds the code and the last lines of stderr.

    Files hold a hash of the words and of what the words name by a path, such as ./solver or a script: so an answer of
    another version of it is never taken for one of this. What is found by PATH, such as python3 or mpirun, counts by
    its name alone.

    Args:
        name: stands in every file; by default the program's.
        time_limit: seconds that a solve may take: then it is killed, with all that it started.
        options: as of ``black_box``: coordinates, size, norm, components, offset, residual, gradient, relations.

    Raises:
        ValueError: no such program, a place that nothing fills, or as ``black_box``.
        SolveError: the program fails at the centre of the box, where it is asked unless ``size`` is given.
    """
    if isinstance(words, str) or not words or not all(isinstance(word, str) and "\0" not in word for word in words):
        raise ValueError(f'a command is a list of words, ["./solver", "{{input}}", "{{output}}"], not {words!r}')
    if not isinstance(box, Box):
        raise ValueError(f"the inputs are a Box(names, lower, upper), not {type(box).__name__}")
    _check_places(words, box)
    limit = None if time_limit is None else checked_limit(time_limit)
    folder = Path.cwd()
    _check_program(words[0], folder)
    named = words if os.path.dirname(words[0]) else words[1:]
    files = tuple((word, hash_of(folder / word)) for word in named if os.path.isfile(folder / word))
    program = Program(tuple(words), box.names, str(folder), limit, files)
    called = name if name is not None else Path(words[0]).stem or "program"
    made = black_box(program, box, coordinates, name=called, **options)
    return replace(made, identified=program.identity())


def _check_places(words: Sequence[str], box: Box) -> None:
    for name in (*FILES, FOLDER):
        if name in box.names:
            raise ValueError(f"an input of the box is called {name!r}, which {{{name}}} would mean as well: rename it")
    for name in box.names:
        if not name.isidentifier() and any(f"{{{name}}}" in word for word in words):
            raise ValueError(
                f"{{{name}}} is not filled in, for {name!r} is no plain word of letters and digits: rename it"
            )
    known = [*FILES, FOLDER, *box.names]
    for word in words:
        for match in PLACE.finditer(word):
            if match[2] is not None and match[2] not in known:
                near = get_close_matches(match[2], known, n=1)
                hint = f"did you mean {{{near[0]}}}?" if near else f"there are: {', '.join(known)};"
                literal = f"{{{{{match[2]}}}}} stands for the braces themselves"
                raise ValueError(f"nothing fills {{{match[2]}}} in {word!r}: {hint} {literal}")


def _check_program(word: str, folder: Path) -> None:
    if os.path.dirname(word):
        path = folder / word
        if not path.is_file():
            raise ValueError(f"there is no program {word} in {folder}")
        if not os.access(path, os.X_OK):
            raise ValueError(
                f"{word} may not be executed: chmod +x {word}, or say with what it is run, such as python3"
            )
    elif shutil.which(word) is None:
        here = f": did you mean ./{word}?" if (folder / word).is_file() else ""
        raise ValueError(f"there is no program {word!r} on the PATH{here}")
