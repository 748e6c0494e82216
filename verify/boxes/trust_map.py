"""Which parts of a box of inputs are certified, falsified, undecided: a binary tree of boxes whose volumes add to one.

All in unit coordinates of the box (logarithmic where an input is): every leaf comes from halvings, so its ends and its
volume are dyadic rationals, exact in float64, and shares of the box are sums of powers of two. A point is looked up by
descending the tree. Each leaf was bounded over a box inflated by 1e-12, so the rounding of a query's own
unit coordinates cannot carry it out of the leaf that its bound was proved for (``lookup.py``)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ...solvers.box import Box
from ...solvers.files import parse_json, read_text, replace
from ..search.counterexample import json_number
from .clusters import Cluster, Leaves, clusters
from .lookup import Lookup
from .map_checks import check_map

FORMAT = 1
LARGEST = 1 << 27  # bytes of a file: a million leaves
VERDICTS = ("certified", "falsified", "undecided")
OPTIONAL = frozenset({"absolute"})
KEYS = OPTIONAL | {
    *("format", "problem", "settings", "box", "tolerance", "axis", "children", "bound", "verdicts", "witness"),
    *("witness_lower", "failures", "problem_hash", "model_hash", "seconds", "evaluated", "against", "notes"),
    *("assumptions", "hash"),
}


@dataclass(frozen=True, eq=False, repr=False)
class TrustMap:
    """Nodes of the tree: ``axis`` is -1 in a leaf; ``children`` [M, 2] the lower and the upper half."""

    box: Box
    tolerance: float
    axis: Int[np.ndarray, " M"]
    children: Int[np.ndarray, "M 2"]
    bound: Float[np.ndarray, " M"]  # proved sup over the node's box of ||e|| / (scale + ||u||)
    verdicts: Int[np.ndarray, " M"]  # index into VERDICTS, of leaves
    witness: Float[np.ndarray, "w d"]  # confirmed inputs, unit coordinates
    witness_lower: Float[np.ndarray, " w"]  # proved lower ends of their errors
    seconds: float
    evaluated: int  # boxes bounded
    problem_name: str
    problem_settings: dict[str, Any]
    against: str
    notes: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = field(default=())
    failures: Float[np.ndarray, "M d"] | None = None  # of falsified leaves: a point of proved failure, unit coordinates
    problem_hash: str = ""
    model_hash: str = ""
    absolute: float = 0.0  # beside the tolerance: within is ||e|| <= absolute + tolerance ||u||

    @property
    def scale(self) -> float:
        """What is added to the size of the solution in the errors of this map, which are relative where it is zero."""
        return self.absolute / self.tolerance

    @cached_property
    def lookup(self) -> Lookup:
        """Finds the leaf of an input."""
        return Lookup(self.box, self.axis, self.children)

    def leaves(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(node numbers, lower ends, upper ends) of all leaves, in unit coordinates."""
        numbers = np.flatnonzero(self.axis < 0)
        return numbers, self.lookup.low[numbers], self.lookup.high[numbers]

    def clusters(self, verdict: str) -> tuple[Cluster, ...]:
        """The leaves of one verdict as few boxes, largest first; their volumes add to the verdict's.

        Raises:
            ValueError: no such verdict.
        """
        if verdict not in VERDICTS:
            raise ValueError(f"a verdict is one of {', '.join(VERDICTS)}, not {verdict!r}")
        numbers, low, high = self.leaves()
        chosen = self.verdicts[numbers] == VERDICTS.index(verdict)
        of = numbers[chosen]
        leaves = Leaves(low[chosen], high[chosen], self.bound[of], self.failure_points[of], self._branches()[of])
        return clusters(self.box, leaves, self.witness, self.witness_lower)

    def copied(self) -> TrustMap:
        """The same with arrays of its own, and nothing remembered of the old ones."""
        arrays: dict[str, Any] = {key: np.array(x) for key, x in vars(self).items() if isinstance(x, np.ndarray)}
        return dataclasses.replace(self, **arrays)

    def __repr__(self) -> str:
        shares = (self.certified_volume, self.falsified_volume, self.undecided_volume)
        verdicts = ", ".join(f"{100 * share:.4g} % {name}" for name, share in zip(VERDICTS, shares, strict=True))
        return (
            f"TrustMap({self.problem_name}, {', '.join(self.box.names)}: {verdicts} at tolerance {self.tolerance:g}"
            f"{f', absolute {self.absolute:g}' if self.absolute else ''}; "
            f"largest error in [{self.relative_lower:.4g}, {self.relative_upper:.4g}]; {self.boxes} boxes"
            f"{''.join(f'; {note}' for note in self.notes)})"
        )

    def _branches(self) -> np.ndarray:
        """Of every leaf: the node nearest to the root below which all leaves have its verdict."""
        inner = np.flatnonzero(self.axis >= 0).tolist()
        verdict, children = np.where(self.axis < 0, self.verdicts, -1).tolist(), self.children.tolist()
        for node in reversed(inner):  # children come after their parents
            below, above = (verdict[child] for child in children[node])
            verdict[node] = below if below == above else -1
        out = list(range(len(self.axis)))
        for node in inner:
            if verdict[node] >= 0:
                for child in children[node]:
                    out[child] = out[node]
        return np.array(out)

    def _volume(self, verdict: int) -> float:
        numbers, low, high = self.leaves()
        depth = (1 - np.frexp(high - low)[1]).sum(axis=1)  # halvings above each leaf: its volume is 2^-depth
        counts = np.bincount(depth[self.verdicts[numbers] == verdict]).tolist()
        return sum(count << (len(counts) - 1 - k) for k, count in enumerate(counts)) / (1 << max(len(counts) - 1, 0))

    @property
    def certified_volume(self) -> float:
        """Share of the box, in the inputs' own scale, where the error is proved to be within the tolerance."""
        return self._volume(0)

    @property
    def falsified_volume(self) -> float:
        return self._volume(1)

    @property
    def undecided_volume(self) -> float:
        return self._volume(2)

    @property
    def boxes(self) -> int:
        """Number of leaves."""
        return int((self.axis < 0).sum())

    @property
    def relative_upper(self) -> float:
        """The largest error possible, over the box."""
        return float(self.bound[self.axis < 0].max())

    @property
    def relative_lower(self) -> float:
        """The largest error found, confirmed by the solver."""
        return float(self.witness_lower.max()) if len(self.witness_lower) else 0.0

    def _leaf_of(self, P: Any) -> np.ndarray:
        """The leaf of every row, -1 outside the box."""
        return self.lookup(self.box.rows(P))

    def verdict(self, P: Any) -> np.ndarray:
        """ "certified", "falsified" or "undecided" for every row of P [n, d]; outside the box: undecided."""
        leaf = self._leaf_of(P)
        return np.where(leaf >= 0, np.array(VERDICTS)[self.verdicts[leaf]], VERDICTS[2])

    def relative_upper_at(self, P: Any) -> Float[np.ndarray, " n"]:
        """The proved bound of the leaf that each row lies in; infinite only where none could be given."""
        leaf = self._leaf_of(P)
        return np.where(leaf >= 0, self.bound[leaf], np.inf)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "problem": self.problem_name,
            "settings": self.problem_settings,
            "box": self.box.to_json(),
            "tolerance": self.tolerance,
            **({"absolute": self.absolute} if self.absolute else {}),
            "axis": self.axis.tolist(),
            "children": self.children.tolist(),
            "bound": [json_number(x) for x in self.bound],
            "verdicts": self.verdicts.tolist(),
            "witness": self.witness.tolist(),
            "witness_lower": [json_number(x) for x in self.witness_lower],
            "failures": {str(i): x.tolist() for i, x in enumerate(self.failure_points) if np.isfinite(x).all()},
            "problem_hash": self.problem_hash,
            "model_hash": self.model_hash,
            "seconds": self.seconds,
            "evaluated": self.evaluated,
            "against": self.against,
            "notes": list(self.notes),
            "assumptions": list(self.assumptions),
        }

    @property
    def failure_points(self) -> Float[np.ndarray, "M d"]:
        """``failures``, NaN where there are none."""
        return np.full((len(self.axis), self.box.dimension), np.nan) if self.failures is None else self.failures

    def save(self, path: str | Path) -> None:
        """One JSON file in canonical form with the hash of its content, replaced in one step."""
        replace(path, canonical(self.to_json()))


def canonical(content: dict[str, Any]) -> str:
    """The one way in which a map is written, its hash included: any changed byte shows."""
    content = {key: value for key, value in content.items() if key != "hash"}
    digest = hashlib.sha256(_compact(content).encode()).hexdigest()
    return _compact({**content, "hash": digest}) + "\n"


def _compact(content: Any) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def load_trust_map(path: str | Path) -> TrustMap:
    """The saved map.

    Raises:
        ValueError: no such file, not a trust map, one that was changed after it was written, or one that says what
            cannot be (``map_checks.check_map``).
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
