"""Everything that a guard's routes compile, compiled before the first question."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ...solvers.batching import VectorMap
from ...solvers.foreign import SettingsChanged
from ...solvers.outputs import Output
from ...solvers.problem import Problem
from ..certificate import against
from ..certify import STEPS
from ..proofs.proof import ReducedProof
from ..proofs.prover import Prover
from .batch_remark import batch_difference
from .evaluate import CHUNK, Model

SIZES = (16, 256)  # rows of one compiled bound: few, for each is compiled
LARGEST = 1024  # rows at most that a surrogate is warmed up for
SAME = 1e-9  # of an answer, that rounding may change with the number of rows


class Guarding(Protocol):
    """What is asked of a guard (``verify/guard.py``)."""

    problem: Problem
    surrogate: Model
    prover: Prover
    output: Output | None
    stages: list[VectorMap]
    improve: VectorMap

    @property
    def reduced(self) -> ReducedProof | None: ...


def warm_up(guard: Guarding) -> str:
    """Take every route once, for any number of rows; what is to be said of the surrogate, empty where nothing is."""
    problem, d = guard.problem, guard.problem.inputs.dimension
    P = problem.inputs.from_unit(np.concatenate([np.full((1, d), 0.5), np.random.default_rng(0).random((7, d))]))
    try:
        differs = batch_difference(guard.surrogate, P)
    except SettingsChanged:
        raise
    except Exception:  # it will be solved instead, and the answers say why
        differs = 0.0
    if guard.prover.proof.proves:
        _warm_bounds(guard, P)
    truth = np.asarray(problem.attempt_batch(P[:1]).u)
    if guard.output is None:
        guard.prover.proof.bounds(P[:1], truth, 0)
    else:
        for effort in (0, STEPS):
            guard.prover.proof.output_bounds(P[:1], truth, effort, guard.output)
    against(problem)
    if differs <= SAME:  # a difference that is no number is none that is known to be small
        return ""
    return (
        f"the surrogate answers an input otherwise when others are asked at once (by {differs:.1g} of it): "
        "each answer is certified as it was given, but will not be found again"
    )


def _warm_bounds(guard: Guarding, P: np.ndarray) -> None:
    by_fields = guard.reduced is None or guard.output is not None
    ask = guard.surrogate if by_fields else guard.surrogate.coefficients
    rows = 1
    while rows <= (CHUNK if by_fields else LARGEST):
        try:
            ask(np.repeat(P[:1], rows, axis=0))
        except SettingsChanged:
            raise
        except Exception:  # it will be solved instead, and the answers say why
            pass
        rows *= 2
    guard.surrogate.changes()
    if guard.output is not None:
        return
    field = np.zeros((1, guard.problem.size))
    if by_fields:
        guard.prover.proof.bounds(P[:1], field, 0)
    else:
        for rows in SIZES:
            X = np.repeat(P[:1], rows, axis=0)
            c = np.asarray(guard.improve(X))
            for bounds in guard.stages:
                bounds(X, c)
    guard.prover.proof.polish(P[:1], field, STEPS)
