"""Code of the user's own, which a command line names as module:name, and problems by such words.

Only words of the command line come here: what stands in a file goes to ``stored_problem``, which runs nothing.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from .connections import connect, is_connection
from .solvers.problem import Problem
from .solvers.problems.catalogue import problem
from .terminal.errors import UserError

DATA = (".h5", ".hdf5")
_OWN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def is_own(word: str) -> bool:
    """Whether a word has the form module:name."""
    return _OWN.fullmatch(word) is not None and not is_connection(word) and not Path(word).exists()


def names_own_problem(word: str) -> bool:
    """Whether a problem's word must be said again with every command, for no file may name what is run or asked."""
    return is_own(word) or is_connection(word)


def refuse_file(word: str) -> None:
    """Say what to write instead where a word names a file of Python.

    Raises:
        UserError: it does.
    """
    file, _, name = word.rpartition(":") if ".py:" in word else (word, "", "NAME")
    if file.endswith(".py") and not Path(word).is_dir():
        path = Path(file)
        where = "" if path.parent == Path() else f", in the folder {path.parent}"
        raise UserError(f"{word}: what is your own is named by its module, not its file: {path.stem}:{name}{where}")


def own_object(word: str) -> Any:
    """What module:name stands for, the module looked up in the current folder first.

    Raises:
        UserError: the module cannot be imported, whatever it raised, or has no such name.
    """
    module_name, _, path = word.partition(":")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise UserError(f"{word}: importing {module_name} raised {type(error).__name__}: {error}") from error
        near = get_close_matches(module_name, [file.stem for file in Path().glob("*.py")], n=1)
        hint = f"did you mean {near[0]}:{path}?" if near else f"is {module_name.split('.')[0]}.py in another folder?"
        raise UserError(f"{word}: there is no module {error.name} here, nor installed; {hint}") from error
    except Exception as error:  # a user's module may fail in any way it likes
        raise UserError(f"{word}: importing {module_name} raised {type(error).__name__}: {error}") from error
    for part in path.split("."):
        if not hasattr(found, part):
            near = get_close_matches(part, [name for name in dir(found) if not name.startswith("_")], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(f"{word}: there is no {part!r} in {getattr(found, '__name__', module_name)}{hint}")
        found = getattr(found, part)
    return found


def find_problem(word: str, settings: dict[str, Any]) -> Problem:
    """A problem by its name with its settings, or the user's own: module:name, a program, a model of a server.

    module:name is a Problem, or a function that takes the settings and returns one.

    Raises:
        UserError: the word names a file, the module cannot be imported, or what it names is no problem, makes none or
            takes no settings.
        ValueError: an unknown name or setting; the closest match is offered.
    """
    if is_connection(word):
        return connect(word, settings)
    refuse_file(word)
    if word.endswith(DATA):
        raise UserError(
            f"{word} is a file of data: `assay train --data {word}`; for a model of your own put data = "
            f"assay.load_dataset({word!r}) into mine.py, and say --problem mine:data.problem"
        )
    if not is_own(word):
        return problem(word, **settings)
    found = own_object(word)
    if isinstance(found, Problem):
        if settings:
            raise UserError(f"{word} is a problem already: --set is for problems known by name, and for functions")
        return found
    if not callable(found):
        has = f": say {word}.problem" if isinstance(getattr(found, "problem", None), Problem) else ""
        raise UserError(f"{word} is a {type(found).__name__}, neither a Problem nor a function that returns one{has}")
    try:
        made = found(**settings)
    except Exception as error:
        raise UserError(f"{word} raised {type(error).__name__}: {error}") from error
    if not isinstance(made, Problem):
        raise UserError(f"{word} returned a {type(made).__name__}, not a Problem")
    return made
