"""``certify``: proved two-sided bounds of a surrogate's error against the discrete truth, at points.

Order of business for every field: finiteness first (a NaN or infinity anywhere, boundary included, means an infinite
bound); then prescribed values are overwritten by the problem's own; then that same array is certified, and returned by
whoever answers with it. The largest overwritten change is reported: overwriting may raise the error (a jump within one
cell)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool

from ..solvers.foreign import call_foreign
from ..solvers.identity import check_problem
from ..solvers.outputs import Output, find_output
from ..solvers.precision import in_float64
from ..solvers.problem import Problem
from .answers.evaluate import as_float64, captured, evaluate
from .answers.first_call import check_answers
from .certificate import Certificate, certificate_of
from .proofs.bounds import OutputBounds, only_where
from .proofs.proof import Proof
from .proofs.prover import unchanged

STEPS = 2  # CG steps of the default bound
NOT_FINITE = "fields with values that are NaN or infinite: nothing is proved there"


@in_float64
def certify(
    problem: Problem,
    surrogate: Callable[[Any], Any] | Any,
    P: Any,
    *,
    steps: int = STEPS,
    output: str | Output | None = None,
) -> Certificate:
    """Proved bounds of a surrogate's error at the inputs P [n, d].

    Args:
        surrogate: any callable P -> [n, N], called once per query, or the fields themselves as an array [n, N].
        steps: CG steps that sharpen the bound; 0 is one reference solve. How sharp:
            ``benchmarks/soundness/effectivity.py``.
        output: the name of an output of the problem (``problem.outputs``), or one made by ``assay.output``: it is
            bounded, too, in ``output_lower`` and ``output_upper`` of what is returned.

    Returns:
        Bounds of n errors, infinite where nothing is proved; ``notes`` say why.

    Raises:
        ValueError: P is not [n, d], NaN or infinite; an array of fields of another shape; an unknown output.
        RuntimeError: float64 is switched off, or foreign code changed the arithmetic for good.
    """
    start = time.perf_counter()
    check_problem(problem)
    P = problem.inputs.rows(P)
    proof = unchanged(problem)
    wanted = None if output is None else find_output(proof.problem, output)
    if callable(surrogate):
        surrogate = captured(surrogate)
        check_answers(problem, surrogate, may_raise=True)
        evaluation = evaluate(surrogate, P, problem)
        fields, notes = evaluation.fields, list(evaluation.trouble)
    else:
        said: dict[str, None] = {}
        fields = call_foreign(as_float64, surrogate, whose="the array of fields", said=said)
        if fields.shape != (len(P), problem.size):
            raise ValueError(f"fields must have shape {[len(P), problem.size]}, not {list(fields.shape)}")
        notes = list(said)
    inside = problem.inputs.contains(P)
    if not inside.all():
        notes.append(f"{int((~inside).sum())} inputs are outside the problem's box: nothing is proved there")
    notes += proof.prepare().notes
    good = inside & np.isfinite(fields).all(axis=1)
    asked = None
    if wanted is None:
        _, bounds, changed = proof.bounds(P, fields, steps)
    else:
        _, bounds, changed, found = proof.output_bounds(P, fields, steps, wanted)
        found = found.only_where(good)
        asked = wanted.name, found
        notes += unbounded(proof, wanted, P, found, good)
    if proof.proves and not callable(surrogate) and not np.isfinite(fields).all():
        notes.append(NOT_FINITE)
    notes += proof.remarks(P, fields, bounds, good) + _overwritten(np.asarray(changed), fields, good)
    cost = {**proof.cost(len(P), steps), "seconds": time.perf_counter() - start}
    return certificate_of(proof, only_where(good, bounds), changed, tuple(notes), cost, asked)


def unbounded(
    proof: Proof, output: Output, P: np.ndarray, found: OutputBounds, good: Bool[np.ndarray, " n"]
) -> list[str]:
    """Why intervals of an output of ``good`` rows are infinite, in sentences."""
    rows = np.flatnonzero(good & ~(np.isfinite(found.lower) & np.isfinite(found.upper)))
    if not len(rows) or not proof.proves:
        return []
    why = proof.why_no_output(output)
    where = f"{len(rows)} intervals of output {output.name!r}, such as at {proof.problem.inputs.named(P[rows[0]])}"
    return [why or f"{where}, are infinite, as bounds of the fields are there or their output is no number"]


def _overwritten(changed: np.ndarray, fields: np.ndarray, good: np.ndarray) -> list[str]:
    visible = good & (changed > 1e-12 * np.abs(np.where(good[:, None], fields, 0.0)).max(axis=1, initial=0.0))
    if not visible.any():
        return []
    return [
        f"{int(visible.sum())} fields were off by up to {changed[visible].max():.2g} where values are prescribed; "
        "these were overwritten, and the bounds are of the fields so mended"
    ]
