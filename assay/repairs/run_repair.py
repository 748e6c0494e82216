"""A repair of a run, in a run folder of its own, which every verb takes as it takes the first.

rounds/repair.json    the rounds that are done
rounds/round-1.json   what a round chose, its solutions (.h5), what learnt from them (.safetensors); random-1 beside
snapshots.h5          all that was learnt from; model.safetensors, test.h5: as in any run
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import asdict
from typing import Any

from ..results import file_hash
from ..run_folder import RunFolder
from ..run_training import TEST_SEED, errors_at, failures, summary
from ..solvers.problem import Problem
from ..solvers.snapshots.sample import Snapshots, load_snapshots, sample
from ..solvers.snapshots.snapshot_file import write
from ..surrogates import Surrogate, save
from ..terminal.errors import UserError
from .repair import TESTS, repair
from .rows import kept


def check_repairable(run: RunFolder) -> None:
    """
    Raises:
        UserError: the run has no training snapshots that could be added to, or learnt on a part of the box.
    """
    training = run.settings.get("training")
    if "data" in run.settings["problem"]:
        raise UserError(f"{run.path} learnt from data: there is no solver that could solve where it fails")
    if not isinstance(training, dict) or not run.file("snapshots.h5").exists():
        raise UserError(f"{run.path} has no snapshots.h5, as a run from physics alone has none: nothing to add to")
    if training.get("box") is not None:
        raise UserError(f"{run.path} learnt on a part of the box (--box), and --repair looks at the whole of it")


def run_repair(
    run: RunFolder,
    folder: RunFolder,
    problem: Problem,
    asked: dict[str, Any],
    progress: Callable[[str, float, float | None, str], None] | None = None,
    executor: Executor | None = None,
) -> dict[str, Any]:
    """Repair the surrogate of ``run`` into ``folder``; killed at any moment, the same call goes on from where it was.

    Args:
        asked: rounds, budget, tolerance, seed, search and compare of ``repair``.

    Returns:
        The results that ``run.json`` keeps, as JSON values.
    """
    model = run.surrogate(problem)
    if not isinstance(model, Surrogate):
        raise UserError(f"{run.path} holds an ensemble, and --repair trains one network: repair a run of one")
    training = run.settings["training"]
    snapshots = load_snapshots(run.file("snapshots.h5"), problem)
    theirs = run.file("test.h5")

    def tests() -> Snapshots:
        if theirs.exists():
            return load_snapshots(theirs, problem)
        return sample(problem, TESTS, training["seed"] + TEST_SEED, independent=True, executor=executor)

    drawn = kept(folder.file("test.h5"), problem, tests)
    own = {key: training.get(key) for key in ("physics_weight", "seconds", "steps")}
    rounds = folder.file("rounds")
    found = repair(
        problem, model, snapshots, tests=drawn, folder=rounds, executor=executor, progress=progress,
        **asked, **{key: value for key, value in own.items() if value is not None}, **training["options"],
    )  # fmt: skip
    write(folder.file("snapshots.h5"), found.snapshots)
    save(found.surrogate, folder.file("model.safetensors"))
    tested = errors_at(problem, found.surrogate, drawn)
    beside = sum(row.repaired.calls for row in found.rounds)
    if asked["compare"]:
        beside += asked["rounds"] * asked["budget"] + sum(row.random.calls for row in found.rounds[1:] if row.random)
    return {
        "errors": summary(tested.errors),
        "component_errors": {name: summary(errors) for name, errors in tested.components.items()},
        "test_inputs": len(tested.errors),
        "parameters": found.surrogate.parameters,
        "solver_calls": found.solver_calls + len(drawn),
        "judging_calls": beside,
        "snapshots_hash": found.snapshots.hash,
        "test_hash": drawn.hash,
        "model_hash": file_hash(folder.file("model.safetensors")),
        "rounds": [asdict(row) for row in found.rounds],
        "tolerance": found.tolerance,
        "notes": [*found.notes, *failures(drawn)],
        "training": found.surrogate.training,
    }
