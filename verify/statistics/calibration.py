"""``Calibration``: which answers of one surrogate may be accepted without a proof, and how sure that is; and its file.

A file is an uncompressed .npz archive of plain arrays, the words among them one JSON text, so that reading it runs
nothing. It carries a hash of its content and what its owner is known by: a hash of the problem's name, settings and
matrices; of a solver of the user's own one solution, which is solved again; and of the
surrogate's answers at the draws their projections on fixed directions, with which its answers now are compared; so of
another surrogate whose disagreement is the signal. Training inputs whose distance is the signal are in it themselves.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ...solvers.box import Box
from ...solvers.files import parse_json, read_arrays, replace
from ...solvers.identity import check_rows, differences
from ...solvers.problem import Problem
from ...solvers.shown.drawn import drawn
from ...solvers.shown.table import html_table
from ...solvers.snapshots.snapshot_file import as_json
from ...solvers.tolerance import Tolerance
from ..answers.evaluate import evaluate
from .thresholds import p_value

FORMAT = "assay-calibration-1"
DIRECTIONS = 8
SAME = 1e-5  # of an answer's size: what other batches, threads and machines may change
if TYPE_CHECKING:
    from matplotlib.figure import Figure

ARRAYS = ("inputs", "errors", "signals", "sketches", "witness")
ASKED = ("beside", "trained_at")  # arrays of signals that somebody asked for; empty of others, and in no file then
NONE = np.zeros((0, 0))
CONSTANT, COMMITTEE, DISAGREEMENT, DISTANCE = "constant", "committee", "disagreement", "distance"
SIGNALS = {
    "bound": "the proved bound of the error",
    "residual": "the size of the residual",
    "error bar": "the surrogate's own error bar",
    COMMITTEE: "the error that an ensemble expects which learnt from half of the draws",
    DISAGREEMENT: "the distance from another surrogate's answer",
    DISTANCE: "the distance from the inputs that the surrogate learnt from",
    CONSTANT: "nothing: all of them or none",
}


@dataclass(frozen=True, eq=False, repr=False)
class Calibration:
    """Answers whose signal is at most ``threshold`` are accepted: -inf where no threshold qualified, inf for all.

    Of ``n`` draws with a solution the ``accepted`` ones tested the threshold, ``failed`` of these failed; ``share``:
    what share of inputs is accepted, by other draws. The first ``trained`` rows trained the signal. ``inputs``,
    ``errors`` and ``signals`` are of all draws.
    """

    problem_name: str
    problem_settings: dict[str, Any]
    solver_hash: str
    law: str  # what inputs the statement is about
    box: Box
    tolerance: float
    absolute: float
    miscoverage: float
    confidence: float
    seed: int
    signal: str  # a key of SIGNALS
    threshold: float
    accepted: int
    failed: int
    share: float
    trained: int
    inputs: Float[np.ndarray, "n d"]
    errors: Float[np.ndarray, " n"]
    signals: Float[np.ndarray, " n"]
    sketches: Float[np.ndarray, "n directions"]
    witness: Float[np.ndarray, " N"]  # the solution at the first of ``inputs``
    notes: tuple[str, ...] = ()
    beside: Float[np.ndarray, "n directions"] = field(default_factory=lambda: NONE)  # sketches of the other's answers
    trained_at: Float[np.ndarray, "m d"] = field(default_factory=lambda: NONE)

    @property
    def n(self) -> int:
        """How many draws it rests on."""
        return len(self.inputs)

    @property
    def qualifies(self) -> bool:
        """Whether anything may be accepted."""
        return self.threshold > -math.inf

    @property
    def words(self) -> str:
        """The statement, in a sentence."""
        if not self.qualifies:
            return (
                f"no threshold qualified in {self.n} draws at confidence {self.confidence:g}: nothing is accepted "
                "without a proof"
            )
        beside = f" and absolute {self.absolute:.3g}" if self.absolute else ""
        return (
            f"statistical, not proved: with confidence {self.confidence:g} at most the share {self.miscoverage:g} of "
            f"the answers accepted by {SIGNALS[self.signal]} is beyond the tolerance {self.tolerance:g}{beside}, over "
            f"{self.law} (n = {self.n} draws; {self.failed} of the {self.accepted} that tested the threshold failed)"
        )

    def __repr__(self) -> str:
        return f"Calibration({self.problem_name}, {self.share:.3g} of inputs accepted: {self.words})"

    def _repr_html_(self) -> str:
        rows = {
            "statement": self.words,
            "share accepted": self.share if self.qualifies else None,
            "tolerance": self.tolerance,
            "confidence": self.confidence,
            "draws": self.n,
            "notes": self.notes or None,
        }
        return html_table(f"Calibration of {self.problem_name}", rows)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Errors of the draws over their signals: what is accepted, and what of it is beyond the tolerance."""
        return drawn("calibration", path, self)

    @property
    def hash(self) -> str:
        """SHA-256 of all that it says."""
        digest = hashlib.sha256(json.dumps(self._about(), sort_keys=True).encode())
        for name in self._arrays:
            array = np.ascontiguousarray(getattr(self, name), dtype="<f8")
            digest.update(f"{name}{list(array.shape)}".encode())
            digest.update(array.data)
        return digest.hexdigest()

    def save(self, path: str | Path) -> Path:
        """Write the file in one step; ``load_calibration`` reads it.

        Raises:
            OSError: it cannot be written.
        """
        about = json.dumps({**self._about(), "hash": self.hash}, sort_keys=True)
        words = np.frombuffer(about.encode(), dtype=np.uint8)
        arrays = {name: getattr(self, name) for name in self._arrays}
        replace(path, lambda stream: np.savez(stream, about=words, **arrays))
        return Path(path)

    @property
    def _arrays(self) -> tuple[str, ...]:
        return (*ARRAYS, *(name for name in ASKED if getattr(self, name).size))

    def _about(self) -> dict[str, Any]:
        kept = {k: v for k, v in vars(self).items() if k not in (*ARRAYS, *ASKED)}
        threshold = self.threshold if math.isfinite(self.threshold) else str(self.threshold)
        return as_json(
            {**kept, "format": FORMAT, "box": self.box.to_json(), "threshold": threshold, "notes": list(self.notes)}
        )

    def check(self, problem: Problem, surrogate: Any, allowed: Tolerance, label: str, other: Any = None) -> bool:
        """That this is a calibration of these; whether the law of the problem's inputs is the calibrated one.

        Args:
            other: the surrogate whose disagreement is the signal.

        Raises:
            ValueError: it is of another problem, surrogate, signal or tolerance; what differs is named.
        """
        if (self.signal == DISAGREEMENT) != (other is not None):
            remedy = "give that one as" if other is None else "leave out"
            raise ValueError(f"{label} is by {SIGNALS[self.signal]}: {remedy} beside= (--beside)")
        shape = (self.inputs.shape[1], *self.witness.shape)
        if self.solver_hash != solver_hash(problem) or shape != (problem.inputs.dimension, problem.size):
            differ = differences(self.problem_settings, problem.settings)
            what = f"{', '.join(differ)}" if differ else "its name, matrices or inputs differ"
            if self.problem_name != problem.name:
                what = f"it is about {self.problem_name}"
            raise ValueError(f"{label} is of another problem than this {problem.name}: {what}. Calibrate this one")
        if (self.tolerance, self.absolute) != (allowed.relative, allowed.absolute):
            raise ValueError(
                f"{label} is for the tolerance {self.tolerance:g} (absolute {self.absolute:g}), not for "
                f"{allowed.relative:g} (absolute {allowed.absolute:g}): calibrate for that, or guard with these"
            )
        if self.box.names != problem.inputs.names:
            raise ValueError(f"{label} is of inputs {self.box.listed}, not {problem.inputs.listed}: calibrate anew")
        if self.box.to_json() != problem.inputs.to_json():
            return False
        check_rows(label, problem, SimpleNamespace(fingerprint="", inputs=self.inputs[:1], fields=self.witness[None]))
        for said, one, remedy in (("of", surrogate, ""), ("beside", other, "beside= (--beside) ")):
            row = None if one is None else self.other_answer(problem, one, beside=bool(remedy))
            if row is not None:
                raise ValueError(
                    f"{label} is {said} another surrogate: at {self.box.named(self.inputs[row])} this one answers "
                    f"otherwise. Calibrate {remedy}this one"
                )
        return True

    def other_answer(
        self, problem: Problem, surrogate: Any, rows: int | None = None, beside: bool = False
    ) -> int | None:
        """The first of the draws, or of the first ``rows`` of them, at which the surrogate answers otherwise;
        ``beside``: the one whose disagreement is the signal.
        """
        then = (self.beside if beside else self.sketches)[:rows]
        now = sketch(evaluate(surrogate, self.inputs[:rows], problem).fields)
        with np.errstate(invalid="ignore"):
            near = np.abs(now - then) <= SAME * np.nan_to_num(then[:, -1:])
        same = (near | (now == then) | (np.isnan(now) & np.isnan(then))).all(axis=1)
        return None if same.all() else int(np.argmin(same))


