"""A training run: steps of one optimiser or of several under a budget, interruptible, and resumable to the bit.

Steps run in compiled chunks; clock, checkpoint and progress come between them. How many steps a chunk holds changes
nothing in the numbers, so a run stopped by the clock after n steps is repeated exactly by ``steps=n``, and an
interrupted run goes on as if nothing had happened. It stops early when STALL steps have not lowered the loss by a
factor of 1 - GAIN. The optimisers themselves are in ``optimisers.py``, ``stochastic.py`` and ``gauss_newton.py``.
"""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...solvers.files import parse_json, read_arrays, replace

Progress = Callable[[float, float | None, str], object]  # (done, total, what to show), in steps or seconds

PAUSE = 0.3  # seconds of work between looks at the clock
SAVE = 5.0  # seconds between checkpoints
LOOK = 50  # steps between looks at the loss, which make the learning curve
STALL, GAIN = 100, 0.01
HARDLY = 100  # steps; the first 50 or so are Adam's, and what follows them is compiled after them


@dataclass(frozen=True)
class Budget:
    """When to stop, whichever comes first, and where to keep the state meanwhile. The clock started at ``start``."""

    steps: int
    seconds: float | None = None
    start: float = 0.0
    checkpoint: Path | None = None
    progress: Progress | None = None
    identity: str = ""  # of the run: a checkpoint of another one is refused
    patience: int = STALL  # steps in which the loss must fall by a share GAIN


class Outcome(NamedTuple):
    """Where a minimisation ended: its last weights and loss, the steps and seconds it took, and why it stopped."""

    weights: Any
    steps: int
    seconds: float
    loss: float
    stopped: str  # steps, seconds, converged, diverged
    curve: tuple[float, ...] = ()  # the loss at the beginning and after every LOOK steps
    prepared: float = 0.0  # seconds before steps could be made: compiling above all, with the first steps of programs


def run_warnings(outcome: Outcome, seconds: float | None, remedies: str) -> list[str]:
    """What speaks against a network because of how its run ended, a sentence each.

    Args:
        remedies: what may help where it diverged.
    """
    told = clock_warning(outcome, seconds)
    if outcome.stopped != "diverged":
        return told
    return [
        f"training diverged after {outcome.steps} steps, and its last good state was kept: {remedies} are the likely "
        "remedies",
        *told,
    ]


def clock_warning(outcome: Outcome, seconds: float | None) -> list[str]:
    """A sentence if the clock stopped a run that compiling had hardly let begin; none otherwise."""
    late = outcome.steps == 0 or (outcome.steps < HARDLY and outcome.prepared > outcome.seconds / 2)
    if outcome.stopped != "seconds" or seconds is None or not late:
        return []
    enough = ceil(max(4 * outcome.prepared, 2 * seconds))
    made = {0: "no step was", 1: "only one step was"}.get(outcome.steps, f"only {outcome.steps} steps were")
    return [
        f"{made} made in seconds={seconds:.3g}: compiling, and what else comes before the first step, took "
        f"{outcome.prepared:.2g} s, so the network is hardly trained: take seconds={enough} or more, or "
        "steps= without a clock"
    ]


