"""A guard that accepts by statistics first: opted into with a calibration, and never called proved.

    accepted   the surrogate's own field where its signal is at most the calibrated threshold: no bound is computed, and
               none is claimed. Over the law and the draws of the calibration at most its miscoverage of these answers
               is beyond the tolerance, with its confidence (``statistics/thresholds.py``)
    otherwise  what the guard without a calibration does: accepted or polished by a proof, else solved

The statement is about inputs drawn from the calibrated law. Where the problem's box or laws are others now, or a batch
does not look drawn from them (``looks_drawn``), nothing is accepted by it; inputs outside the box are refused as ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from ..solvers.precision import in_float64
from ..solvers.problem import Problem
from ..solvers.tolerance import Tolerance
from .answers.evaluate import Model, evaluate
from .certificate import Certificate, OutputInterval, certificate_of
from .evidence import Evidence
from .guarded import ROUTES, Answer, room
from .proofs.bounds import NOTHING, ErrorBounds, nothing_proved
from .proofs.prover import proof_of
from .search.further import another
from .statistics.calibration import Calibration, load_calibration
from .statistics.errors import prescribed
from .statistics.laws import looks_drawn
from .statistics.signals import signal_of

OTHER_LAW = "the problem's box of inputs or their laws are not those of the calibration, which says nothing then"
NOT_DRAWN = (
    "these inputs do not look drawn from the calibrated law, about which alone the calibration speaks: none was "
    "accepted by it"
)
CHANGED = (
    "the surrogate, or the one beside it, no longer answers as it did when it was calibrated: nothing was accepted by "
    "the calibration, build another guard"
)
PROBED = 4  # of the calibration's draws, at every call


class StatisticalGuard:
    """Callable ``guard(P) -> Answer``; built by ``guard(..., calibration=)``.

    Args:
        proved: the guard of the same without a calibration.
        model: the surrogate as that guard reads it.
        beside: the other surrogate, where its disagreement is the signal.

    Raises:
        ValueError: the calibration is of another problem, surrogate, signal or tolerance, or its file cannot be read.
    """

    @in_float64
    def __init__(
        self,
        proved: Any,
        problem: Problem,
        model: Model,
        calibration: Calibration | str | Path,
        beside: Callable[[Any], Any] | None = None,
    ) -> None:
        self.beside = None if beside is None else another(problem, beside)
        self.proved, self.problem, self.surrogate = proved, problem, model
        self.tolerance, self.absolute = proved.tolerance, proved.absolute
        given = isinstance(calibration, Calibration)
        self.calibration = calibration if isinstance(calibration, Calibration) else load_calibration(calibration)
        label = "the calibration" if given else str(calibration)
        self.same_law = self.calibration.check(
            problem, model, Tolerance(self.tolerance, self.absolute), label, self.beside
        )
        self._signal: Callable[[np.ndarray], np.ndarray] = signal_of(self.calibration, problem, model, self.beside)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_signal"}

    @in_float64
    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._signal = signal_of(self.calibration, self.problem, self.surrogate, self.beside)

    def __repr__(self) -> str:
        return f"{self.proved!r}, and before these: {self.calibration.words}"

    def warm_up(self) -> float:
        """Compile every route of the guard with proofs, and the signal; the seconds that it took."""
        start = time.perf_counter()
        self.proved.warm_up()
        self._accepted(self.problem.inputs.centre[None], [])
        return time.perf_counter() - start

    @in_float64
    def __call__(self, P: Any, out: Float[np.ndarray, "n N"] | None = None, executor: Executor | None = None) -> Answer:
        """Guarded answers at P [n, d]; ``out`` and ``executor`` as in ``Guard``.

        Raises:
            ValueError: as ``Guard``.
        """
        return self._answered(P, lambda rest: self.proved(rest, executor=executor), out)

    @in_float64
    def without_solving(self, P: Any) -> tuple[Answer, Bool[np.ndarray, " n"]]:
        """As ``Guard.without_solving``."""
        answer = self._answered(P, lambda rest: self.proved.without_solving(rest)[0])
        return answer, answer.route == ROUTES[-1]

    @in_float64
    def by_solving(self, P: Any, executor: Executor | None = None) -> Answer:
        """As ``Guard.by_solving``."""
        return replace(self.proved.by_solving(P, executor), calibration=self.calibration.words)

    def _answered(
        self, P: Any, proved: Callable[[np.ndarray], Answer], out: Float[np.ndarray, "n N"] | None = None
    ) -> Answer:
        """What the calibration does not accept is answered by ``proved``."""
        start = time.perf_counter()
        self.proved.check_unchanged()
        P = self.problem.inputs.check(P)
        notes = [self.calibration.words]
        u = room(len(P), self.problem.size, out)
        mine, fields = self._accepted(P, notes)
        others = proved(P[~mine]) if not mine.all() else None
        u[mine] = fields
        route = np.full(len(P), ROUTES[0], dtype="<U8")
        error_upper = np.full(len(P), np.inf)
        if others is not None:
            u[~mine], route[~mine], error_upper[~mine] = others.u, others.route, others.error_upper
            notes += others.notes
        certificate = self._certificate(mine, None if others is None else others.certificate, tuple(notes))
        return Answer(
            u=u,
            route=route,
            relative_upper=certificate.relative_upper,
            certificate=certificate,
            seconds=time.perf_counter() - start,
            notes=tuple(notes),
            counts={name: int((route == name).sum()) for name in ROUTES},
            error_upper=error_upper,
            statistical=mine,
            calibration=self.calibration.words,
            unsolved=() if others is None else others.unsolved,
        )

    def _accepted(self, P: np.ndarray, notes: list[str]) -> tuple[Bool[np.ndarray, " n"], Float[np.ndarray, "k N"]]:
        """Which rows are accepted by the calibration, and their fields."""
        none = np.zeros(len(P), dtype=bool), np.zeros((0, self.problem.size))
        if not self.calibration.qualifies or not len(P):
            return none
        if not self.same_law:
            notes.append(OTHER_LAW)
            return none
        if self.problem.has_solver and not looks_drawn(self.problem.inputs, P):
            notes.append(NOT_DRAWN)
            return none
        if self._changed(self.surrogate) or (self.beside is not None and self._changed(self.beside, beside=True)):
            notes.append(CHANGED)
            return none
        answers = evaluate(self.surrogate, P, self.problem)
        notes += answers.trouble
        mine = answers.good.copy()
        if np.isfinite(self.calibration.threshold):
            mine &= self._signal(P) <= self.calibration.threshold
        if not mine.any():
            return none
        return mine, np.asarray(prescribed(self.problem)(P[mine], answers.fields[mine]))

    def _changed(self, model: Model, beside: bool = False) -> bool:
        return self.calibration.other_answer(self.problem, model, PROBED, beside) is not None

    def _certificate(self, mine: np.ndarray, others: Certificate | None, notes: tuple[str, ...]) -> Certificate:
        """What is proved: of rows accepted by the calibration nothing."""
        n, proof = len(mine), proof_of(self.problem)
        made = certificate_of(proof, nothing_proved(n), np.zeros(n), notes, {})
        if others is not None:
            parts: dict[str, Any] = {
                name: _spread(~mine, getattr(others, name), nothing)
                for name, nothing in zip(ErrorBounds._fields, NOTHING, strict=True)
            }
            outputs = {
                name: OutputInterval(_spread(~mine, o.lower, -np.inf), _spread(~mine, o.upper, np.inf))
                for name, o in others.outputs.items()
            }
            made = replace(
                others, **parts, overwritten=_spread(~mine, others.overwritten, 0.0), outputs=outputs, notes=notes
            )
        if not mine.any():
            return made
        assumed = dict.fromkeys((self.calibration.words, *(others.assumptions if others is not None else ())))
        return replace(made, evidence=Evidence.STATISTICAL, assumptions=tuple(assumed))


def _spread(rows: np.ndarray, values: Any, nothing: float) -> np.ndarray:
    """Values of some rows, among all."""
    out = np.full(len(rows), nothing)
    out[rows] = values
    return out
