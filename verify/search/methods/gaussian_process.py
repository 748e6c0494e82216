"""``gaussian-process``: where a Gaussian process of the error promises most, a few solves at a time if there are many.

    EI(x) = s(x) (z Phi(z) + phi(z)),    z = (m(x) - (1 + MORE) e*) / s(x),    e* the worst error known

What is promised has to be worth a solve: without ``MORE`` the last digits of a peak are climbed, and others are higher.
The error itself is learnt, not its logarithm: promises are about what is large. Where a solve failed it counts as zero.
The field u(p) - v(p), smoother than its size, may be learnt instead (Astudillo and Frazier 2019): over 15 seeds of four
pairs that found less. What is chosen together is chosen one after another, each as if the ones before had come out as
the process expects (the "believer"). Reference: Jones, Schonlau, Welch 1998; Ginsbourger, Le Riche, Carraro 2010."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from ..kriging import Kriging
from .search import Search
from .true_error import Spent, TrueError

HOW = "promised by a Gaussian process of the error"
POINTS = 300  # that are learnt from, at most: the worst, and the latest
REFIT = 1.2  # times as many points as before, until the lengths are fitted anew; each time while there are few
FEW = 60
MORE = 0.05  # of the worst error: what is less above it is no promise
CANDIDATES, BEST, ROUNDS = 512, 8, 5
TOGETHER = 4  # inputs that are chosen at a time, whoever solves them,
SCARCE = 80  # but of fewer calls than these each is chosen by all that the others found
LEAST = 1e-12  # of the worst error: the least deviation, so that no square of a quotient by it leaves float64


def gaussian_process(search: Search) -> None:
    """A few uniform points, then one promise after another until the solves are spent."""
    d = search.box.dimension
    first = min(max(d + 1, 5), search.confirm.left)
    known = sum(np.isfinite(search.confirm.errors))
    search.confirm.check(search.box.from_unit(search.rng.random((max(first - known, 0), d))), "explored")
    promises(search)


def promises(search: Search, limit: float = np.inf) -> None:
    """``TOGETHER`` promises after another, one where calls are scarce, of at most ``limit`` calls."""
    truth, together = TrueError(search, HOW), TOGETHER if search.confirm.budget >= SCARCE else 1
    truth.limit = limit
    process = ErrorProcess(search)
    with suppress(Spent):
        while truth.left:
            truth.heights(process.next(min(together, truth.left)))


class ErrorProcess:
    """``next(k)``: the k points that promise most, from all that the search knows by then."""

    def __init__(self, search: Search) -> None:
        self.search, self.rng = search, search.rng
        self._lengths: np.ndarray | None = None
        self._fitted = 0

    def next(self, count: int = 1) -> Float[np.ndarray, "k d"]:
        confirm, d = self.search.confirm, self.search.box.dimension
        errors = np.array(confirm.errors)
        if not np.isfinite(errors).any():
            return self.rng.random((count, d))
        X, heights = self._learnt(errors)
        refit = self._lengths is None or len(errors) < FEW or len(errors) >= REFIT * self._fitted
        process = Kriging(X, heights[:, None], None if len(errors) < FEW else self._lengths, refit)
        if refit:
            self._lengths, self._fitted = process.lengths, len(errors)
        chosen: list[np.ndarray] = []
        while True:
            chosen.append(self._climb(_promise(process, float(heights.max())), chosen))
            if len(chosen) == count:
                return np.stack(chosen)
            X = np.concatenate([X, chosen[-1:]])
            heights = np.concatenate([heights, process(chosen[-1][None])[0][:, 0]])
            process = Kriging(X, heights[:, None], process.lengths, refit=False)

    def _climb(self, promise: Callable[[np.ndarray], np.ndarray], chosen: list[np.ndarray]) -> Float[np.ndarray, " d"]:
        """The most promising point: of uniform ones and of changes of the known, then of changes of the best."""
        d, rng = self.search.box.dimension, self.rng
        errors = np.array(self.search.confirm.errors)
        asked = self.search.box.to_unit(np.array(self.search.confirm.asked))
        order = np.argsort(-np.nan_to_num(errors, nan=-1.0, posinf=-1.0), kind="stable")[:BEST]
        near = [self._changed(asked[order], step) for step in (0.3, 0.1)]
        Z = np.concatenate([self._spread(), *near])
        values = promise(Z)
        for step in 0.1 * 0.4 ** np.arange(ROUNDS):
            best = np.argsort(-values, kind="stable")[:BEST]
            more = self._changed(Z[best], step)
            Z, values = np.concatenate([Z[best], more]), np.concatenate([values[best], promise(more)])
        taken = {self.search.box.from_unit(z).tobytes() for z in chosen}
        for i in np.argsort(-values, kind="stable") if values.max() > 0 else ():
            key = self.search.box.from_unit(Z[i]).tobytes()
            if key not in self.search.confirm.known and key not in taken:
                return Z[i]
        return rng.random(d)

    def _spread(self) -> Float[np.ndarray, "k d"]:
        """Uniform points, a third with half of their inputs at an end, a third corners: there errors are largest."""
        Z, d = self.rng.random((CANDIDATES, self.search.box.dimension)), self.search.box.dimension
        ends = self.rng.random((CANDIDATES, d)) < self.rng.choice([0.0, 0.5, 1.0], (CANDIDATES, 1))
        return np.where(ends, np.round(Z), Z)

    def _changed(self, Z: Float[np.ndarray, "k d"], step: float) -> Float[np.ndarray, "m d"]:
        """Normal steps, of all inputs or of some, that end at the sides of the box."""
        many = np.repeat(Z, CANDIDATES // BEST // 4, axis=0)
        moved = self.rng.random(many.shape) < self.rng.choice([1.0, 0.5, 2 / Z.shape[1]], (len(many), 1))
        return np.clip(many + step * moved * self.rng.standard_normal(many.shape), 0, 1)

    def _learnt(self, errors: Float[np.ndarray, " n"]) -> tuple[Float[np.ndarray, "k d"], Float[np.ndarray, " k"]]:
        """Points and errors there."""
        keep = np.arange(len(errors))
        if len(keep) > POINTS:
            worst = np.argsort(-np.nan_to_num(errors, nan=-1.0), kind="stable")[: POINTS // 2]
            keep = np.unique(np.concatenate([worst, keep[-(POINTS - len(worst)) :]]))
        heights = np.where(np.isfinite(errors[keep]), errors[keep], 0.0)
        return self.search.box.to_unit(np.array(self.search.confirm.asked))[keep], heights


def _promise(process: Kriging, top: float) -> Callable[[np.ndarray], np.ndarray]:
    """The expected improvement on ``top``."""

    def promise(Z: Float[np.ndarray, "k d"]) -> Float[np.ndarray, " k"]:
        mean, deviation = (part[:, 0] for part in process(Z))
        deviation = np.maximum(deviation, max(LEAST * top, np.finfo(float).tiny))
        z = (mean - (1 + MORE) * top) / deviation
        return np.asarray(deviation * (z * ndtr(z) + np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)))

    return promise
