"""Which claims there are: the modules of the folders beside this file. Their words are read without importing them."""

from __future__ import annotations

import ast
import hashlib
import json
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from .claim import Claim, Experiment

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
THEMES = ("trust", "learning", "physics")  # in the order of the page


def files() -> dict[str, Path]:
    """The file of every claim by its name, in the order of the page."""
    found = (path for theme in THEMES for path in sorted((HERE / theme).glob("[!_]*.py")))
    return {path.stem.replace("_", "-"): path for path in found}


def title(theme: str) -> str:
    """What the claims of a folder have in common."""
    return (ast.get_docstring(_tree(HERE / theme / "__init__.py")) or theme).splitlines()[0].rstrip(".")


def words(name: str) -> Claim:
    """What a claim's file says of it.

    Raises:
        ValueError: the file has no ``CLAIM = Claim(...)`` of literals.
    """
    path = files()[name]
    for node in _tree(path).body:
        if _names(node) == ["CLAIM"] and isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            return Claim(**{str(k.arg): ast.literal_eval(k.value) for k in node.value.keywords})
    raise ValueError(f"{path.name} has no CLAIM = Claim(...)")


def experiment(name: str) -> Experiment:
    """The module of a claim: importing it imports what it measures with."""
    path = files()[name]
    return cast(Experiment, import_module(f".{path.parent.name}.{path.stem}", __package__))


def code(name: str) -> str:
    """A hash of what a claim's own file measures with; neither its words nor its verdict and picture change rows."""
    body = [node for node in _tree(files()[name]).body if not {"CLAIM", "verdict", "draw"} & set(_names(node))]
    return hashlib.sha256("".join(map(ast.unparse, body)).encode()).hexdigest()[:12]


def stored(name: str) -> dict[str, Any] | None:
    """The result that the repository holds of a claim, if any."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _names(node: ast.stmt) -> list[str]:
    """What a statement of a module defines."""
    if isinstance(node, ast.Assign):
        return [getattr(target, "id", "") for target in node.targets]
    return [node.name] if isinstance(node, ast.FunctionDef) else []


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