def sketch(fields: Float[np.ndarray, "n N"]) -> Float[np.ndarray, "n directions"]:
    """What answers are known by: their projections on random directions, and their largest values."""
    size = fields.shape[1]
    signs = np.random.default_rng(8).choice([-1.0, 1.0], (size, DIRECTIONS))
    with np.errstate(over="ignore", invalid="ignore"):
        return np.column_stack([fields @ signs / np.sqrt(size), np.abs(fields).max(axis=1)])


def solver_hash(problem: Problem) -> str:
    """Of all that ``Problem.fingerprint`` tells a problem by, but its box."""
    about = [problem.name, type(problem).__qualname__, problem.settings, list(problem.shape), problem.identity()]
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()


def load_calibration(path: str | Path) -> Calibration:
    """Read a calibration that ``Calibration.save`` wrote.

    Raises:
        ValueError: in one line, naming the file: no such file, no calibration, one that was changed after it was
            written, or one that says what cannot be.
    """
    try:
        arrays = read_arrays(path)
        about = parse_json(arrays["about"].tobytes())
        made = _made(about, arrays)
        if about["hash"] != made.hash:
            raise ValueError("it was changed after it was written: its hash does not fit")
        return made
    except OSError as error:
        raise ValueError(f"{path} could not be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, EOFError, AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        why = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} is no calibration: {why}") from None


