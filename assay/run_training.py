"""A training run in its folder: snapshots, training, test errors; each part resumable."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from . import surrogates
from .data_run import DataSource
from .results import file_hash
from .run_folder import RunFolder
from .solvers.batching import RowMap
from .solvers.component_errors import component_ratios
from .solvers.problem import Problem
from .solvers.snapshots.sample import Snapshots, sample
from .solvers.tolerance import Tolerance, scaled

TOLERANCE = 1e-2
LOOKED_AT = 32  # solutions of a sample, for what small errors would hide
TEST_SEED = 1_000_003  # added to the run's seed: test inputs are never training inputs


@dataclass(frozen=True)
class Plan:
    """What is trained and on what: solves to learn from and to test with, the seed of both, when to stop, and the
    options of the architecture.
    """

    surrogate: str
    snapshots: int
    test: int
    seed: int
    box: Any  # the training box, None for the problem's own
    physics_weight: float | None
    seconds: float | None
    steps: int | None
    options: dict[str, Any]

    def settings(self) -> dict[str, Any]:
        """The same as JSON values, for ``run.json``."""
        box = None if self.box is None else self.box.to_json()
        return {**self.__dict__, "box": box}


@dataclass(frozen=True)
class Errors:
    """Errors at inputs whose truth is known, relative to the solution's size (plus ``Problem.zero_scale``); infinite
    where the surrogate's answer is not a field of numbers. ``components``: of each by itself, where there are several.
    """

    errors: Float[np.ndarray, " n"]
    components: dict[str, Float[np.ndarray, " n"]]


def errors_at(problem: Problem, surrogate: Callable[[Any], Any], tests: Snapshots) -> Errors:
    """The surrogate's errors at all tests that were solved.

    Raises:
        ValueError: the surrogate's answers are no fields of this problem; the message says what to do.
    """
    from .verify.answers.evaluate import evaluate
    from .verify.answers.first_call import check_answers

    rows = np.flatnonzero(tests.valid)
    P, truths = tests.inputs[rows], tests.fields[rows]
    check_answers(problem, surrogate)
    answers = evaluate(surrogate, P, problem)
    names = problem.component_names

    def sizes(p: Array, u: Array, truth: Array) -> tuple[Array, ...]:
        away = truth - problem.prescribe(p, u)
        found = (problem.norm(p, away), problem.magnitude(p, truth))
        if len(names) < 2:
            return found
        return (*found, problem.component_norms(p, away), problem.component_magnitudes(p, truth))

    away, whole, *parts = RowMap(sizes)(P, answers.fields, truths)
    errors = np.where(answers.good, scaled(away, whole, problem.zero_scale), np.inf)
    if not parts:
        return Errors(errors, {})
    by_component = component_ratios(parts[0], parts[1], whole[:, None], problem.zero_scale)
    by_component = np.where(answers.good[:, None], by_component, np.inf)
    return Errors(errors, dict(zip(names, by_component.T, strict=True)))


def summary(errors: Float[np.ndarray, " n"]) -> dict[str, float]:
    """Mean, median, 95 % quantile ("p95") and maximum of errors [n]; NaN where there are none."""
    if not len(errors):
        return dict.fromkeys(("mean", "median", "p95", "max"), float("nan"))
    with np.errstate(invalid="ignore"):
        return {
            "mean": float(np.mean(errors)),
            "median": float(np.median(errors)),
            "p95": float(np.quantile(errors, 0.95, method="higher")),
            "max": float(np.max(errors)),
        }


def failures(snapshots: Snapshots) -> list[str]:
    """How many solves failed and why, one line a reason."""
    return [f"{count} of {len(snapshots)} solves failed: {why}" for why, count in snapshots.why_failed().items()]


def hidden(problem: Problem, taken: list[Snapshots]) -> list[str]:
    """What of these solutions a surrogate could get wrong without an error above ``TOLERANCE``, which the other verbs
    have if none is named: one line each.
    """
    from .verify.search.unseen import Unseen

    unseen = Unseen(problem, Tolerance.of(problem, TOLERANCE))
    for snapshots in taken:
        for i in np.flatnonzero(snapshots.valid)[:LOOKED_AT]:
            unseen.add(snapshots.inputs[i], snapshots.fields[i])
    return [f"at tolerance {TOLERANCE:g}: {note}" for note in unseen.notes()]


def run_training(
    folder: RunFolder,
    problem: Problem,
    plan: Plan,
    progress: Callable[[str, float, float | None, str], None] | None = None,
    source: DataSource | None = None,
    executor: Executor | None = None,
) -> dict[str, Any]:
    """Sample, train, save, test. Killed at any moment, the same call goes on from where it was.

    Args:
        progress: called with (stage, done, total, note).
        source: the rows to learn from and to test with, in the place of solves.
        executor: where the solves run, as in ``sample``.

    Returns:
        The results that ``run.json`` keeps, as JSON values.

    Raises:
        ValueError: too few solves succeeded, or the plan's options make no sense.
        OSError: a file cannot be written.
    """

    def sampled_into(name: str, n: int, seed: int, stage: str, independent: bool = False) -> Snapshots:
        file, told = folder.file(name), report(stage)
        return sample(problem, n, seed, independent=independent, path=file, executor=executor, progress=told)

    def report(stage: str) -> Callable[..., None] | None:
        if progress is None:
            return None
        return lambda done, total, note="": progress(stage, done, total, note)

    started = time.perf_counter()
    snapshots = None
    if source is not None:
        source.keep(folder)
        snapshots = source.learn
    elif plan.snapshots:
        snapshots = sampled_into("snapshots.h5", plan.snapshots, plan.seed, "sampling")
    sampled = time.perf_counter()
    checkpoint = folder.file("training.checkpoint")
    model = surrogates.train(
        problem,
        plan.surrogate,
        snapshots,
        seed=plan.seed,
        box=plan.box,
        physics_weight=plan.physics_weight,
        seconds=plan.seconds,
        steps=plan.steps,
        checkpoint=checkpoint,
        progress=report("training"),
        **plan.options,
    )
    trained = time.perf_counter()
    surrogates.save(model, folder.file("model.safetensors"))
    from .drawing.learning import keep_curve

    keep_curve(folder.path, model.training)
    tested, tests = Errors(np.zeros(0), {}), None
    if plan.test:
        if source is not None:
            tests = source.held
        else:
            tests = sampled_into("test.h5", plan.test, plan.seed + TEST_SEED, "testing", independent=True)
        tested = errors_at(problem, model, tests)
    results = {
        "errors": summary(tested.errors),
        "component_errors": {name: summary(errors) for name, errors in tested.components.items()},
        "test_inputs": len(tested.errors),
        "parameters": model.parameters,
        "seconds": trained - sampled,
        "sampling_seconds": sampled - started,
        "solver_calls": plan.snapshots + plan.test + int(model.training.get("solved_in_training", 0)),
        "snapshots_hash": None if snapshots is None else snapshots.hash,
        "test_hash": None if tests is None else tests.hash,
        "model_hash": file_hash(folder.file("model.safetensors")),
    }
    checkpoint.unlink(missing_ok=True)
    if source is not None:
        results["solver_calls"] = 0
        results |= {"conformal": source.bars(model)} if plan.test else {}
    taken = [each for each in (snapshots, tests) if each is not None]
    results["notes"] = [
        *(source.data.remarks if source else ()),
        *(note for each in taken for note in failures(each)),
        *hidden(problem, taken),
    ]
    results["training"] = model.training
    return results
