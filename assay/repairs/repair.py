"""``repair``: rounds of looking where a surrogate fails, solving there, and training again; beside random samples.

Each round adds a mixture to the rows that are learnt from: ``SHARE`` of its solver calls where the surrogate's own
signal is high, apart from each other (``choose.py``), the others at fresh inputs of the design that a larger sample
would have gone on with. Counterexamples alone leave the mean worse than nothing (what is learnt from is no longer the
law that the mean is over); the mixture keeps it, and lowers the worst. What judges is never trained on (``judge.py``).

With ``compare`` the same architecture learns, beside, from the same number of random samples: as many calls again,
which are not among those that the repaired surrogate is said to cost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..solvers.precision import in_float64
from ..solvers.problem import Problem
from ..solvers.seed import MOST, checked_seed
from ..solvers.snapshots.sample import Snapshots, sample
from ..solvers.tolerance import Tolerance
from ..surrogates import Surrogate, load, save, train
from ..surrogates.architectures import surrogate_name
from ..surrogates.surrogate import versions
from .choose import CANDIDATES, choose_inputs, without
from .judge import Judged, judge
from .record import Record, Round
from .rows import kept, solved_at, together
from .signals import signal_of

SHARE = 0.75  # of a round, where the signal is high
TESTS = 256  # independent draws that the mean is over
SEARCH = 50  # solver calls of the search for the worst error
TEST_SEED, FILL_SEED = 1_000_003, 3_000_017  # added to the seed: nothing of one is in another
Progress = Callable[[str, float, float | None, str], None]


@dataclass(frozen=True, eq=False)
class Repair:
    """``surrogate`` and the ``snapshots`` that it learnt from after the last of ``rounds``; round 0 is the start."""

    surrogate: Surrogate
    snapshots: Snapshots
    rounds: tuple[Round, ...]
    tolerance: float
    notes: tuple[str, ...] = ()

    @property
    def solver_calls(self) -> int:
        """What was solved to learn from."""
        return len(self.snapshots)

    def __repr__(self) -> str:
        first, last = self.rounds[0].repaired, self.rounds[-1].repaired
        beside = self.rounds[-1].random
        random = "" if beside is None else f"; as many random samples: mean {beside.mean:.3g}, worst {beside.worst:.3g}"
        return (
            f"Repair({len(self.rounds) - 1} rounds, {self.solver_calls} solves: mean {first.mean:.3g} -> "
            f"{last.mean:.3g}, worst found {first.worst:.3g} -> {last.worst:.3g}{random})"
        )


@in_float64
def repair(
    problem: Problem,
    surrogate: Surrogate | str,
    snapshots: Snapshots,
    *,
    rounds: int = 3,
    budget: int = 32,
    tolerance: float = 1e-2,
    seed: int = 0,
    tests: Snapshots | None = None,
    search: int = SEARCH,
    compare: bool = True,
    folder: str | Path | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    **training: Any,
) -> Repair:
    """Train again in rounds, each with ``budget`` solver calls where the surrogate is expected to fail and among them.

    Args:
        surrogate: what ``train`` made of these very snapshots, or the name of an architecture, which is then trained.
        tests: solutions that nothing was trained on, ``sample(..., independent=True)``; 256 are solved if left out.
        search: solver calls of the search for the worst error, each time; 0 takes the worst of the tests alone.
        compare: whether the architecture learns from as many random samples beside, which are solved, too.
        folder: keeps what is done; the same call goes on from there, to the same result. Of a round that was cut short
            its solves are done again.
        executor: where the solves run, as in ``sample``.
        training: of ``train``: ``steps``, ``seconds``, ``physics_weight`` and options of the architecture.

    Raises:
        ValueError: a surrogate that has no training snapshots, or that learnt from others; numbers that make no sense;
            a folder with another repair in it.
    """
    rounds, budget = _whole("rounds", rounds, 1), _whole("the budget of a round", budget, 2, CANDIDATES)
    search, seed = _whole("search", search, 0), checked_seed(seed)
    tolerance = Tolerance.of(problem, tolerance).relative
    start = _start(problem, surrogate, snapshots)
    told = progress or (lambda stage, done, total, note: None)
    name = start.name if start is not None else surrogate_name(str(surrogate))
    about = {
        "problem": [problem.name, problem.settings, problem.fingerprint],
        "surrogate": [name, None if start is None else [start.seed, _content(start)], training],
        "snapshots": snapshots.hash,
        "tests": TESTS if tests is None else tests.hash,
        "settings": [budget, tolerance, seed, search, bool(compare)],
        "versions": versions(),
    }
    rounds_of = _Rounds(
        problem,
        name,
        seed if start is None else start.seed,
        training,
        Record(None if folder is None else Path(folder), about),
        executor,
        told,
    )
    draws = tests if tests is not None else rounds_of.tests(seed)
    fresh = budget - round(SHARE * budget)
    fill = _design(problem, snapshots, rounds * (budget if compare else fresh), seed, draws.inputs)

    def judged(model: Surrogate) -> Judged:
        return judge(problem, model, draws, tolerance, search, seed, executor)

    rows, others, signal = snapshots, snapshots, ""
    model = start if start is not None else rounds_of.learnt("round-0", rows)
    for number in range(rounds + 1):
        if number:
            some = fill[(number - 1) * fresh : number * fresh]
            signal, P = rounds_of.chosen(number, model, rows, budget - fresh, some, seed, draws.inputs)
            rows = together(rows, rounds_of.solved(f"round-{number}", P, snapshots.seed))
            model = rounds_of.learnt(f"round-{number}", rows)
        if number and compare:
            P = fill[(number - 1) * budget : number * budget]
            others = together(others, rounds_of.solved(f"random-{number}", P, snapshots.seed))
        if number in rounds_of.record.rounds:
            continue
        told(f"round {number}: judging", 0, None, "")
        repaired = judged(model)
        beside = None
        if compare:
            beside = judged(rounds_of.learnt(f"random-{number}", others)) if number else repaired
        rounds_of.record.add(Round(number, len(rows), signal, repaired, beside))
    done = tuple(rounds_of.record.rounds[n] for n in range(rounds + 1))
    notes = [f"{count} of {len(rows)} solves failed: {why}" for why, count in rows.why_failed().items()]
    return Repair(model, rows, done, tolerance, tuple(notes))


@dataclass(frozen=True)
class _Rounds:
    """The steps of a round, each read from the folder where it was done before."""

    problem: Problem
    name: str
    seed: int  # of training
    training: dict[str, Any]
    record: Record
    executor: Executor | None
    told: Progress

    def tests(self, seed: int) -> Snapshots:
        return sample(
            self.problem, TESTS, (seed + TEST_SEED) % MOST, independent=True, path=self.record.file("test.h5"),
            executor=self.executor, progress=self._bar("solving to test"),
        )  # fmt: skip

    def chosen(
        self,
        number: int,
        model: Surrogate,
        rows: Snapshots,
        n: int,
        fresh: Float[np.ndarray, "m d"],
        seed: int,
        judging: Float[np.ndarray, "t d"],
    ) -> tuple[str, Float[np.ndarray, "k d"]]:
        def choose() -> tuple[str, np.ndarray]:
            self.told(f"round {number}: looking where it fails", 0, None, "")
            signal = signal_of(self.problem, model, rows)
            never = np.concatenate([rows.inputs, fresh, judging])
            wanted = choose_inputs(signal, self.problem.inputs, n, seed + number, never)
            return signal.kind, np.concatenate([wanted, fresh])

        return self.record.chosen(number, self.problem.inputs.dimension, choose)

    def solved(self, label: str, P: Float[np.ndarray, "n d"], seed: int) -> Snapshots:
        def solve() -> Snapshots:
            return solved_at(self.problem, P, seed, self.executor, self._bar(f"{label}: solving"))

        return kept(self.record.file(f"{label}.h5"), self.problem, solve)

    def learnt(self, label: str, rows: Snapshots) -> Surrogate:
        file, checkpoint = (self.record.file(f"{label}.{kind}") for kind in ("safetensors", "checkpoint"))
        if file is not None and file.exists():
            kept_before = load(file, self.problem)
            assert isinstance(kept_before, Surrogate)  # as it was saved below
            return kept_before

        def bar(done: float, total: float | None, note: str = "") -> None:
            self.told(f"{label}: training", done, total, note)

        made: Surrogate = train(
            self.problem, self.name, rows, seed=self.seed, checkpoint=checkpoint, progress=bar, **self.training
        )
        if file is not None and checkpoint is not None:
            save(made, file)
            checkpoint.unlink(missing_ok=True)
        return made

    def _bar(self, stage: str) -> Callable[[int, int], None]:
        return lambda done, total: self.told(stage, done, total, "")


def _whole(what: str, value: Any, least: int, most: int = 10**9) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
        raise ValueError(f"{what}: a whole number from {least} to {most}, not {value!r}")
    return int(value)


def _content(surrogate: Surrogate) -> str:
    """A hash of what it is: with other options the same snapshots teach another one."""
    digest = hashlib.sha256(json.dumps(surrogate.architecture, sort_keys=True).encode())
    for key, array in sorted(surrogate.arrays.items()):
        digest.update(json.dumps([key, str(array.dtype), list(array.shape)]).encode() + array.tobytes())
    return digest.hexdigest()


def _start(problem: Problem, surrogate: Any, snapshots: Any) -> Surrogate | None:
    """The trained surrogate that is repaired; None where an architecture is named.

    Raises:
        ValueError: it cannot be, in one sentence.
    """
    if not problem.has_solver:
        raise ValueError(f"{problem.name} has no solver: where its surrogate fails nothing new can be solved")
    if not isinstance(surrogate, str | Surrogate):
        raise ValueError(
            f"a {type(surrogate).__name__} has no training snapshots that could be added to: repair takes what "
            "assay.train made, or the name of an architecture"
        )
    if not isinstance(snapshots, Snapshots):
        raise ValueError(
            f"the snapshots that the surrogate learnt from are what assay.sample returns, not a "
            f"{type(snapshots).__name__}: one that learnt from physics alone has none that could be added to"
        )
    if isinstance(surrogate, str):
        return None
    if surrogate.data_hash != snapshots.hash:
        raise ValueError(
            f"the surrogate learnt from other snapshots ({surrogate.data_hash[:12]}) than these "
            f"({snapshots.hash[:12]}): pass those, or the name {surrogate.name!r} to train on these first"
        )
    if surrogate.box.to_json() != problem.inputs.to_json():
        raise ValueError("the surrogate learnt on a part of the problem's box, and repair looks at the whole")
    return surrogate


def _design(
    problem: Problem, snapshots: Snapshots, n: int, seed: int, judging: Float[np.ndarray, "t d"]
) -> Float[np.ndarray, "n d"]:
    """n fresh samples, none of ``judging``: the design of the snapshots goes on where they are the beginning of one."""
    box, had, more = problem.inputs, len(snapshots), n + len(judging)
    design = box.sample(had + more, snapshots.seed)
    if had and np.allclose(box.to_unit(design[:had]), box.to_unit(snapshots.inputs), rtol=0, atol=1e-9):
        design = design[had:]
    else:
        design = box.sample(more, (seed + FILL_SEED) % MOST)
    kept = without(box.to_unit(design), box.to_unit(judging))
    return design[:n] if len(kept) == more else box.from_unit(kept)[:n]