def identity(*facts: Any) -> str:
    """A name for everything that determines a run."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


class Stages:
    """One training run of several optimisers, one after the other, under one budget and in one checkpoint."""

    def __init__(self, budget: Budget) -> None:
        self._run, self._number = _Run(budget), -1

    def run(self, end: int, begin: Callable[[], Any], advance: Callable[[Any, Any], tuple[Any, Any]]) -> Any:
        """The next optimiser, up to step ``end`` of the whole run.

        Args:
            begin: its first state, a pytree of arrays.
            advance: (state, n) -> the state n steps later, and what the run is judged by there.

        Returns:
            Its last state; None where there was nothing for it to do.
        """
        run, self._number = self._run, self._number + 1
        over = run.stopped or run.step >= end > 0
        if self._number < run.phase or (over and run.leaves is None):
            return None
        fresh = jax.tree.map(lambda a: jnp.asarray(np.asarray(a)), begin())
        state = run.restored(fresh) if run.leaves is not None else fresh
        run.phase = self._number
        if not run.history:
            run.look(float(advance(state, 0)[1]))
        return run.through(state, end, advance)

    def looked(self, value: float) -> None:
        """What the weights were judged by where the last steps ended: a run that is not finite there has diverged."""
        if not np.isfinite(value):
            self._run.stopped = "diverged"

    def outcome(self, weights: Any) -> Outcome:
        """Where the run ended."""
        run = self._run
        why, prepared = run.stopped or "steps", run.elapsed - run.before - run.worked
        return Outcome(weights, run.step, run.elapsed, run.history[-1], why, tuple(run.history), prepared)


class _Stored(NamedTuple):
    """A checkpoint: where a run stood, and the numbers of its state."""

    phase: int
    step: int
    seconds: float
    history: list[float]
    leaves: list[np.ndarray]
    stopped: str
    identity: str


def _stored(path: Path) -> _Stored:
    try:
        stored = read_arrays(path)
        phase, step, seconds, history, stopped, whose = parse_json(str(stored.pop("about")), nan=True)
        if any(type(x) is not int or x < 0 for x in (phase, step)) or not 0 <= float(seconds) < np.inf:
            raise ValueError("no number of steps or seconds")
        history = [float(x) for x in history]
        return _Stored(phase, step, seconds, history, [stored[key] for key in sorted(stored)], stopped, whose)
    except (OSError, ValueError, KeyError, TypeError, EOFError, OverflowError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged, or no training checkpoint ({type(error).__name__}): delete it") from None


def steps_done(checkpoint: Path) -> int:
    """The step that training would go on from: 0 where there is no checkpoint.

    Raises:
        ValueError: the file is damaged, or something else.
    """
    return _stored(checkpoint).step if checkpoint.exists() else 0


def identity_kept(checkpoint: Path | None) -> str:
    """The identity of the run that a checkpoint is of; "" where there is none.

    Raises:
        ValueError: the file is damaged, or something else.
    """
    return _stored(checkpoint).identity if checkpoint is not None and checkpoint.exists() else ""


class _Run:
    """Where a run stands: step, phase, losses, seconds, and the state's numbers while they wait to be restored."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.phase, self.step, self.before = 0, 0, 0.0
        self.worked = 0.0  # seconds of steps that were compiled before
        self.history: list[float] = []  # the loss at every multiple of LOOK steps
        self.stopped = ""
        self.leaves: list[np.ndarray] | None = None
        self.started = budget.start or time.perf_counter()
        self.saved = time.perf_counter()
        self.size = 1
        self.latest: Any = None  # the state
        self._load()

    @property
    def elapsed(self) -> float:
        return self.before + time.perf_counter() - self.started

    def through(self, state: Any, end: int, advance: Callable[[Any, int], tuple[Any, Any]]) -> Any:
        """Steps up to ``end``, or until it is time to stop."""
        try:
            return self._through(state, end, advance)
        finally:  # an interruption loses nothing but the chunk in progress
            self.save(self.latest)

    def _through(self, state: Any, end: int, advance: Callable[[Any, int], tuple[Any, Any]]) -> Any:
        warm = False
        self.size, self.latest = 1, state
        while self.step < end and not self.stopped:
            if self.budget.seconds is not None and self.elapsed >= self.budget.seconds:
                self.stopped = "seconds"
                break
            count = min(self.size if warm else 1, end - self.step, LOOK - self.step % LOOK)
            began = time.perf_counter()
            new, value = advance(self.latest, count)
            value = float(value)
            spent = (time.perf_counter() - began) / count
            if not np.isfinite(value):
                self.stopped = "diverged"
                break
            self.latest, self.step = new, self.step + count
            if warm:
                self.worked += spent * count
                self.size = max(1, min(LOOK, int(PAUSE / max(spent, 1e-6))))
            warm = True
            if self.step % LOOK == 0:
                self.look(value)
            self._report(value, spent)
            if time.perf_counter() - self.saved > SAVE:
                self.save(self.latest)
        return self.latest

    def look(self, value: float) -> None:
        """Note the loss; stop if it has stalled.

        Raises:
            ValueError: it is not finite to begin with.
        """
        if not self.history and not np.isfinite(value):
            raise ValueError(
                "training cannot start, for its loss is not finite at the initial weights: most likely the norm or the "
                "residual of the problem is NaN or overflows at fields near the mean, so mend it there, give fields in "
                "units near one, or leave physics, smoothness or single precision out"
            )
        self.history.append(value)
        # rounding floors the loss: 1e-15 of the constant it is computed from
        back = max(1, self.budget.patience // LOOK)
        if len(self.history) > back + 1 and value > (1 - GAIN) * self.history[-1 - back] - 1e-15:
            self.stopped = "converged"

    def _report(self, value: float, spent: float) -> None:
        b = self.budget
        if b.progress is None:
            return
        left = (b.steps - self.step) * spent
        done, total = float(self.step), float(b.steps)
        if b.seconds is not None and b.seconds - self.elapsed < left:
            left = max(b.seconds - self.elapsed, 0.0)
            done, total = min(self.elapsed, b.seconds), b.seconds
        b.progress(done, total, f"loss {value:.2e}, {1 / max(spent, 1e-9):.3g} steps/s, {left:.0f} s left")

    def save(self, state: Any) -> None:
        """Write where the run stands, in one step: a reader finds the old state or the new one."""
        path = self.budget.checkpoint
        if path is None or state is None:
            return
        about = [self.phase, self.step, self.elapsed, self.history, self.stopped, self.budget.identity]
        leaves = {f"leaf{i:03d}": np.asarray(a) for i, a in enumerate(jax.tree.leaves(state))}
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, lambda stream: np.savez(stream, about=np.array(json.dumps(about)), **leaves))  # type: ignore[arg-type]
        self.saved = time.perf_counter()

    def _load(self) -> None:
        path = self.budget.checkpoint
        if path is None or not path.exists():
            return
        found = _stored(path)
        if found.identity != self.budget.identity:
            raise ValueError(f"{path} belongs to another training run: delete it, or name another checkpoint")
        self.phase, self.step, self.before, self.history, self.leaves = found[:5]
        # a larger budget goes on where a smaller one ended
        self.stopped = found.stopped if found.stopped in ("converged", "diverged") else ""
        if self.budget.progress is not None:
            self.budget.progress(float(self.step), float(self.budget.steps), f"going on from step {self.step}")

    def restored(self, like: Any) -> Any:
        """The stored state, in the structure of a fresh one."""
        leaves, structure = jax.tree.flatten(like)
        stored, self.leaves = self.leaves or [], None
        if [np.shape(a) for a in leaves] != [a.shape for a in stored]:
            raise ValueError(f"{self.budget.checkpoint} belongs to another training run: delete it")
        return jax.tree.unflatten(structure, [jnp.asarray(a) for a in stored])
