"""The stepping guard on trained one-step networks: what gets out, how much is mended, what it costs.

1000 trajectories each of heat and Burgers at 1 %. The network is guarded by proof; beside it a guard that solves every
window, and one that mends as many windows by solving, drawn at random, as the proof has mended, and goes on from there.
Wrong: a state that lies certainly further from the truth's than 1 % of its size, in the norm of the space.

    python -m assay.benchmarks.steps.guarded_steps [--quick] [--json]
"""

from __future__ import annotations

import itertools
import sys
import time
from typing import Any

import jax
import numpy as np
from rich.console import Console

from ...solvers.batching import RowMap
from ...solvers.classes.evolution import EvolutionProblem
from ...solvers.problems.burgers import Burgers
from ...solvers.problems.heat import Heat
from ...verify.guard_steps import StepsAnswer, guard_steps
from ...verify.proofs.prover import proof_of
from ...verify.proofs.stepping import SteppingProof
from .. import command
from .one_step import OneStep, train_one_step

TOLERANCE = 1e-2
BATCH = 200
PROBLEMS: tuple[tuple[str, EvolutionProblem, EvolutionProblem, tuple[int, ...]], ...] = (  # the second one is quick
    ("burgers", Burgers(), Burgers(cells=64, steps=20), (0,)),
    ("heat", Heat(), Heat(cells=8, steps=16), (0, 1, 2, 3, 4)),
)


class Errors:
    """True errors of states, relative to their size, from below: less what is known of the truth's own."""

    def __init__(self, problem: EvolutionProblem) -> None:
        proof = proof_of(problem)
        assert isinstance(proof, SteppingProof)
        self.problem = problem
        self._sizes = RowMap(lambda p, states: jax.vmap(lambda v: proof.state_norm(p, v)[0])(states))
        self._truths = RowMap(lambda p, v: proof.carried(proof.start(p), proof.measures(p, problem.states(v))))

    def __call__(self, P: np.ndarray, truth: np.ndarray, fields: np.ndarray) -> np.ndarray:
        shape = (len(P), self.problem.steps + 1, -1)
        gap = self._sizes(P, (fields - truth).reshape(shape))
        size, known = self._sizes(P, truth.reshape(shape)), self._truths(P, truth)
        return np.asarray(np.maximum(gap * (1 - 1e-12) - known, 0.0) / (size + known))


class AtRandom:
    """A march that solves windows at random, from the states that it has."""

    def __init__(self, problem: EvolutionProblem, stepper: OneStep, windows: np.ndarray) -> None:
        self.stepper, self.windows, self.rng = stepper, windows, np.random.default_rng(1)
        self._initial, self._step = RowMap(problem.initial), RowMap(problem.step)

    def __call__(self, P: np.ndarray, share: float) -> np.ndarray:
        """Fields; ``share``: the probability that a window is solved."""
        v = np.zeros((len(P), self.windows[-1] + 1, len(self.stepper.basis)))
        v[:, 0] = self._initial(P)
        for a, z in itertools.pairwise(self.windows):
            solved = self.rng.random(len(P)) < share
            for t in range(a, z):
                v[:, t + 1] = self.stepper(P, v[:, t])
                if solved.any():
                    v[solved, t + 1] = self._step(P[solved], v[solved, t])
        return v.reshape(len(P), -1)


def measured(
    name: str, problem: EvolutionProblem, columns: tuple[int, ...], n: int, seconds: float
) -> list[dict[str, Any]]:
    """A row for every guard."""
    stepper, about = train_one_step(problem, columns, seconds=seconds)
    command.progress(f"{name}: trained, {about}")
    errors, P = Errors(problem), problem.inputs.draw(n, seed=5)
    guarded = guard_steps(problem, stepper, TOLERANCE)
    unproved = AtRandom(problem, stepper, guarded.edges)
    unproved(P[:2], 0.5)
    guarded(P[: min(n, 40)])  # compiled
    problem.attempt_batch(P[:2])
    found: dict[str, list[Any]] = {key: [] for key in ("solved", "guarded", "random", "bare")}
    spent = dict.fromkeys(found, 0.0)
    answers: list[StepsAnswer] = []
    for start in range(0, n, BATCH):
        part = P[start : start + BATCH]
        begun = time.perf_counter()
        truth = np.asarray(problem.attempt_batch(part).u)
        spent["solved"] += time.perf_counter() - begun
        begun = time.perf_counter()
        answers.append(guarded(part))
        spent["guarded"] += time.perf_counter() - begun
        mended = 1 - answers[-1].counts["accepted"] / answers[-1].route.size
        for key, share in (("random", mended), ("bare", 0.0)):
            begun = time.perf_counter()
            fields = unproved(part, share)
            spent[key] += time.perf_counter() - begun
            found[key].append(errors(part, truth, fields))
        found["guarded"].append(errors(part, truth, answers[-1].u))
        found["solved"].append(errors(part, truth, truth))
        command.progress(f"{name}: {start + len(part)} trajectories, {answers[-1]}")
    counts = {route: sum(a.counts[route] for a in answers) for route in answers[0].counts}
    windows = sum(counts.values())
    proved = float(np.mean(np.concatenate([a.within for a in answers])))
    rows = []
    for key, title in (
        ("solved", "every window solved"), ("guarded", "guard_steps"), ("random", "as many windows at random"),
        ("bare", "the network alone"),
    ):  # fmt: skip
        worst = np.concatenate(found[key])
        mine = {"accepted": 0, "polished": 0, "solved": windows} if key == "solved" else counts
        shares = {route: mine[route] / windows for route in ("accepted", "polished", "solved")}
        if key in ("random", "bare"):
            share = 1 - counts["accepted"] / windows if key == "random" else 0.0
            shares = {"accepted": 1 - share, "polished": 0.0, "solved": share}
        rows.append(
            {
                "problem": name,
                "guard": title,
                "trajectories": n,
                "wrong trajectories": int((worst > TOLERANCE).any(axis=1).sum()),
                "wrong states": int((worst > TOLERANCE).sum()),
                "largest error": float(worst.max()),
                **shares,
                "proved within": {"solved": 1.0, "guarded": proved}.get(key, 0.0),
                "ms a trajectory": 1e3 * spent[key] / n,
            }
        )
    return rows


def measure(quick: bool) -> dict[str, Any]:
    """All problems."""
    rows: list[dict[str, Any]] = []
    for name, problem, small, columns in PROBLEMS:
        rows += measured(name, small if quick else problem, columns, 40 if quick else 1000, 3.0 if quick else 90.0)
    guarded = [row for row in rows if row["guard"] == "guard_steps"]
    return {
        "rows": rows,
        "holds": {
            "no wrong state gets out of the guard": all(row["wrong states"] == 0 for row in guarded),
            "every guarded trajectory is proved to be within the tolerance": all(
                row["proved within"] == 1.0 for row in guarded
            ),
        },
    }


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("One-step networks at 1 %: states that are wrong, shares of windows", result["rows"]))


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
