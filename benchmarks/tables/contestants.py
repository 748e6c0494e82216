"""Who stands in a table: the surrogates that fit a problem, trained on the same snapshots, and what training took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np

from ...solvers.problem import Problem
from ...solvers.snapshots.sample import Snapshots, sample
from ...surrogates import ARCHITECTURES, load, save, train
from .effort import Effort
from .parts import Parts
from .yardstick import Progress

NETWORKS = ("pod-mlp",)


@dataclass(frozen=True)
class Trained:
    """A surrogate that a row of the table is measured of: its members, one a seed, and the seconds that training one of
    them took, snapshots included.
    """

    name: str
    kind: str  # network, baseline or given
    members: list[Any]  # one per seed
    training: float


def usual() -> list[str]:
    """The surrogates of a table that names none: every baseline, and the network that trains in seconds."""
    return [name for name, kind in ARCHITECTURES.items() if kind.kind == "baseline" or name in NETWORKS]


def unfit(problem: Problem, name: str) -> str:
    """Why this surrogate cannot be made for this problem; empty where it can."""
    why = ARCHITECTURES[name].misfit(problem)
    return f"{name} is left out: {why}" if why else ""


def fitting(problem: Problem, names: Iterable[str] | None = None) -> tuple[list[str], list[str]]:
    """The surrogates for this problem, the usual ones by default, and a remark for each that does not fit.

    Raises:
        ValueError: a surrogate that was asked for by name does not fit.
    """
    wanted = usual() if names is None else list(names)
    why = {name: unfit(problem, name) for name in wanted}
    if names is not None and any(why.values()):
        raise ValueError("; ".join(w for w in why.values() if w))
    return [name for name in wanted if not why[name]], [w for w in why.values() if w]


class Training:
    """Trains by name, on snapshots that are solved once, when they are first needed.

    ``each``: seconds of one solve, for snapshots that an earlier process has solved and not timed, or that were solved
    side by side.
    """

    def __init__(
        self,
        problem: Problem,
        effort: Effort,
        each: float,
        parts: Parts,
        progress: Progress,
        executor: Executor | None = None,
    ) -> None:
        self.executor = executor
        self.problem, self.effort, self.each, self.parts, self.progress = problem, effort, each, parts, progress

    @cached_property
    def data(self) -> tuple[Snapshots, float]:
        """The snapshots, and the seconds that all of them take."""
        count, there = self.effort.snapshots, []

        def progress(done: int, total: int) -> None:
            there.append(done)
            self.progress("snapshots", done, total)

        start = time.perf_counter()
        path, executor = self.parts.path("snapshots.h5"), self.executor
        found = sample(self.problem, count, seed=0, path=path, executor=executor, progress=progress)
        spent, solved = time.perf_counter() - start, 0 if executor is not None else count - there[0]
        return found, self.parts.json("snapshots", lambda: spent * count / solved if solved else self.each * count)

    def __call__(self, name: str) -> Trained:
        """
        Raises:
            ValueError: too few snapshots were solved.
        """
        snapshots, solving = self.data
        network = name in NETWORKS
        made = [self._member(name, seed, snapshots) for seed in self.effort.seeds[: None if network else 1]]
        members, seconds = [m for m, _ in made], float(np.mean([s for _, s in made]))
        return Trained(name, "network" if network else "baseline", members, solving + seconds)

    def _member(self, name: str, seed: int, snapshots: Snapshots) -> tuple[Any, float]:
        if name not in NETWORKS:
            start = time.perf_counter()
            return train(self.problem, name, snapshots, seed=seed), time.perf_counter() - start
        made: list[Any] = []
        label = f"{name}-{seed}"
        model, checkpoint = (self.parts.path(f"{label}.{ending}") for ending in ("safetensors", "checkpoint"))

        def learn() -> float:
            def report(done: float, total: float | None, note: str) -> None:
                self.progress(f"training {label}", int(done), int(total or 0))

            start = time.perf_counter()
            options: dict[str, Any] = {"seconds": self.effort.seconds, "checkpoint": checkpoint, "progress": report}
            made.append(train(self.problem, name, snapshots, seed=seed, **options))
            if model is not None and checkpoint is not None:
                save(made[0], model)
                checkpoint.unlink(missing_ok=True)
            return max(time.perf_counter() - start, made[0].training["seconds"])

        seconds: float = self.parts.json(label, learn)
        if not made:
            assert model is not None
            made.append(load(model, self.problem))
        return made[0], seconds


def attempted(make: Callable[[], Any], what: str) -> tuple[Any, str]:
    """What was made, or None and why not: one surrogate that cannot be made is not the end of a table."""
    try:
        return make(), ""
    except (ValueError, ArithmeticError, RuntimeError) as error:
        if isinstance(error, jax.errors.JaxRuntimeError):  # an interruption inside of JAX looks like this
            raise
        return None, f"{what} is left out: {' '.join(str(error).split()) or type(error).__name__}"
