"""``prepare``: what a proof computes once, offline, done now and kept (``proofs/constants.py``)."""

from __future__ import annotations

import os
from dataclasses import replace

from ..solvers.identity import check_problem
from ..solvers.precision import in_float64
from ..solvers.problem import Problem
from .proofs.constants import Prepared, Progress
from .proofs.prover import proof_of


@in_float64
def prepare(
    problem: Problem, folder: str | os.PathLike[str] | None = None, *, progress: Progress | None = None
) -> Prepared:
    """Compute and verify the offline constants of the problem's proof, or read them where they are kept already.

    certify, guard and falsify do it when they first need them, but for stages that take long. Interrupted, the same
    call goes on after the last stage that was done.

    Args:
        folder: where to keep them, instead of the user's cache folder. Another process must be told it again.
        progress: told the stage, how many seconds' work are done, and how many there are.

    Raises:
        ValueError: the folder is open to others; a constant could not be verified.
        RuntimeError: float64 is switched off.
    """
    check_problem(problem)
    proof = proof_of(problem)
    return replace(proof.prepare(folder, everything=True, progress=progress), reach=proof.reach())
