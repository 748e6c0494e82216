"""The picture of each result, which its ``plot()`` asks for through ``solvers/shown/drawn.py``."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from ..solvers.problem import Problem
from ..solvers.problems.catalogue import PROBLEMS, stored_problem
from ..solvers.snapshots.snapshot_file import Snapshots
from ..surrogates.surrogate import Surrogate
from ..verify.boxes.trust_map import TrustMap
from ..verify.certificate import Certificate
from ..verify.falsification import Falsification
from ..verify.guarded import Answer
from ..verify.shifts.shifts import Shifts
from ..verify.statistics.calibration import Calibration
from ..verify.tangent.tangent_map import TangentMap
from .bounds import bounds_figure
from .canvas import Figure
from .failures import Searched, failures_figure
from .learning import learning_figure
from .snapshots import snapshots_figure
from .statistics import calibration_figure, shifts_figure
from .tangents import tangents_figure
from .trust_map import trust_map_figure


def snapshots(found: Snapshots, problem: Problem | None) -> Figure:
    return snapshots_figure(found, problem or _known(found))


def _known(found: Snapshots) -> Problem | None:
    """The problem that they are of, where this library has it; None where its values lie who knows where."""
    if found.problem_name not in PROBLEMS:
        return None
    try:
        made = stored_problem(found.problem_name, found.problem_settings)
    except ValueError:  # settings of another version
        return None
    return made if made.fingerprint == found.fingerprint and made.size == found.fields.shape[1] else None


def surrogate(model: Surrogate) -> Figure:
    if len(model.training.get("curve", [])) < 2:
        raise ValueError(f"this {model.name} surrogate has no learning curve: its training had no steps to speak of")
    return learning_figure(model.training)


def certificate(found: Certificate, errors: Any, tolerance: float | None) -> Figure:
    lower, upper = found.relative_lower, found.relative_upper
    title = f"bounds of the relative error ({found.evidence})"
    if found.output:
        lower, upper = found.output_error(1.0)
        title = f"bounds of the relative error of {found.output!r} ({found.evidence})"
    return bounds_figure(lower, upper, _rows(errors, len(found)), tolerance, title=title)


def _rows(errors: Any, n: int) -> Float[np.ndarray, " n"] | None:
    if errors is None:
        return None
    found = np.asarray(errors, dtype=np.float64)
    if found.shape != (n,):
        raise ValueError(f"errors are one relative error a row, [{n}], not of shape {list(found.shape)}")
    return found


def falsification(result: Falsification) -> Figure:
    if result.box is None:
        raise ValueError("this result does not know the box that was searched: assay.falsify tells it")
    return failures_figure(Searched.of(result, result.box))


def trust_map(trust: TrustMap, point: Any) -> Figure:
    return trust_map_figure(trust, point)


def answer(found: Answer, tolerance: float | None) -> Figure:
    upper = found.error_upper if len(found.error_upper) else found.relative_upper
    lower = np.zeros(len(upper))
    title = f"guarded answers by route: bounds of the error ({found.evidence})"
    return bounds_figure(lower, upper, tolerance=tolerance, routes=found.route, title=title)


def tangents(found: TangentMap) -> Figure:
    if found.box is None:
        raise ValueError("this map does not know the box of its inputs: assay.tangent_map tells it")
    return tangents_figure(found.box, found)


def shifts(found: Shifts) -> Figure:
    return shifts_figure(found)


def calibration(found: Calibration) -> Figure:
    return calibration_figure(found)
