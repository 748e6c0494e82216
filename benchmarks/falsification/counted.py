"""A search of a frozen pair, with errors that are compiled once and no records: what it found after how many calls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ...verify.answers.evaluate import captured, evaluate
from ...verify.search.confirmation import Confirmation
from ...verify.search.further import further_signals
from ...verify.search.independent import IndependentDraws
from ...verify.search.methods.catalogue import STANDARD, find_method
from ...verify.search.methods.search import Search
from ...verify.search.signal import make_signal
from ...verify.statistics.errors import scaled_errors
from .pairs.catalogue import Pair

STARTS = 4096


class Counted(Confirmation):
    """Errors and calls alone: what a search asks for, in milliseconds."""

    def compare(
        self, P: np.ndarray, truths: np.ndarray, how: str | Sequence[str], solved: bool = False
    ) -> Float[np.ndarray, " n"]:
        answers = evaluate(self.model, P, self.problem)
        errors, _ = scaled_errors(self.problem, P, answers, truths, self.allowed.scale)
        for p, error in zip(P, errors, strict=True):
            self.calls += int(solved)
            self.spent.append(self.calls)
            self.known[p.tobytes()] = float(error)
            if not np.isfinite(self.worst_inputs).all() or error > self.worst:
                self.worst, self.worst_inputs = float(error), p
        self.asked += list(P)
        self.errors += errors.tolist()
        return errors


class Subject:
    """A pair, ready to be searched many times: the signal is made once."""

    def __init__(self, pair: Pair, tolerance: float) -> None:
        self.pair, self.problem = pair, pair.problem
        self.model = captured(pair.surrogate)
        self.allowed = pair.allowed(tolerance)
        self.signal = make_signal(self.problem, self.model, self.allowed.scale)
        self.others = further_signals(self.problem, self.model, self.signal, self.allowed.scale, None)

    def counted(self, budget: int, seed: int) -> Counted:
        return Counted(self.problem, self.model, self.allowed, budget, seed, lambda stage, done, total: None)

    def search(self, method: str, budget: int, seed: int) -> Counted:
        """As ``falsify`` does it: the standard keeps a tenth of its calls as independent draws, others have all."""
        confirm, box = self.counted(budget, seed), self.problem.inputs
        rng = np.random.default_rng([seed, 1])
        count = -(-budget // 10) if method == STANDARD and budget > 1 else 0
        draws = IndependentDraws(confirm, self.signal, box.from_law(rng.random((count, box.dimension))), _silent)
        confirm.budget = budget - draws.solves
        if self.signal.kind == "none":
            draws.solve(box.dimension + 1)
        find_method(method)(Search(confirm, self.signal, seed, STARTS, rng, _silent, others=self.others))
        draws.solve()
        return confirm


def _silent(stage: str, done: int, total: int) -> None:
    pass


def improvements(confirm: Counted) -> list[list[float]]:
    """(calls, error) whenever a larger error was found than before."""
    found: list[list[float]] = []
    for calls, error in zip(confirm.spent, confirm.errors, strict=True):
        if error > (found[-1][1] if found else 0.0):
            found.append([calls, error])
    return found


def reached(found: list[list[float]], calls: int) -> float:
    """The largest error after so many calls."""
    return max((error for spent, error in found if spent <= calls), default=0.0)


def calls_to(found: list[list[float]], goal: float) -> float:
    """The calls until an error reached ``goal``; infinite where none did."""
    return min((spent for spent, error in found if error >= goal), default=np.inf)
