"""A failure on record: the input, the surrogate's field, the error confirmed by the solver; replayable from disk."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as filled
from typing import Any

import numpy as np
from jaxtyping import Float

from ...solvers.identity import SAME, check_fingerprint, says_all
from ...solvers.outputs import Output, find_output
from ...solvers.precision import in_float64
from ...solvers.problem import Problem
from ...solvers.tolerance import Tolerance
from ..answers.evaluate import captured, evaluate
from ..answers.first_call import check_answers
from ..evidence import Evidence
from ..measured_error import exceeds, measured

FORMAT = 1
LARGEST = 1 << 28  # bytes of the fields in one file


@dataclass(frozen=True)
class Counterexample:
    """Where the error exceeds the tolerance. ``error`` is measured against the truth, relative to the solution's size
    (plus ``absolute / tolerance``); ``lower <= error <= upper`` allows for the truth's own residual where that is
    bounded. ``component_errors``: the same of each component by itself, where there are several. ``output``: the name
    of the output that errors are of; "" for those of fields.

    ``finer_error``: the same field's error against the solution on the doubled grid, None where that was not solved;
    ``simplest``: the failing input that this one was shrunk to (``shrinking.py``), as a record of its own.
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
    absolute: float = 0.0
    component_errors: dict[str, float] = filled(default_factory=dict)
    output: str = ""
    fingerprint: str = ""  # of the problem; records of before there was one have none
    finer_error: float | None = None
    simplest: Counterexample | None = None

    @property
    def shrunk(self) -> Float[np.ndarray, " d"] | None:
        """The simplest input known to fail in its stead; None where nothing was shrunk."""
        return None if self.simplest is None else self.simplest.inputs

    @property
    def key(self) -> tuple[Any, ...]:
        """Two records of one key are one."""
        return self.inputs.tobytes(), self.tolerance, self.absolute, self.field.tobytes()

    def __repr__(self) -> str:
        where = ", ".join(f"{x:.6g}" for x in self.inputs)
        return (
            f"Counterexample({self.problem_name} at [{where}]: error {self.error:.4g} against a tolerance of "
            f"{self.tolerance:g}, {self.evidence})"
        )

    def to_json(self) -> dict[str, Any]:
        raw = np.ascontiguousarray(self.field, dtype="<f8").tobytes()
        return {
            "format": FORMAT,
            "problem": self.problem_name,
            "settings": self.problem_settings,
            "fingerprint": self.fingerprint,
            "inputs": [float(x) for x in self.inputs],
            "error": json_number(self.error),
            "lower": json_number(self.lower),
            "upper": json_number(self.upper),
            "evidence": str(self.evidence),
            "tolerance": self.tolerance,
            "absolute": self.absolute,
            "component_errors": {name: json_number(error) for name, error in self.component_errors.items()},
            **({"output": self.output} if self.output else {}),
            **({} if self.finer_error is None else {"finer_error": json_number(self.finer_error)}),
            **({} if self.simplest is None else {"simplest": self.simplest.to_json()}),
            "found": self.found,
            "solver_calls": self.solver_calls,
            "seed": self.seed,
            "dtype": "float64",
            "field": base64.b64encode(zlib.compress(raw, 6)).decode("ascii"),
        }

    @staticmethod
    def from_json(data: Any, most: int = LARGEST) -> Counterexample:
        """Raises ValueError where ``data`` is not such a record, or its field takes more than ``most`` bytes."""
        try:
            if data["format"] != FORMAT:
                raise ValueError(f"format {data['format']} is not known, only {FORMAT}")
            tolerance = float(data["tolerance"])
            if not 0 < tolerance < np.inf:
                raise ValueError(f"the tolerance must be positive and finite, not {tolerance}")
            absolute = float(data.get("absolute", 0.0))  # records made before there were absolute errors have none
            if not 0 <= absolute < np.inf:
                raise ValueError(f"absolute must be zero or positive and finite, not {absolute}")
            raw = np.frombuffer(_unpacked(data["field"], most), dtype="<f8")
            finer, simplest = data.get("finer_error"), data.get("simplest")
            if simplest is not None:  # of one that is the simplest itself there is none
                simplest = Counterexample.from_json({**simplest, "simplest": None}, most - raw.nbytes)
            return Counterexample(
                inputs=np.array([float(x) for x in data["inputs"]]),
                error=float(data["error"]),
                lower=float(data["lower"]),
                upper=float(data["upper"]),
                evidence=Evidence(data["evidence"]),
                tolerance=tolerance,
                found=str(data["found"]),
                solver_calls=int(data["solver_calls"]),
                field=raw.astype(np.float64),
                problem_name=str(data["problem"]),
                problem_settings=dict(data["settings"]),
                seed=int(data["seed"]),
                absolute=absolute,
                fingerprint=str(data.get("fingerprint", "")),
                output=str(data.get("output", "")),
                component_errors={str(k): float(x) for k, x in data.get("component_errors", {}).items()},
                finer_error=None if finer is None else float(finer),
                simplest=simplest,
            )
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError, zlib.error) as error:
            raise ValueError(f"not a counterexample record: {type(error).__name__}: {error}") from None


