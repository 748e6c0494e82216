"""A guard that many ask at once: what has come in meanwhile is answered together, in one call of the guard.

An answer is four blocks of numbers:

    0    the guarded field [N], or the guarded output [1]
    1    the route, a number of ``ROUTES``: 0 accepted, 1 polished, 2 solved
    2    a bound of its error, relative as the tolerance is; ``NO_BOUND``, the largest number there is, where none is
         known: JSON has no infinity, and it is above every tolerance
    3    the evidence, a number of ``EVIDENCE``: 0 undecided, 1 observed, 2 statistical, 3 proved

What no route could answer, not even the solver, is an error and no answer. Two threads share the work, so that what is
accepted or polished never waits for what has to be solved.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from typing import Protocol, TypeVar

import numpy as np
from jaxtyping import Float

from ..solvers.answers import words
from ..solvers.problem import Problem
from ..solvers.processes.sending import workers_of
from ..terminal.words import counted
from ..verify.evidence import Evidence
from ..verify.guarded import ROUTES, Answer
from ..verify.proofs.prover import proof_of

Blocks = tuple[list[float], list[float], list[float], list[float]]
Found = TypeVar("Found")
Questions = list[tuple[np.ndarray, Future[Blocks]]]
NO_BOUND = sys.float_info.max
EVIDENCE = (Evidence.NONE, Evidence.OBSERVED, Evidence.STATISTICAL, Evidence.PROVED)
TOGETHER = 1024  # inputs of one call of the guard, at most
WAITING = 4096  # inputs that wait for an answer, and as many for a solve, at most
NOTES = 16  # that are told: some name an input, and there may be as many as inputs
STOPPING = "the server is being stopped"
PAUSE = 0.5  # seconds in which a loop without work looks whether there is something to tell


class Unsolved(Exception):
    """No route has an answer: why."""


class Busy(Exception):
    """So many are waiting that nobody should join them."""


class Guarding(Protocol):
    """A guard of either kind (``verify/guard.py``, ``verify/statistical_guard.py``), in its two parts."""

    def without_solving(self, P: np.ndarray, /) -> tuple[Answer, np.ndarray]: ...

    def by_solving(self, P: np.ndarray, /, executor: Executor | None = None) -> Answer: ...


class GuardedModel:
    """``ask`` from any thread; ``work`` in one, which solves, beside one that it starts for what needs no solve.

    Args:
        output: the name of the output that is guarded; None for the field.
    """

    def __init__(self, guard: Guarding, problem: Problem, output: str | None = None) -> None:
        self._guard, self.problem, self.output = guard, problem, output
        self._proof = proof_of(problem)
        self._waiting: deque[tuple[np.ndarray, Future[Blocks]]] = deque()
        self._unsolved: deque[tuple[np.ndarray, Future[Blocks]]] = deque()
        self._lock = threading.RLock()
        self._arrived, self._left = threading.Condition(self._lock), threading.Condition(self._lock)
        self._stopped = False
        self._raised: BaseException | None = None  # by the thread that does not solve
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
        with self._lock:
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
            executor: where solves run, as many at a time as it has workers; here, one by one, if left out.
        """
        quick = threading.Thread(target=self._answer_without_solving, daemon=True)
        quick.start()
        together = 1 if executor is None else workers_of(executor)
        try:
            while True:
                some = self._next(self._unsolved, self._left, together)
                if some is None:
                    break
                if some:
                    self._solve(some, executor)
                tell()
        finally:
            self.stop()
            quick.join()
        if self._raised is not None:
            raise self._raised

    def _answer_without_solving(self) -> None:
        try:
            while (some := self._next(self._waiting, self._arrived, TOGETHER)) is not None:
                if some:
                    self._answer(some)
        except BaseException as error:  # the thread that started this one raises it
            self._raised = error
            self.stop()

    def _next(
        self, queue: deque[tuple[np.ndarray, Future[Blocks]]], added: threading.Condition, most: int
    ) -> Questions | None:
        """The next of those that wait there; none after a while without any, None when all is over."""
        with self._lock:
            if not queue and not self._stopped:
                added.wait(PAUSE)
            if self._stopped:
                return None
            return [queue.popleft() for _ in range(min(len(queue), most))]

    def _note(self, *notes: str) -> None:
        for note in notes:
            if len(self.notes) < NOTES:
                self.notes[note] = None

    def refused(self) -> None:
        """Count a question that was none."""
        with self._lock:
            self.counts["refused"] += 1

    def _answer(self, questions: Questions) -> None:
        """What needs no solve is answered, the others wait for one."""
        with self._lock:
            self.counts["calls"] += 1
        found = self._asked(questions, lambda P: self._guard.without_solving(P), self._answer)
        if found is None:
            return
        settled, left = found
        self._tell([q for q, open_ in zip(questions, left, strict=True) if not open_], settled, np.flatnonzero(~left))
        late = [q for q, open_ in zip(questions, left, strict=True) if open_]
        with self._lock:
            room = max(WAITING - len(self._unsolved), 0) if not self._stopped else 0
            self._unsolved.extend(late[:room])
            said = (
                STOPPING if self._stopped else f"{WAITING} questions are waiting for a solve already: ask again later"
            )
            self._left.notify()
        _refuse(late[room:], said)

    def _solve(self, questions: Questions, executor: Executor | None) -> None:
        found = self._asked(
            questions, lambda P: self._guard.by_solving(P, executor), lambda one: self._solve(one, executor)
        )
        if found is not None:
            self._tell(questions, found, range(len(questions)))

    def _asked(
        self, questions: Questions, guard: Callable[[np.ndarray], Found], again: Callable[[Questions], None]
    ) -> Found | None:
        """What the guard says; None where it raised, and they were asked one by one, or know of the error."""
        try:
            return guard(np.stack([p for p, _ in questions]))
        except Exception as error:
            if len(questions) > 1:  # one of them may be the reason: the others are not to suffer for it
                for question in questions:
                    again([question])
                return None
            with self._lock:
                self.counts["errors"] += 1
            self._note(f"the guard raised {words(error)}")
            questions[0][1].set_exception(error)
            return None
        except BaseException:  # an interruption: nobody is left waiting for an answer that does not come
            _refuse(questions, STOPPING)
            raise

    def _tell(self, questions: Questions, answer: Answer, rows: Iterable[int]) -> None:
        """Those who asked, of their rows of an answer."""
        self._note(*answer.notes)
        why = {u.inputs.tobytes(): u.reason for u in answer.unsolved}
        for (p, asked), i in zip(questions, rows, strict=True):
            with self._lock:
                self.counts[str(answer.route[i])] += 1
            try:
                asked.set_result(self._blocks(answer, i))
            except Unsolved:
                reason = why.get(p.tobytes(), "nothing is known of the reason")
                asked.set_exception(Unsolved(f"no route has an answer here, not even the solver: {reason}"))

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
        with self._lock:
            self._stopped = True
            waiting = [*self._waiting, *self._unsolved]
            self._waiting.clear()
            self._unsolved.clear()
            self._arrived.notify_all()
            self._left.notify_all()
        _refuse(waiting, STOPPING)


def _refuse(questions: Questions, why: str) -> None:
    for _, asked in questions:
        if not asked.done():
            asked.set_exception(Busy(why))


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
    return f"{counted(answered(counts), 'answer')} in {counted(calls, 'call')} of the guard: {routes}{extra}"


REMARKS = {"refused": "questions refused", "errors": "lost to an error of the guard"}
