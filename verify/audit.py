"""``audit``: a trust map checked again from its file: integrity, tree, volumes, witnesses, and the proof of every leaf.

In this order: the file is byte for byte what its content is written as, carries that content's hash and says nothing
that cannot be (``trust_map.py``, ``map_checks.py``); problem and model are the ones that were hashed; the leaves form
one tree whose volumes add to one in rational arithmetic; every witness, solved again, is as wrong as recorded; every
falsified leaf holds a point whose proved lower bound is above the tolerance; at a few points of every leaf no error
above its bound can be proved; every bound that is not infinite is proved anew, by other means than the first time
(``recheck``), leaves being halved as long as it takes.

What does not hold is told apart: ``Changed``, ``Refuted``, ``NotReproduced``, all of them ``ValueError``.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..solvers.precision import in_float64
from ..solvers.problem import Problem
from ..solvers.processes.sending import check_executor
from ..solvers.seed import checked_seed
from .answers.evaluate import captured
from .answers.frozen import Frozen
from .boxes.map_checks import check_statement
from .boxes.map_file import load_trust_map
from .boxes.point_errors import PointBounds
from .boxes.region import model_of
from .boxes.trust_map import TrustMap
from .certify import certify
from .measured_error import measured_error
from .proofs.prover import proof_of, prover
from .recheck.halving import BUDGET, PROVED
from .recheck.workers import prove_all

NOT_CHECKED = (
    "how long the proof took and how many boxes it bounded: only that they are numbers",
    "the map's notes: text",
)
CLOSE = 1e-9  # how closely errors and bounds are found again
BOXES = 20_000  # parts of one leaf
POINTS = 256  # of a leaf that could not be proved, where its bound is tried
TRIED = 16_384  # such points of all leaves together


class Changed(ValueError):
    """The file is damaged or says what cannot be, or it is about another problem or surrogate."""


class Refuted(ValueError):
    """Something that the map says is proved to be false."""


class NotReproduced(ValueError):
    """A bound could neither be proved nor refuted."""


@dataclass(frozen=True)
class Audit:
    """What was checked; that one is returned says that all of it holds."""

    leaves: int
    proved: int  # leaves whose bound was proved anew
    witnesses: int
    falsified: int
    seconds: float
    boxes: int = 0  # parts of leaves that were bounded
    not_checked: tuple[str, ...] = NOT_CHECKED

    def __repr__(self) -> str:
        return (
            f"Audit(holds: {self.proved} of {self.leaves} leaves proved again, {self.witnesses} witnesses and "
            f"{self.falsified} failures confirmed, {self.seconds:.1f} s)"
        )


@in_float64
def audit(
    path: str | Path,
    problem: Problem,
    surrogate: Any,
    sample: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
    *,
    seconds: float | None = None,
    boxes: int = BOXES,
    executor: Executor | None = None,
) -> Audit:
    """Check a saved trust map.

    Args:
        sample: prove only so many leaves anew, drawn at random by ``seed``.
        progress: told how many leaves are done, and how many there are.
        seconds: stop proving after that long; by default, when all is done.
        boxes: parts that one leaf may be halved into.
        executor: proves leaves side by side, as in ``sample``.

    Raises:
        Changed, Refuted, NotReproduced: what does not hold, all of them ``ValueError``.
        ValueError: budgets out of range, or an operation of the surrogate for which there is no rule.
    """
    start = time.perf_counter()
    seed = checked_seed(seed)
    check_executor(executor)
    surrogate = captured(surrogate)
    if boxes < 1 or (seconds is not None and not seconds > 0) or (sample is not None and sample < 1):
        raise ValueError(f"budgets must be positive, not seconds={seconds}, boxes={boxes}, sample={sample}")
    try:
        trust = load_trust_map(path)
        check_statement(trust, problem, str(path))
        _volumes(trust)
        if not trust.model_hash and not np.isfinite(trust.bound).any():
            raise NotReproduced(f"{path} proves nothing ({'; '.join(trust.notes)}): there is nothing to prove again")
        basis = proof_of(problem).basis(surrogate)
        model = model_of(trust, problem, surrogate, str(path), None if isinstance(basis, str) else basis)
    except (Changed, NotReproduced):
        raise
    except ValueError as error:
        raise Changed(str(error)) from None
    numbers, lows, highs = trust.leaves()
    finite = np.flatnonzero(trust.bound[numbers] < np.inf)
    by = prover(problem, surrogate).over_boxes(surrogate, trust.box, trust.scale)
    if isinstance(by, str) or by.assumptions != trust.assumptions:
        if len(finite) or len(trust.witness):
            why = by if isinstance(by, str) else "it is proved in another way"
            raise Changed(f"{path}: bounds are claimed where {problem.name} and this surrogate allow no proof: {why}")
        return Audit(trust.boxes, 0, 0, 0, time.perf_counter() - start)
    _witnesses(trust, problem, model)
    falsified = _falsified(trust, problem, model)
    trial = _Trial(trust, model, by.points, str(path))
    trial.at_few_points(finite)
    if sample is not None and sample < len(finite):
        finite = np.sort(np.random.default_rng(seed).choice(finite, sample, replace=False))
    independent = by.leaves(trust.box, lows[finite], highs[finite], trust.bound[numbers[finite]])
    if isinstance(independent, str):
        trial.at_many_points(finite)
        beside = (*NOT_CHECKED, f"the bounds of leaves, but at points: {independent}")
        return Audit(trust.boxes, 0, len(trust.witness), falsified, time.perf_counter() - start, 0, beside)
    way, leaves = independent
    answers, spent = prove_all(way, leaves, boxes, seconds, executor, progress)
    missing = [int(i) for i, answer in zip(finite, answers, strict=True) if answer != PROVED]
    if missing:
        trial.at_many_points(np.array(missing))
        first = answers[[answer != PROVED for answer in answers].index(True)]
        more = f" ({boxes} parts a leaf{'' if seconds is None else f', {seconds:g} s'}; a larger one may do)"
        raise NotReproduced(
            f"{path}: {len(missing)} of {len(answers)} leaves not reproduced; {trial.name(missing[0])}: its bound "
            f"{trust.bound[numbers[missing[0]]]:.6g} was {first}{more if first == BUDGET else ''}"
        )
    seconds_taken = time.perf_counter() - start
    return Audit(trust.boxes, len(finite), len(trust.witness), falsified, seconds_taken, spent)


class _Trial:
    """Leaves' bounds against proved lower bounds of the error at points."""

    def __init__(self, trust: TrustMap, model: Frozen, points: PointBounds, label: str) -> None:
        self.trust, self.model, self.points, self.label = trust, model, points, label
        self.numbers, self.low, self.high = trust.leaves()

    def name(self, leaf: int) -> str:
        where = ", ".join(f"[{a:g}, {b:g}]" for a, b in zip(self.low[leaf], self.high[leaf], strict=True))
        return f"leaf {self.numbers[leaf]}, {where} in unit coordinates"

    def at_few_points(self, leaves: np.ndarray) -> None:
        """In the centre of every leaf, and in up to 16 of its corners; a solve-free estimate chooses among them."""
        d = self.low.shape[1]
        corners = list(itertools.islice(itertools.product((0.0, 1.0), repeat=d), 16))
        self._try(leaves, np.concatenate([np.full((1, d), 0.5), np.array(corners)]), 1)

    def at_many_points(self, leaves: np.ndarray) -> None:
        count = max(4, min(POINTS, TRIED // max(len(leaves), 1)))
        self._try(leaves, np.random.default_rng(0).random((count, self.low.shape[1])), 4)

    def _try(self, leaves: np.ndarray, places: np.ndarray, each: int) -> None:
        """
        Raises:
            Refuted: an error above the bound of its leaf.
        """
        if not len(leaves):
            return
        low, high = self.low[leaves], self.high[leaves]
        X = np.clip(low[:, None] + places * (high - low)[:, None], low[:, None], high[:, None])
        found = self._values(self.points.estimate, X.reshape(-1, X.shape[2])).reshape(X.shape[:2])
        best = np.argsort(-found, axis=1)[:, :each]
        at = np.take_along_axis(X, best[..., None], axis=1).reshape(-1, X.shape[2])
        claimed = np.repeat(self.trust.bound[self.numbers[leaves]], best.shape[1])
        likely = np.flatnonzero(np.take_along_axis(found, best, axis=1).ravel() > 0.99 * claimed)
        lower = self._values(self.points.lower, at[likely])
        wrong = np.flatnonzero(lower > claimed[likely] * (1 + CLOSE))
        if len(wrong):
            i = wrong[np.argmax(lower[wrong] / np.maximum(claimed[likely[wrong]], 1e-300))]
            leaf = leaves[likely[i] // best.shape[1]]
            p = self.trust.box.from_unit(at[likely[i]]).tolist()
            raise Refuted(
                f"{self.label}: {self.name(leaf)}: at {p} an error of at least {lower[i]:.6g} is proved, above its "
                f"bound {claimed[likely[i]]:.6g}"
            )

    def _values(self, function: Callable[..., np.ndarray], X: np.ndarray) -> np.ndarray:
        if not len(X):
            return np.zeros(0)
        P = self.trust.box.from_unit(X)
        return np.asarray(function(P, np.asarray(self.model.coefficients(P))))


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
        raise Changed(f"the leaves' volumes add to {sum(total.values())}, not to one")


def _witnesses(trust: TrustMap, problem: Problem, surrogate: Frozen) -> None:
    if not len(trust.witness):
        return
    P = trust.box.from_unit(trust.witness)
    rows = zip(P, surrogate(P), np.asarray(problem.solve_batch(P)), trust.witness_lower, strict=True)
    for i, (p, field, truth, claimed) in enumerate(rows):
        lower = measured_error(problem, p, field, truth, trust.scale)[1]
        if not claimed <= lower * (1 + CLOSE) + 1e-300:
            raise Refuted(f"witness {i} at {p.tolist()}: its error is {lower:.6g}, not the {claimed:.6g} recorded")


def _falsified(trust: TrustMap, problem: Problem, surrogate: Frozen) -> int:
    numbers, _, _ = trust.leaves()
    chosen = np.flatnonzero(trust.verdicts[numbers] == 1)
    if not len(chosen):
        return 0
    P = trust.box.from_unit(trust.failure_points[numbers[chosen]])
    found = certify(problem, surrogate(P), P)
    beyond = found.beyond(trust.tolerance, trust.absolute)
    if not beyond.all():
        worst, lower = int(np.argmin(beyond)), found.relative_lower
        raise Refuted(
            f"leaf {numbers[chosen][worst]} counts as falsified, but at {P[worst].tolist()} an error of only "
            f"{lower[worst]:.6g} can be proved, within the tolerance {trust.tolerance:g}"
        )
    return len(chosen)
