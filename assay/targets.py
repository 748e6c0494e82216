"""What a command line runs against: a run folder, or a surrogate of the user's own, with the problem it answers.

A surrogate of one's own is code, named as module:name, or an ONNX file, which holds none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .own_code import find_problem, is_own, own_object, refuse_file
from .run_folder import RunFolder
from .solvers.outputs import find_output
from .solvers.problem import Problem
from .surrogates.adapters.known import adapted
from .surrogates.adapters.onnx_file import onnx_surrogate
from .surrogates.adapters.torch_module import OF_PICKLES, PICKLES
from .terminal.errors import UserError


@dataclass(frozen=True)
class Target:
    """A surrogate with its problem; ``folder`` where it came from a run."""

    problem: Problem
    surrogate: Callable[[Any], Any]
    folder: RunFolder | None
    label: str


def find_surrogate(word: str, problem_word: str | None, settings: dict[str, Any], output: str | None = None) -> Target:
    """A run folder, or an ONNX file or module:name with the problem that it answers.

    Args:
        word: what stands where the command line wants a RUN.
        problem_word, settings: what the user says of the problem, with --problem and --set.
        output: the name of an output that is asked for, looked up before anything is loaded.

    Raises:
        UserError: no complete run, another problem than the run's, or nothing that can be called.
        ValueError: the run's model is damaged or of another problem; an unknown output.
    """
    _refuse(word)
    if is_own(word) or is_onnx(word):
        if problem_word is None:
            raise UserError(f"{word} is a surrogate of your own: say with --problem which problem it answers")
        owner = find_problem(problem_word, settings)
        _known(owner, output)
        return Target(owner, find_callable(word, owner), None, word)
    folder = RunFolder.open(Path(word))
    owner = folder.problem(problem_word, settings)
    _known(owner, output)
    return Target(owner, folder.surrogate(owner), folder, str(folder.path))


def _known(owner: Problem, output: str | None) -> None:
    if output is not None:
        find_output(owner, output)


def find_callable(word: str, owner: Problem) -> Callable[[Any], Any]:
    """The surrogate in a run folder, or the user's own, for a problem that is known already.

    Raises:
        UserError, ValueError: as ``find_surrogate``.
    """
    _refuse(word)
    if is_onnx(word):
        return onnx_surrogate(word, owner)
    if not is_own(word):
        return RunFolder.open(Path(word)).surrogate(owner)
    found = adapted(own_object(word), owner)
    if isinstance(found, type) or not callable(found):
        raise UserError(f"{word} is a {type(found).__name__}; a surrogate is a function of inputs [n, d]")
    called: Callable[[Any], Any] = found
    return called


def is_onnx(word: str) -> bool:
    """Whether a word names an ONNX file."""
    return word.lower().endswith(".onnx") and not Path(word).is_dir()


def _refuse(word: str) -> None:
    """
    Raises:
        UserError: the word names a file of Python, or one that would run code when it is opened.
    """
    refuse_file(word)
    if word.endswith(PICKLES) and not Path(word).is_dir():
        raise UserError(f"{word} {OF_PICKLES}")