def _unpacked(text: str, most: int) -> bytes:
    """What was packed into text; few bytes may stand for any number of them."""
    unpacking = zlib.decompressobj()
    raw = unpacking.decompress(base64.b64decode(text, validate=True), most + 1)
    if len(raw) > most:
        raise ValueError(f"its field takes more than {most} bytes, more than any such file's")
    if not unpacking.eof:
        raise ValueError("its field is not whole")
    return raw


def json_number(x: float) -> float | str:
    """JSON has no infinity: infinite and NaN values are written as strings."""
    return float(x) if np.isfinite(x) else str(float(x))


@dataclass(frozen=True)
class Replay:
    """What became of a recorded failure: ``error`` now, and whether it still exceeds the recorded tolerance."""

    record: Counterexample
    error: float
    lower: float
    upper: float
    evidence: Evidence
    absolute: float
    fails: bool | None  # None: the error is not a number, nothing was compared

    def __repr__(self) -> str:
        word = "undecided" if self.fails is None else "fails again" if self.fails else "fails no more"
        return f"Replay({word}: error {self.error:.4g} against {self.record.tolerance:g}, {self.evidence})"


@in_float64
def replay(
    problem: Problem,
    record: Counterexample,
    surrogate: Callable[[Any], Any] | None = None,
    absolute: float | None = None,
    output: Output | None = None,
) -> Replay:
    """Solve the recorded input again and compare with the stored field, or with what ``surrogate`` answers there now.

    Args:
        absolute: another absolute error than the recorded one.
        output: the output that the record is of, where it is one of a user's own (``assay.output``).

    Raises:
        ValueError: the record belongs to another problem, to other settings, to another output or to a solver that
            answers otherwise; ``absolute`` is no such number.
        SolveError: the truth could not be computed.
    """
    if (record.problem_name, record.problem_settings) != (problem.name, problem.settings):
        raise ValueError(
            f"the record is of {record.problem_name} {record.problem_settings}, "
            f"not of {problem.name} {problem.settings}"
        )
    check_fingerprint("the record", record.fingerprint, problem)
    about = _output(problem, record, output)
    allowed = Tolerance.of(
        problem, record.tolerance, record.absolute if absolute is None else absolute, record.output or None
    )
    field = record.field
    if field.shape != (problem.size,) or record.inputs.shape != (problem.inputs.dimension,):
        raise ValueError(
            f"the record is damaged: it holds {record.inputs.size} inputs and a field of {record.field.size} values, "
            f"{problem.name} has {problem.inputs.dimension} and {problem.size}"
        )
    if surrogate is not None:
        model = captured(surrogate)
        check_answers(problem, model)
        field = evaluate(model, record.inputs[None], problem).fields[0]
    truth = np.asarray(problem.solve(record.inputs))
    if output is not None or not says_all(problem, record.fingerprint):  # weights are known by their name alone
        _check_error(problem, record, truth, about)
    error, lower, upper, evidence = measured(problem, about, record.inputs, field, truth, allowed.scale)
    fails = None if np.isnan(error) else exceeds(error, lower, evidence, allowed.relative)
    return Replay(record, error, lower, upper, evidence, allowed.absolute, fails)


def _output(problem: Problem, record: Counterexample, given: Output | None) -> Output | None:
    """The output that a record is of; None for fields."""
    if given is not None and given.name != record.output:
        raise ValueError(f"the record is of {record.output or 'fields'!r}, not of output {given.name!r}")
    return find_output(problem, given or record.output) if record.output else None


def _check_error(problem: Problem, record: Counterexample, truth: np.ndarray, output: Output | None) -> None:
    """The recorded field must have the recorded error against the truth as it is solved now."""
    recorded = Tolerance.of(problem, record.tolerance, record.absolute)
    error = measured(problem, output, record.inputs, record.field, truth, recorded.scale)[0]
    if np.isfinite([error, record.error]).all() and not abs(error - record.error) <= 4 * SAME * (1 + record.error):
        of = f", or of another output {output.name!r}" if output is not None else ""
        raise ValueError(
            f"the record is of another {problem.name}{of}: the field in it had an error of {record.error:.6g}, and has "
            f"{error:.6g} against the solution as it is solved now"
        )
