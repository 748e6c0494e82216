"""Settings from flags and TOML files, inputs from text and CSV files."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from jaxtyping import Float

from ..own_code import names_own_problem
from ..solvers.box import Box
from ..solvers.files import parse_json, read_text
from ..solvers.problems.catalogue import closest
from ..solvers.seed import MOST
from .errors import UserError
from .streams import reserve_stdout

LARGEST = 1 << 20  # bytes of a configuration file


def pairs(texts: Iterable[str], option: str) -> dict[str, Any]:
    """["cells=64", "blocks=2,2"] -> {"cells": 64, "blocks": [2, 2]}; the last one of a key stands."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UserError(f"{option} takes KEY=VALUE, such as {option} cells=64, not {text!r}")
        found[key.strip().replace("-", "_")] = _value(value.strip())
    return found


def _value(text: str) -> Any:
    """JSON where it is JSON, a list where there are commas, else the text itself."""
    try:
        return parse_json(text, nan=True)
    except ValueError:
        return [_value(part.strip()) for part in text.split(",")] if "," in text else text


def _merged(ctx: typer.Context, param: typer.CallbackParam, value: list[str] | None) -> list[str]:
    """What the configuration file says first, so that flags win key by key."""
    configured = (ctx.default_map or {}).get(param.name) or []
    given = list(value or [])
    return given if given == configured else [*configured, *given]


def _read_config(ctx: typer.Context, path: Path | None) -> Path | None:
    """Put a TOML file's values behind the flags, as defaults. Settings only: code to be run is named by the user."""
    if path is None:
        return None
    try:
        data = tomllib.loads(read_text(path, LARGEST))
    except OSError as error:
        raise UserError(f"--config {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"--config {path} is not TOML: {error}") from None
    known: dict[str, Any] = {}
    for param in ctx.command.params:
        for name in (param.name or "", *(option.lstrip("-") for option in param.opts)):
            known[name.replace("-", "_")] = param
    defaults: dict[str, Any] = {}
    for key, value in data.items():
        name = key.replace("-", "_")
        if name not in known or name in ("config", "help"):
            raise UserError(f"--config {path}: {closest(key, set(known) - {'config', 'help'}, 'setting')}")
        for word in value if isinstance(value, list) else [value]:
            if isinstance(word, str) and names_own_problem(word):
                raise UserError(
                    f"--config {path}: {key} = {word!r} names what is run or asked, which no file may: "
                    "say it on the command line"
                )
        param = known[name]
        defaults[str(param.name)] = _default(param, value)
    ctx.default_map = {**(ctx.default_map or {}), **defaults}
    return path


def _default(param: Any, value: Any) -> Any:
    if isinstance(value, dict):  # [set] cells = 64
        return [f"{k}={json.dumps(v)}" for k, v in value.items()]
    if param.multiple or param.nargs == -1:
        return [str(v) for v in value] if isinstance(value, list) else [str(value)]
    return value


def _json(wanted: bool) -> bool:
    if wanted:  # also where a configuration file says so
        reserve_stdout()
    return wanted


Json = Annotated[bool, typer.Option("--json", callback=_json, help="Print JSON on stdout.")]
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE.toml", callback=_read_config, is_eager=True, help="Settings; flags win."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", callback=_merged, help="A setting of the problem, such as cells=64."),
]
Option = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", callback=_merged, help="An option of the surrogate."),
]
At = Annotated[
    list[str] | None,
    typer.Option("--at", metavar="NAME=VALUE,...", help="An input: every name with a value. May be repeated."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, max=MOST, help="Of everything random.")]
ProblemOption = Annotated[
    str | None,
    typer.Option("--problem", metavar="PROBLEM", help="With a surrogate of your own: the problem that it answers."),
]
OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output", metavar="NAME", help="Of this output instead of the field; `assay problems PROBLEM` names them."
    ),
]
Tolerance = Annotated[float, typer.Option("--tolerance", help="The relative error allowed.")]
Absolute = Annotated[
    float | None,
    typer.Option(
        "--absolute",
        help="An error allowed beside it, whatever the solution's size: ||e|| <= ABSOLUTE + TOLERANCE ||u||. Left out: "
        "the problem's own, 0 unless its box holds the zero solution.",
    ),
]


def point(box: Box, text: str) -> Float[np.ndarray, " d"]:
    """ "k00=1,k01=2,..." or "1,2,..." as one input."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    named = [part.partition("=") for part in parts]
    if all(equals for _, equals, _ in named):
        values = {key.strip(): _float(value, f"--at: input {key.strip()!r}") for key, _, value in named}
        for key in values:
            if key not in box.names:
                raise UserError(f"--at: {closest(key, box.names, 'input')}")
        missing = [name for name in box.names if name not in values]
        if missing:
            raise UserError(f"--at needs a value for every input: {', '.join(missing)} missing")
        return np.array([values[name] for name in box.names])
    if any(equals for _, equals, _ in named):
        raise UserError(f"--at takes either NAME=VALUE for every input or values alone, not {text!r}")
    if len(parts) != box.dimension:
        raise UserError(f"--at needs {box.dimension} values ({', '.join(box.names)}), not {len(parts)}")
    return np.array([_float(part, f"--at: input {name!r}") for name, part in zip(box.names, parts, strict=True)])


def _float(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{where}: {text.strip()!r} is not a number") from None


def box_inside(box: Box, texts: Iterable[str]) -> Box:
    """["k00=0.5:2", ...]: the box with these inputs narrowed."""
    lower, upper = box.lower.copy(), box.upper.copy()
    for text in texts:
        for part in text.split(","):
            key, equals, ends = part.partition("=")
            low, colon, high = ends.partition(":")
            if not (equals and colon):
                raise UserError(f"--box takes NAME=LOW:HIGH, not {part!r}")
            if key.strip() not in box.names:
                raise UserError(f"--box: {closest(key.strip(), box.names, 'input')}")
            i = box.names.index(key.strip())
            lower[i], upper[i] = _float(low, f"--box: input {key!r}"), _float(high, f"--box: input {key!r}")
    inside = box.replace(lower=lower, upper=upper)
    if not box.contains(np.stack([lower, upper])).all():
        raise UserError("--box reaches beyond the problem's own box; `assay problems` shows it")
    return inside


def read_inputs(box: Box, path: Path) -> Float[np.ndarray, "n d"]:
    """The rows of a CSV file; its first line may name the inputs, in any order.

    Raises:
        UserError: no such file, a row of another length, something that is not a number (line and column are named).
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            lines = [(i, row) for i, row in enumerate(csv.reader(stream), start=1) if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file: {error}") from None
    if not lines:
        raise UserError(f"{path} holds no inputs")
    order = list(range(box.dimension))
    head = [cell.strip() for cell in lines[0][1]]
    if not _is_number(head[0]):
        for name in head:
            if name not in box.names:
                raise UserError(f"{path}, line {lines[0][0]}: {closest(name, box.names, 'input')}")
        if sorted(head) != sorted(box.names):
            raise UserError(f"{path}: its first line must name every input once: {', '.join(box.names)}")
        order = [head.index(name) for name in box.names]
        lines = lines[1:]
        if not lines:
            raise UserError(f"{path} names the inputs but holds no rows")
    P = np.empty((len(lines), box.dimension))
    for i, (number, row) in enumerate(lines):
        if len(row) != box.dimension:
            raise UserError(f"{path}, line {number}: {len(row)} values instead of {box.dimension}")
        P[i] = [_float(row[j], f"{path}, line {number}, input {box.names[k]!r}") for k, j in enumerate(order)]
    return P


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
