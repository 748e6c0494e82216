"""The verbs, each imported when it is called: a list of them, or the help, is there before JAX would be.

What a verb does in one sentence is read from its source: the docstring of the function, in the file that ``WHERE``
names. So every sentence stands in one place, and nothing is imported to show it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from .. import starting

WHERE = {  # the function of this name, in a file of this folder
    "problems": "explore",
    "solve": "explore",
    "surrogates": "architectures",
    "train": "learn",
    "prepare": "prepare",
    "falsify": "check",
    "certify": "answers",
    "guard": "answers",
    "serve": "serve",
    "conformal": "statistics",
    "calibrate": "statistics",
    "probability": "statistics",
    "shifts": "robustness",
    "precision": "robustness",
    "tangent": "tangents",
    "audit": "audit",
    "bench": "bench",
    "sample": "explore",
    "replay": "replaying",
    "report": "report",
    "check": "files",
    "demo": "demo",
    "cache": "cache",
}

ALONE = {  # why verbs that solve take no workers
    "prepare": "each stage is made from the one before it, by factorisations, and hardly any of its time is solves",
    "solve": "it is one solve",
    "replay": "it is one solve",
    "demo": "it shows the times of one process",
}


def why_alone(verb: str) -> str:
    """Why a verb takes no --workers and no --dask."""
    return ALONE.get(verb, "it makes no solves that could be shared")


class Verbs(TyperGroup):
    """The group of all verbs."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._only_listed = False
        self._real: dict[str, Any] = {}
        self.commands = {name: _command(name, _stand_in(doc)) for name, doc in _documented().items()}

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if self._only_listed or cmd_name not in self.commands:
            return self.commands.get(cmd_name)
        if cmd_name not in self._real:
            self._real[cmd_name] = _command(cmd_name, _function(cmd_name))
        return self._real[cmd_name]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with self._listed():
            super().format_commands(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        with self._listed():
            return super().shell_complete(ctx, incomplete)

    @contextmanager
    def _listed(self) -> Iterator[None]:
        self._only_listed = True
        try:
            yield
        finally:
            self._only_listed = False


def _command(name: str, function: Any) -> Any:
    """The command of one function."""
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name)(function)
    return typer.main.get_command(alone)


def _function(name: str) -> Any:
    starting.begin()
    try:
        return getattr(import_module(f"{__package__}.{WHERE[name]}"), name)
    finally:
        starting.over()


def _documented() -> dict[str, str]:
    """The docstrings of the verbs, in order."""
    found: dict[str, str] = {}
    for file in set(WHERE.values()):
        tree = ast.parse(Path(__file__).with_name(f"{file}.py").read_text(encoding="utf-8"))
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        found |= {f.name: ast.get_docstring(f) or "" for f in functions if WHERE.get(f.name) == file}
    return {name: found[name] for name in WHERE}


def _stand_in(doc: str) -> Any:
    """A function that is only asked for its docstring."""

    def verb() -> None:
        raise AssertionError("a verb that is only listed was called")

    verb.__doc__ = doc
    return verb
