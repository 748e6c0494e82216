"""A guard that many ask at once: what has come in meanwhile is answered together, in one call of the guard.

An answer is four blocks of numbers:

    0    the guarded field [N], or the guarded output [1]
    1    the route, a number of ``ROUTES``: 0 accepted, 1 polished, 2 solved
    2    a bound of its error, relative as the tolerance is; ``NO_BOUND``, the largest number there is, where none is
         known: JSON has no infinity, and it is above every tolerance
    3    the evidence, a number of ``EVIDENCE``: 0 undecided, 1 observed, 2 statistical, 3 proved

What no route could answer, not even the solver, is an error and no answer. A question that needs a solve keeps those
that are answered with it, and those that come later, waiting for that solve.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Executor, Future

import numpy as np
from jaxtyping import Float

from ..solvers.answers import words
from ..solvers.problem import Problem
from ..verify.evidence import Evidence
from ..verify.guarded import ROUTES, Answer
from ..verify.proofs.prover import proof_of

Blocks = tuple[list[float], list[float], list[float], list[float]]
NO_BOUND = sys.float_info.max
EVIDENCE = (Evidence.NONE, Evidence.OBSERVED, Evidence.STATISTICAL, Evidence.PROVED)
TOGETHER = 1024  # inputs of one call of the guard, at most
WAITING = 4096  # inputs that wait, at most
NOTES = 16  # that are told: some name an input, and there may be as many as inputs
STOPPING = "the server is being stopped"
PAUSE = 0.5  # seconds in which a loop without work looks whether there is something to tell


class Unsolved(Exception):
    """No route has an answer: why."""


class Busy(Exception):
    """So many are waiting that nobody should join them."""


class GuardedModel:
    """``ask`` from any thread; ``work`` in one, which calls the guard.

    Args:
        guard: of either kind (``verify/guard.py``, ``verify/statistical_guard.py``).
        output: the name of the output that it guards; None for the field.
    """

    def __init__(self, guard: Callable[..., Answer], problem: Problem, output: str | None = None) -> None:
        self._guard, self.problem, self.output = guard, problem, output
        self._proof = proof_of(problem)
        self._waiting: deque[tuple[np.ndarray, Future[Blocks]]] = deque()
        self._arrived = threading.Condition()
        self._stopped = False
        self.counts: Counter[str] = Counter()  # of answers by route, of calls of the guard, of what was refused
        self.notes: dict[str, None] = {}  # the first that the guard said on the way

    @property
    def output_sizes(self) -> tuple[int, int, int, int]:
        return (self.problem.size if self.output is None else 1, 1, 1, 1)

    def ask(self, p: Float[np.ndarray, " d"]) -> Future[Blocks]:
        """The answer at an input that was checked, once there is one.

        Raises:
            Busy: too many are waiting.
        """
        asked: Future[Blocks] = Future()
        with self._arrived:
            if len(self._waiting) >= WAITING:
                raise Busy(f"{WAITING} questions are waiting already: ask again later")
            if self._stopped:
                asked.set_exception(Busy(STOPPING))
                return asked
            self._waiting.append((np.array(p), asked))
            self._arrived.notify()
        return asked

    def work(self, tell: Callable[[], None] = lambda: None, executor: Executor | None = None) -> None:
        """Answer what comes in, until ``stop``; ``tell`` is called now and then, in this thread.

        Args:
            executor: where the guard's solves run; here if left out.
        """
        while True:
            batch = self._next()
            if batch is None:
                return
            if batch:
                self._answer([p for p, _ in batch], [asked for _, asked in batch], executor)
            tell()

    def _next(self) -> list[tuple[np.ndarray, Future[Blocks]]] | None:
        with self._arrived:
            if not self._waiting and not self._stopped:
                self._arrived.wait(PAUSE)
            if self._stopped:
                return None
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), TOGETHER))]

    def _note(self, *notes: str) -> None:
        for note in notes:
            if len(self.notes) < NOTES:
                self.notes[note] = None

    def refused(self) -> None:
        """Count a question that was none."""
        with self._arrived:
            self.counts["refused"] += 1

    def _answer(self, inputs: list[np.ndarray], asked: list[Future[Blocks]], executor: Executor | None) -> None:
        self.counts["calls"] += 1
        try:
            answer = self._guard(np.stack(inputs), executor=executor)
        except Exception as error:
            if len(asked) > 1:  # one of them may be the reason: the others are not to suffer for it
                for p, one in zip(inputs, asked, strict=True):
                    self._answer([p], [one], executor)
                return
            self.counts["errors"] += 1
            self._note(f"the guard raised {words(error)}")
            asked[0].set_exception(error)
            return
        except BaseException:  # an interruption: nobody is left waiting for an answer that does not come
            for one in asked:
                if not one.done():
                    one.set_exception(Busy(STOPPING))
            raise
        self._note(*answer.notes)
        why = {u.inputs.tobytes(): u.reason for u in answer.unsolved}
        for i, one in enumerate(asked):
            route = str(answer.route[i])
            self.counts[route] += 1
            try:
                one.set_result(self._blocks(answer, i))
            except Unsolved:
                reason = why.get(inputs[i].tobytes(), "nothing is known of the reason")
                one.set_exception(Unsolved(f"no route has an answer here, not even the solver: {reason}"))

    def _blocks(self, answer: Answer, i: int) -> Blocks:
        values = answer.u[i] if answer.output is None else answer.output[i : i + 1]
        route = str(answer.route[i])
        if route == "failed" or not np.isfinite(values).all():
            raise Unsolved
        bound = float(answer.error_upper[i])
        return (
            values.tolist(),
            [float(ROUTES.index(route))],
            [bound if np.isfinite(bound) else NO_BOUND],
            [float(EVIDENCE.index(self._evidence(answer, i)))],
        )

    def _evidence(self, answer: Answer, i: int) -> Evidence:
        """What one of many answers stands on: that of all is the weakest of theirs."""
        if len(answer.statistical) and answer.statistical[i]:
            return Evidence.STATISTICAL
        return self._proof.evidence if np.isfinite(answer.error_upper[i]) else Evidence.NONE

    def stop(self) -> None:
        """Have ``work`` return; those who wait are told."""
        with self._arrived:
            self._stopped = True
            waiting, self._waiting = self._waiting, deque()
            self._arrived.notify()
        for _, asked in waiting:
            asked.set_exception(Busy(STOPPING))


class Log:
    """Lines for people, on stderr: what was answered, once a minute at most and only where something was.

    Args:
        say: prints a line.
        every: seconds between two lines.
    """

    def __init__(self, model: GuardedModel, say: Callable[[str], None], every: float = 60.0) -> None:
        self._model, self._say, self._every = model, say, every
        self._last, self._told, self._notes = time.monotonic(), 0, set[str]()

    def __call__(self) -> None:
        for note in list(self._model.notes):
            if note not in self._notes:
                self._notes.add(note)
                self._say(f"note: {note}")
        total = answered(self._model.counts)
        if total > self._told and time.monotonic() - self._last >= self._every:
            self._say(account(self._model.counts))
            self._last, self._told = time.monotonic(), total


def answered(counts: Counter[str]) -> int:
    """How many questions were answered, those without an answer included."""
    return sum(counts[route] for route in ROUTES)


def account(counts: Counter[str]) -> str:
    """What was done so far, in a line."""
    routes = ", ".join(f"{counts[route]} {route}" for route in ROUTES if counts[route]) or "none yet"
    extra = "".join(f"; {counts[key]} {text}" for key, text in REMARKS.items() if counts[key])
    calls = counts["calls"]
    return f"{_some(answered(counts), 'answer')} in {_some(calls, 'call')} of the guard: {routes}{extra}"


def _some(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


REMARKS = {"refused": "questions refused", "errors": "lost to an error of the guard"}
