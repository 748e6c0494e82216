"""A failure on record: the input, the surrogate's field, the error confirmed by the solver; replayable from disk."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..solvers.coercive import CoerciveProblem
from ..solvers.files import replace
from ..solvers.problem import Problem
from .certificate import certifier
from .evidence import Evidence
from .surrogate import evaluate
from .thomson import energy_norm

FORMAT = 1


@dataclass(frozen=True)
class Counterexample:
    """Where the relative error exceeds the tolerance. ``error`` is measured against the truth; ``lower <= error <=
    upper`` allows for the truth's own residual where that is bounded.
    """

    inputs: Float[np.ndarray, " d"]
    error: float
    lower: float
    upper: float
    evidence: Evidence
    tolerance: float
    found: str
    solver_calls: int
    field: Float[np.ndarray, " N"]
    problem_name: str
    problem_settings: dict[str, Any]
    seed: int

    def to_json(self) -> dict[str, Any]:
        raw = np.ascontiguousarray(self.field, dtype="<f8").tobytes()
        return {
            "format": FORMAT,
            "problem": self.problem_name,
            "settings": self.problem_settings,
            "inputs": [float(x) for x in self.inputs],
            "error": json_number(self.error),
            "lower": json_number(self.lower),
            "upper": json_number(self.upper),
            "evidence": str(self.evidence),
            "tolerance": self.tolerance,
            "found": self.found,
            "solver_calls": self.solver_calls,
            "seed": self.seed,
            "dtype": "float64",
            "field": base64.b64encode(zlib.compress(raw, 6)).decode("ascii"),
        }

    @staticmethod
    def from_json(data: Any) -> Counterexample:
        """Raises ValueError where ``data`` is not such a record."""
        try:
            if data["format"] != FORMAT:
                raise ValueError(f"format {data['format']} is not known, only {FORMAT}")
            tolerance = float(data["tolerance"])
            if not 0 < tolerance < np.inf:
                raise ValueError(f"the tolerance must be positive and finite, not {tolerance}")
            field = np.frombuffer(zlib.decompress(base64.b64decode(data["field"], validate=True)), dtype="<f8")
            return Counterexample(
                inputs=np.array([float(x) for x in data["inputs"]]),
                error=float(data["error"]),
                lower=float(data["lower"]),
                upper=float(data["upper"]),
                evidence=Evidence(data["evidence"]),
                tolerance=tolerance,
                found=str(data["found"]),
                solver_calls=int(data["solver_calls"]),
                field=field.astype(np.float64),
                problem_name=str(data["problem"]),
                problem_settings=dict(data["settings"]),
                seed=int(data["seed"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError, zlib.error) as error:
            raise ValueError(f"not a counterexample record: {type(error).__name__}: {error}") from None


def json_number(x: float) -> float | str:
    """JSON has no infinity: infinite and NaN values are written as strings."""
    return float(x) if np.isfinite(x) else str(float(x))


def write_counterexamples(path: str | Path, records: list[Counterexample]) -> None:
    """One JSON object a line, the file replaced in one step: a reader or an interruption never meets half of it."""
    replace(path, "".join(json.dumps(record.to_json()) + "\n" for record in records))


def read_counterexamples(path: str | Path) -> list[Counterexample]:
    """All records of a file.

    Raises:
        ValueError: no such file, or a line that is not a record (its number is named).
    """
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} could not be read: {error}") from None
    records = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            records.append(Counterexample.from_json(json.loads(line)))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    if not records:
        raise ValueError(f"{path} holds no counterexample")
    return records


def measured_error(
    problem: Problem, p: np.ndarray, field: np.ndarray, truth: np.ndarray
) -> tuple[float, float, float, Evidence]:
    """Relative error of a field against a computed truth, with the interval that the truth's own residual leaves."""
    if not np.isfinite(field).all():
        return np.inf, np.inf, np.inf, Evidence.PROVED
    at, v = jnp.asarray(p), problem.prescribe(jnp.asarray(p), jnp.asarray(field))
    size, error = float(problem.norm(at, jnp.asarray(truth))), float(problem.norm(at, jnp.asarray(truth) - v))
    relative = error / size if size > 0 else (np.inf if error > 0 else 0.0)
    if not isinstance(problem, CoerciveProblem):
        return relative, relative, relative, Evidence.OBSERVED
    _, bound, _ = certifier(problem).bounds(p[None], truth[None], 0)
    (size, size_off), (error, error_off) = (
        map(float, energy_norm(problem, at, jnp.asarray(x))) for x in (truth, truth - np.asarray(v))
    )
    b = float(bound.upper[0]) * (1 + 1e-12)
    if not np.isfinite(b + size_off + error_off):
        return relative, 0.0, np.inf, Evidence.OBSERVED
    lower = max(error - error_off - b, 0.0) / (size + size_off + b) * (1 - 1e-15)
    least = size - size_off - b
    upper = (error + error_off + b) / least * (1 + 1e-15) if least > 0 else np.inf
    return relative, lower, upper, Evidence.PROVED


@dataclass(frozen=True)
class Replay:
    """What became of a recorded failure: ``error`` now, and whether it still exceeds the recorded tolerance."""

    record: Counterexample
    error: float
    lower: float
    upper: float
    fails: bool


def replay(problem: Problem, record: Counterexample, surrogate: Callable[[Any], Any] | None = None) -> Replay:
    """Solve the recorded input again and compare with the stored field, or with what ``surrogate`` answers there now.

    Raises:
        ValueError: the record belongs to another problem or to other settings.
        SolveError: the truth could not be computed.
    """
    if (record.problem_name, record.problem_settings) != (problem.name, problem.settings):
        raise ValueError(
            f"the record is of {record.problem_name} {record.problem_settings}, "
            f"not of {problem.name} {problem.settings}"
        )
    field = record.field
    if field.shape != (problem.size,) or record.inputs.shape != (problem.inputs.dimension,):
        raise ValueError(
            f"the record is damaged: it holds {record.inputs.size} inputs and a field of {record.field.size} values, "
            f"{problem.name} has {problem.inputs.dimension} and {problem.size}"
        )
    if surrogate is not None:
        field = evaluate(surrogate, record.inputs[None], problem.size).fields[0]
    truth = np.asarray(problem.solve(record.inputs))
    error, lower, upper, _ = measured_error(problem, record.inputs, field, truth)
    return Replay(record, error, lower, upper, bool(lower > record.tolerance))