def _made(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> Calibration:
    if about["format"] != FORMAT:
        raise ValueError(f"format {about['format']!r} is not known, only {FORMAT!r}")
    kinds = {
        **dict.fromkeys(("problem_name", "solver_hash", "signal", "law"), str),
        **dict.fromkeys(("tolerance", "absolute", "miscoverage", "confidence", "share"), float),
        **dict.fromkeys(("seed", "accepted", "failed", "trained"), int),
    }
    for key, kind in kinds.items():
        if type(about[key]) is not kind:
            raise ValueError(f"{key!r} must be of type {kind.__name__}")
    threshold = about["threshold"]
    if threshold not in ("inf", "-inf") and not (type(threshold) is float and math.isfinite(threshold)):
        raise ValueError("'threshold' must be a number")
    if type(about["problem_settings"]) is not dict or not all(type(x) is str for x in about["notes"]):
        raise ValueError("'problem_settings' must have names and values, 'notes' be texts")
    names = (*ARRAYS, *(name for name in ASKED if name in arrays))
    stored: dict[str, Any] = {name: np.asarray(arrays[name], dtype=np.float64) for name in names}
    made = Calibration(
        **{key: about[key] for key in kinds},
        problem_settings=about["problem_settings"],
        threshold=float(threshold),
        box=Box.from_json(about["box"]),
        notes=tuple(about["notes"]),
        **stored,
    )
    _check(made)
    return made


def _check(made: Calibration) -> None:
    n, d = made.n, made.box.dimension
    shapes = [getattr(made, name).shape for name in ARRAYS[:4]]
    if n < 1 or shapes != [(n, d), (n,), (n,), (n, DIRECTIONS + 1)] or made.witness.ndim != 1:
        raise ValueError("its arrays have other shapes than a calibration's")
    finite = 0 < made.tolerance < math.inf and 0 <= made.absolute < math.inf and made.seed >= 0
    if not (finite and made.box.contains(made.inputs).all()):
        raise ValueError("its tolerances, seed or inputs cannot be")
    if not (0 < made.miscoverage < 1 and 0 < made.confidence < 1) or made.signal not in SIGNALS:
        raise ValueError("its miscoverage, confidence or signal cannot be")
    other, learnt = (made.signal == kind for kind in (DISAGREEMENT, DISTANCE))
    learnt_at = (max(made.trained_at.shape[0], 1), d) if learnt else NONE.shape
    if (made.beside.shape, made.trained_at.shape) != (made.sketches.shape if other else NONE.shape, learnt_at):
        raise ValueError("its arrays do not fit its signal")
    if not (made.signal == COMMITTEE) <= made.trained < n:
        raise ValueError("the number of rows that trained its signal cannot be")
    if made.qualifies and (made.accepted, made.failed) != counts(made):
        raise ValueError("how many draws failed is not what its errors say")
    if made.qualifies and p_value(made.accepted, made.failed, made.miscoverage) > 1 - made.confidence:
        raise ValueError("its threshold does not qualify by its own draws")


def counts(c: Calibration) -> tuple[int, int]:
    """How many draws tested the threshold, and how many of these failed, by errors and signals."""
    first = 0 if c.threshold == math.inf else c.trained
    answered = np.isfinite(c.sketches[first:, -1])
    taken = answered & (c.signals[first:] <= c.threshold)
    return int(taken.sum()), int((taken & ~(c.errors[first:] <= c.tolerance)).sum())
