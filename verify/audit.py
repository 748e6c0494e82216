"""``audit``: a trust map checked again from its file: integrity, tree, volumes, witnesses, and the proof of every leaf.

In this order: the file is byte for byte what its content is written as and carries that content's hash; problem and
model are the ones that were hashed; the leaves form one tree whose volumes add to one in rational arithmetic; every
witness, solved again, is as wrong as recorded; every falsified leaf holds a point whose proved lower bound is above the
tolerance; every finite bound of a leaf is proved anew in ball arithmetic (``leaf_proof.py``, ``flux_proof.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..solvers.coercive import CoerciveProblem
from ..solvers.precision import in_float64
from ..solvers.problem import Problem
from ..solvers.seed import checked_seed
from .certificate import certify
from .counterexample import measured_error
from .flux_path import BY_FLUXES, FluxPath, flux_path
from .frozen import Frozen
from .map_checks import check_statement
from .proved_region import model_of
from .reduced import reduced_path
from .surrogate import answering_basis, captured
from .trust_map import TrustMap, load_trust_map

NOT_CHECKED = (
    "how long the proof took and how many boxes it bounded: only that they are numbers",
    "the map's notes: text",
)
CLOSE = 1e-9  # how closely a witness's error is found again


@dataclass(frozen=True)
class Audit:
    """What was checked; that one is returned says that all of it holds."""

    leaves: int
    proved: int  # leaves whose bound was proved anew
    witnesses: int
    falsified: int
    seconds: float
    not_checked: tuple[str, ...] = NOT_CHECKED


@in_float64
def audit(
    path: str | Path,
    problem: Problem,
    surrogate: Any,
    sample: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> Audit:
    """Check a saved trust map; ``sample``: prove only so many leaves anew, drawn at random.

    Raises:
        ValueError: anything does not hold, saying what; or python-flint is missing.
    """
    start = time.perf_counter()
    seed = checked_seed(seed)
    surrogate = captured(surrogate)
    try:
        from .flux_proof import FluxProof
        from .leaf_proof import LeafProof
    except ImportError:
        raise ValueError("audits need python-flint: pip install 'assay-pde[audit]'") from None
    trust = load_trust_map(path)
    check_statement(trust, problem, str(path))
    reduced = reduced_path(problem, surrogate)
    model = model_of(trust, problem, surrogate, str(path), answering_basis(problem, surrogate))
    _volumes(trust)
    fluxes = flux_path(problem, surrogate) if reduced is None and BY_FLUXES in trust.assumptions else None
    proof: LeafProof | FluxProof
    if reduced is not None and isinstance(problem, CoerciveProblem):
        proof = LeafProof(problem, reduced, model, trust.box)
    elif isinstance(fluxes, FluxPath) and isinstance(problem, CoerciveProblem):
        proof = FluxProof(fluxes, model, trust.box)
    else:
        if np.isfinite(trust.bound).any() or len(trust.witness):
            raise ValueError(f"{path}: bounds are claimed where {problem.name} and this surrogate allow no proof")
        return Audit(trust.boxes, 0, 0, 0, time.perf_counter() - start)
    _witnesses(trust, problem, model)
    falsified = _falsified(trust, problem, model)
    numbers, lows, highs = trust.leaves()
    finite = np.flatnonzero(np.isfinite(trust.bound[numbers]))
    if sample is not None and sample < len(finite):
        finite = np.sort(np.random.default_rng(seed).choice(finite, sample, replace=False))
    for done, i in enumerate(finite):
        if progress is not None:
            progress(done, len(finite))
        if not proof.holds(lows[i], highs[i], float(trust.bound[numbers[i]])):
            where = ", ".join(f"[{a:g}, {b:g}]" for a, b in zip(lows[i], highs[i], strict=True))
            raise ValueError(
                f"{path}: leaf {numbers[i]}, {where} in unit coordinates: its bound {trust.bound[numbers[i]]:.6g} "
                "could not be proved again"
            )
    return Audit(trust.boxes, len(finite), len(trust.witness), falsified, time.perf_counter() - start)


def _volumes(trust: TrustMap) -> None:
    total = {0: Fraction(0), 1: Fraction(0), 2: Fraction(0)}
    numbers, lows, highs = trust.leaves()
    for node, low, high in zip(numbers, lows, highs, strict=True):
        volume = Fraction(1)
        for a, b in zip(low.tolist(), high.tolist(), strict=True):
            volume *= Fraction(b) - Fraction(a)
        total[int(trust.verdicts[node])] += volume
    shares = (trust.certified_volume, trust.falsified_volume, trust.undecided_volume)
    if sum(total.values()) != 1 or [float(v) for v in total.values()] != list(shares):
        raise ValueError(f"the leaves' volumes add to {sum(total.values())}, not to one")


def _witnesses(trust: TrustMap, problem: Problem, surrogate: Frozen) -> None:
    if not len(trust.witness):
        return
    P = trust.box.from_unit(trust.witness)
    rows = zip(P, surrogate(P), np.asarray(problem.solve_batch(P)), trust.witness_lower, strict=True)
    for i, (p, field, truth, claimed) in enumerate(rows):
        lower = measured_error(problem, p, field, truth)[1]
        if not claimed <= lower * (1 + CLOSE) + 1e-300:
            raise ValueError(f"witness {i} at {p.tolist()}: its error is {lower:.6g}, not the {claimed:.6g} recorded")


def _falsified(trust: TrustMap, problem: CoerciveProblem, surrogate: Frozen) -> int:
    numbers, lows, highs = trust.leaves()
    chosen = np.flatnonzero(trust.verdicts[numbers] == 1)
    if not len(chosen):
        return 0
    X = trust.failure_points[numbers[chosen]]
    if not ((lows[chosen] <= X) & (highs[chosen] >= X)).all():
        raise ValueError("a falsified leaf has no failure inside")
    P = trust.box.from_unit(X)
    lower = certify(problem, surrogate(P), P).relative_lower
    if not (lower > trust.tolerance).all():
        worst = int(np.argmin(lower))
        raise ValueError(
            f"leaf {numbers[chosen][worst]} counts as falsified, but at {P[worst].tolist()} an error of only "
            f"{lower[worst]:.6g} can be proved, within the tolerance {trust.tolerance:g}"
        )
    return len(chosen)
