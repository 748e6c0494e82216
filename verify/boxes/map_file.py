"""A trust map read from its file, of which nothing is believed before it was checked.

A file is one JSON object in the canonical form in which maps are written, with the hash of its content. It is refused
in one line where it is of another format, was changed after it was written, holds other entries or other kinds of
values, or says what cannot be (``map_checks.py``). Whether its bounds are true is what ``audit`` proves again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ...solvers.box import Box
from ...solvers.files import parse_json, read_text
from .map_checks import check_map
from .trust_map import FORMAT, TrustMap, canonical

LARGEST = 1 << 27  # bytes of a file: a million leaves
OPTIONAL = frozenset({"absolute"})
KEYS = OPTIONAL | {
    *("format", "problem", "settings", "box", "tolerance", "axis", "children", "bound", "verdicts", "witness"),
    *("witness_lower", "failures", "problem_hash", "model_hash", "seconds", "evaluated", "against", "notes"),
    *("assumptions", "hash"),
}


def load_trust_map(path: str | Path) -> TrustMap:
    """Read a map that ``TrustMap.save`` wrote.

    Raises:
        ValueError: in one line, naming the file: no such file, not a trust map, one that was changed after it was
            written, or one that says what cannot be (``map_checks.check_map``).
    """
    try:
        text = read_text(path, LARGEST)
        data = parse_json(text)
        if type(data) is not dict or type(data.get("format")) is not int:
            raise ValueError("it has no format number")
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']} is not known, only {FORMAT}")
        if text != canonical(data):
            raise ValueError("it was changed after it was written: its hash does not fit")
        trust = _from_json(data)
        check_map(trust)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} could not be read: {error}") from None
    except (RecursionError, MemoryError):
        raise ValueError(f"{path} is not a trust map: nested too deeply, or too large") from None
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} is not a trust map: {type(error).__name__}: {error}") from None
    return trust


def _from_json(data: dict[str, Any]) -> TrustMap:
    if unknown := set(data) - KEYS:
        raise ValueError(f"unknown entries: {', '.join(map(repr, sorted(unknown)))}")
    if missing := KEYS - OPTIONAL - set(data):
        raise ValueError(f"missing entries: {', '.join(map(repr, sorted(missing)))}")
    for key in ("problem", "against", "problem_hash", "model_hash"):
        _every((data[key],), key, (str,), "text")
    for key in ("notes", "assumptions"):
        _every(data[key], key, (str,), "texts")
    if type(data["settings"]) is not dict or type(data["failures"]) is not dict:
        raise ValueError("'settings' and 'failures' must have names and values")
    box = _box(data["box"])
    d, count = box.dimension, len(data["axis"])
    _every((data["evaluated"],), "evaluated", (int,), "a whole number")
    return TrustMap(
        box=box,
        tolerance=float(_numbers((data["tolerance"],), "tolerance")[0]),
        absolute=float(_numbers((data.get("absolute", 0.0),), "absolute")[0]),
        axis=_whole(data["axis"], "axis"),
        children=_whole([x for pair in _rows(data["children"], 2) for x in pair], "children").reshape(-1, 2),
        bound=_numbers([np.inf if x == "inf" else x for x in data["bound"]], "bound"),
        verdicts=_whole(data["verdicts"], "verdicts"),
        witness=_points(data["witness"], d, "witness"),
        witness_lower=_numbers(data["witness_lower"], "witness_lower"),
        failures=_stored_failures(data["failures"], count, d),
        problem_hash=data["problem_hash"],
        model_hash=data["model_hash"],
        seconds=float(_numbers((data["seconds"],), "seconds")[0]),
        evaluated=data["evaluated"],
        problem_name=data["problem"],
        problem_settings=data["settings"],
        against=data["against"],
        notes=tuple(data["notes"]),
        assumptions=tuple(data["assumptions"]),
    )


def _every(values: Any, key: str, kinds: tuple[type, ...], what: str) -> Any:
    """JSON makes whole numbers of true, and other numbers of 1: a file says exactly what it means, or is refused."""
    if type(values) not in (list, tuple) or not all(type(x) in kinds for x in values):
        raise ValueError(f"{key!r} must be {what}")
    return values


def _numbers(values: Any, key: str) -> Float[np.ndarray, " n"]:
    return np.array([float(x) for x in _every(values, key, (int, float), "numbers")], dtype=float)


def _whole(values: Any, key: str) -> Int[np.ndarray, " n"]:
    return np.array(_every(values, key, (int,), "whole numbers"), dtype=int)


def _rows(values: Any, width: int) -> list[list[Any]]:
    if type(values) is not list or not all(type(row) is list and len(row) == width for row in values):
        raise ValueError(f"a table of {width} columns has rows of another length")
    return values


def _points(values: Any, d: int, key: str) -> Float[np.ndarray, "n d"]:
    return _numbers([x for row in _rows(values, d) for x in row], key).reshape(-1, d)


def _box(data: Any) -> Box:
    keys = ("names", "lower", "upper", "log", "units", "laws")
    if type(data) is not dict or set(data) != set(keys):
        raise ValueError(f"'box' must have the entries {', '.join(keys)}")
    for key in keys:
        kinds = {"lower": (int, float), "upper": (int, float), "log": (bool,)}.get(key, (str,))
        _every(data[key], f"box: {key}", kinds, "texts, numbers, or true and false")
    if len({len(data[key]) for key in keys}) != 1:
        raise ValueError("'box' has entries of different lengths")
    return Box.from_json(data)


def _stored_failures(data: dict[str, Any], count: int, d: int) -> Float[np.ndarray, "M d"]:
    out = np.full((count, d), np.nan)
    for key, x in data.items():
        if not (key.isascii() and key.isdigit() and str(int(key)) == key and int(key) < count):
            raise ValueError(f"'failures' has no node {key!r}")
        out[int(key)] = _points([x], d, "failures")[0]
    return out
