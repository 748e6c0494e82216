"""Which parts of a box of inputs are certified, falsified, undecided: a binary tree of boxes whose volumes add to one.

All in unit coordinates of the box (logarithmic where an input is): every leaf comes from halvings, so its ends and its
volume are dyadic rationals, exact in float64, and shares of the box are sums of powers of two. A point is looked up by
descending the tree. Each leaf was bounded over a box inflated by 1e-12, so the rounding of a query's own
unit coordinates cannot carry it out of the leaf that its bound was proved for (``lookup.py``)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ..solvers.box import Box
from ..solvers.files import replace
from .clusters import Cluster, Leaves, clusters
from .counterexample import json_number
from .lookup import Lookup

FORMAT = 1
VERDICTS = ("certified", "falsified", "undecided")


@dataclass(frozen=True, eq=False, repr=False)
class TrustMap:
    """Nodes of the tree: ``axis`` is -1 in a leaf; ``children`` [M, 2] the lower and the upper half."""

    box: Box
    tolerance: float
    axis: Int[np.ndarray, " M"]
    children: Int[np.ndarray, "M 2"]
    bound: Float[np.ndarray, " M"]  # proved sup of the relative error over the node's box
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

    def __repr__(self) -> str:
        shares = (self.certified_volume, self.falsified_volume, self.undecided_volume)
        verdicts = ", ".join(f"{100 * share:.4g} % {name}" for name, share in zip(VERDICTS, shares, strict=True))
        return (
            f"TrustMap({self.problem_name}, {', '.join(self.box.names)}: {verdicts} at tolerance {self.tolerance:g}; "
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
        ValueError: no such file, not a trust map, one that was changed after it was written, or one whose tree does not
            hold together.
    """
    try:
        text = Path(path).read_bytes().decode()
        data = json.loads(text)
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']} is not known, only {FORMAT}")
        if text != canonical(data):
            raise ValueError("it was changed after it was written: its hash does not fit")
        d = len(data["box"]["names"])
        trust = TrustMap(
            box=Box.from_json(data["box"]),
            tolerance=float(data["tolerance"]),
            axis=np.array(data["axis"], dtype=int),
            children=np.array(data["children"], dtype=int).reshape(-1, 2),
            bound=np.array([float(x) for x in data["bound"]]),
            verdicts=np.array(data["verdicts"], dtype=int),
            witness=np.array(data["witness"], dtype=float).reshape(-1, d),
            witness_lower=np.array([float(x) for x in data["witness_lower"]]),
            failures=_stored_failures(data["failures"], len(data["axis"]), d),
            problem_hash=str(data["problem_hash"]),
            model_hash=str(data["model_hash"]),
            seconds=float(data["seconds"]),
            evaluated=int(data["evaluated"]),
            problem_name=str(data["problem"]),
            problem_settings=dict(data["settings"]),
            against=str(data["against"]),
            notes=tuple(data["notes"]),
            assumptions=tuple(data["assumptions"]),
        )
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} could not be read: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a trust map: {type(error).__name__}: {error}") from None
    check_tree(trust)
    return trust


def _stored_failures(data: dict[str, Any], count: int, d: int) -> np.ndarray:
    out = np.full((count, d), np.nan)
    for key, x in data.items():
        out[int(key)] = x
    return out


def check_tree(trust: TrustMap) -> None:
    """That every node but the root has one parent before it, every verdict fits its bound, and volumes add to one.

    Raises:
        ValueError: naming what is wrong.
    """
    count, d = len(trust.axis), trust.box.dimension
    shapes = {len(trust.children), len(trust.bound), len(trust.verdicts)}
    if count == 0 or shapes != {count}:
        raise ValueError("the tree's arrays have different lengths")
    inner = np.flatnonzero(trust.axis >= 0)
    if (trust.axis >= d).any():
        raise ValueError("a node is halved along an axis that does not exist")
    children = trust.children[inner]
    if not (np.array_equal(np.sort(children.ravel()), np.arange(1, count)) and (children > inner[:, None]).all()):
        raise ValueError("the nodes do not form one tree")
    leaf = trust.axis < 0
    if not np.isin(trust.verdicts[leaf], (0, 1, 2)).all():
        raise ValueError("a leaf has no verdict")
    if not (trust.bound[leaf & (trust.verdicts == 0)] <= trust.tolerance).all():
        raise ValueError("a certified leaf has a bound above the tolerance")
    if trust.certified_volume + trust.falsified_volume + trust.undecided_volume != 1.0:
        raise ValueError("the volumes do not add to one")
