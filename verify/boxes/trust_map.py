"""Which parts of a box of inputs are certified, falsified, undecided: a binary tree of boxes whose volumes add to one.

All in unit coordinates of the box (logarithmic where an input is): every leaf comes from halvings, so its ends and its
volume are dyadic rationals, exact in float64, and shares of the box are sums of powers of two. A point is looked up by
descending the tree. Each leaf was bounded over a box inflated by 1e-12, so the rounding of a query's own
unit coordinates cannot carry it out of the leaf that its bound was proved for (``lookup.py``).

Here: what a map is, what can be asked of it, and how it is written. ``tree.py`` is the tree while it grows,
``clusters.py`` merges leaves into few boxes, ``map_file.py`` reads files.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from ...solvers.box import Box
from ...solvers.files import replace
from ...solvers.shown.drawn import drawn
from ...solvers.shown.table import html_table
from ..search.counterexample import json_number
from .clusters import Cluster, Leaves, branches, clusters
from .lookup import Lookup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMAT = 1
VERDICTS = ("certified", "falsified", "undecided")


@dataclass(frozen=True, eq=False, repr=False)
class TrustMap:
    """The result of ``certify_box``: a proved bound of the surrogate's error for every leaf of a tree of boxes.

    The error is ||e|| / (scale + ||u||) in the problem's norm, relative where ``scale`` is zero, of the discrete truth
    (``against``). Its M nodes are numbered from the root, 0, parents before their halves.
    """

    box: Box  # of inputs, the root
    tolerance: float
    axis: Int[np.ndarray, " M"]  # along which a node is halved, in its middle; -1 in a leaf
    children: Int[np.ndarray, "M 2"]  # the lower and the upper half; -1 in a leaf
    bound: Float[np.ndarray, " M"]  # proved sup over the node's box of ||e|| / (scale + ||u||)
    verdicts: Int[np.ndarray, " M"]  # index into VERDICTS, of leaves
    witness: Float[np.ndarray, "w d"]  # confirmed inputs, unit coordinates
    witness_lower: Float[np.ndarray, " w"]  # proved lower ends of their errors
    seconds: float  # that the proof took, compiling apart
    evaluated: int  # boxes bounded
    problem_name: str
    problem_settings: dict[str, Any]
    against: str  # what the error is measured against, in words
    notes: tuple[str, ...] = ()  # why it ended, and why nothing is proved where nothing is
    assumptions: tuple[str, ...] = field(default=())  # that the bounds stand on
    failures: Float[np.ndarray, "M d"] | None = None  # of falsified leaves: a point of proved failure, unit coordinates
    problem_hash: str = ""  # ``Proof.problem_hash``; empty where no proof was begun
    model_hash: str = ""  # ``fingerprint.of_model``: basis and program of the coefficients
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
        """(node numbers [n], lower ends [n, d], upper ends [n, d]) of all leaves, in unit coordinates."""
        numbers = np.flatnonzero(self.axis < 0)
        return numbers, self.lookup.low[numbers], self.lookup.high[numbers]

    def clusters(self, verdict: str) -> tuple[Cluster, ...]:
        """The leaves of one verdict merged into few boxes, largest first. Their volumes add to the verdict's.

        Raises:
            ValueError: no such verdict.
        """
        if verdict not in VERDICTS:
            raise ValueError(f"a verdict is one of {', '.join(VERDICTS)}, not {verdict!r}")
        numbers, low, high = self.leaves()
        chosen = self.verdicts[numbers] == VERDICTS.index(verdict)
        of = numbers[chosen]
        branch = branches(self.axis, self.children, self.verdicts)
        leaves = Leaves(low[chosen], high[chosen], self.bound[of], self.failure_points[of], branch[of])
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

    def _repr_html_(self) -> str:
        shares = (self.certified_volume, self.falsified_volume, self.undecided_volume)
        rows = {
            "tolerance": self.tolerance,
            "absolute": self.absolute or None,
            **{name: f"{100 * share:.4g} %" for name, share in zip(VERDICTS, shares, strict=True)},
            "largest error, at least": self.relative_lower,
            "largest error, at most": self.relative_upper,
            "boxes": self.boxes,
            "notes": self.notes or None,
        }
        return html_table(f"Trust map of {self.problem_name}: {self.box.listed}", rows)

    def plot(self, path: str | os.PathLike[str] | None = None, point: Any = None) -> Figure:
        """What is certified, falsified, undecided, and the proved bound; of more than two inputs slices through a
        point [d], the worst input found if none is given.

        Raises:
            ValueError: a point outside the box; a picture of another format.
        """
        return drawn("trust_map", path, self, point)

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
        """Share of the box in leaves that hold a proved failure and are too narrow to halve any further."""
        return self._volume(1)

    @property
    def undecided_volume(self) -> float:
        """Share of the box where neither is known."""
        return self._volume(2)

    @property
    def boxes(self) -> int:
        """Number of leaves."""
        return int((self.axis < 0).sum())

    @property
    def relative_upper(self) -> float:
        """The largest error possible over the box: proved, and infinite where no bound is known."""
        return float(self.bound[self.axis < 0].max())

    @property
    def relative_lower(self) -> float:
        """The largest error found: proved from below, confirmed by the solver; 0 where none was."""
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
        """The content of its file, the hash apart."""
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
        """Write one JSON file in canonical form with the hash of its content, replaced in one step.

        Raises:
            OSError: it could not be written.
        """
        replace(path, canonical(self.to_json()))


def canonical(content: dict[str, Any]) -> str:
    """The one way in which a map is written, its hash included: any changed byte shows."""
    content = {key: value for key, value in content.items() if key != "hash"}
    digest = hashlib.sha256(_compact(content).encode()).hexdigest()
    return _compact({**content, "hash": digest}) + "\n"


def _compact(content: Any) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
