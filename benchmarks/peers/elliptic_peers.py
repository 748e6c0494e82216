"""Low-dimensional elliptic problems: pod-mlp beside pyMOR's network, SMT's kriging and autoemulate, same snapshots.

The problems of ``learning/elliptic.py``. The peers see inputs scaled to [-1, 1], logarithms where the box is
logarithmic, and fields in coordinates in which the reference energy norm is the Euclidean one, so that their POD is
ours. Their settings are their own defaults, of autoemulate also without its tuning; pod-mlp is shown with its physics
loss for a minute, as the correction of a polynomial that learns the same, and without, where it knows what the peers
know but for the scaling of the field with its coefficients. Errors are relative in the energy norm of p, at 200 draws
(``mean``) and these and the corners of the box (``worst``); nothing is searched for. Seconds of training are those of
all processor cores together, so that other work on the machine does not count.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from rich.console import Console

from ...solvers.problem import Problem
from ...solvers.snapshots.sample import Snapshots, sample
from ...surrogates import train
from .. import command
from ..learning.defaults import errors
from ..learning.elliptic import SECONDS, SNAPSHOTS, TESTS, subjects

OURS: dict[str, tuple[str, dict[str, Any]]] = {
    "pod-mlp, a minute": ("pod-mlp", {"seconds": SECONDS}),
    "pod-mlp, base polynomial": ("pod-mlp", {"base": "polynomial"}),
    "pod-mlp, no physics": ("pod-mlp", {"physics_weight": 0}),
    "polynomial, physics": ("polynomial", {"physics_weight": 0.5}),
    "polynomial": ("polynomial", {}),
    "kernel-ridge": ("kernel-ridge", {}),
}
NEEDS = {"pymor": ("pymor", "torch"), "smt": ("smt",), "untuned": ("autoemulate",), "autoemulate": ("autoemulate",)}
INSTALL = "python3 -m venv ENV; ENV/bin/pip install pymor==2026.1.1 torch, or smt, or autoemulate; one ENV each is safe"


Tests = tuple[np.ndarray, np.ndarray]  # inputs, and their solutions


class Peers:
    """One problem in the coordinates that the peers get."""

    def __init__(self, problem: Problem, snapshots: Snapshots, queries: np.ndarray) -> None:
        p = jnp.asarray(snapshots.inputs[0])
        ones = np.asarray(problem.prescribe(p, jnp.ones(problem.size)))
        zeros = np.asarray(problem.prescribe(p, jnp.zeros(problem.size)))
        self.free = ones != zeros
        if zeros.any():
            raise ValueError(f"{problem.name} prescribes values that are not zero: the peers have no place for them")
        M = problem.energy_matrix
        assert M is not None
        self.root = np.linalg.cholesky(M.toarray() if hasattr(M, "toarray") else np.asarray(M))
        self.arrays = {
            "inputs": 2 * problem.inputs.to_unit(snapshots.inputs) - 1,
            "fields": snapshots.fields[:, self.free] @ self.root,
            "queries": 2 * problem.inputs.to_unit(queries) - 1,
        }

    def fields(self, answers: np.ndarray) -> np.ndarray:
        """Answers in the problem's own coordinates."""
        U = np.zeros((len(answers), len(self.free)))
        U[:, self.free] = np.linalg.solve(self.root.T, answers.T).T
        return U


def asked(python: str, peer: str, given: Peers, limit: float) -> tuple[np.ndarray, float, str]:
    """A peer's answers, its seconds of training, and what it trained.

    Raises:
        subprocess.TimeoutExpired, subprocess.CalledProcessError: it took too long, or failed.
    """
    with tempfile.TemporaryDirectory(prefix="peer-") as folder:
        inside, out = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(inside, **given.arrays)  # type: ignore[arg-type]
        script = str(Path(__file__).with_name("snapshot_worker.py"))
        words = [python, script, peer, str(inside), str(out)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, timeout=limit)
        found = np.load(out)
        return given.fields(found["answers"]), float(found["seconds"]), str(found["title"])


def has(python: str, peer: str) -> bool:
    """Whether that interpreter has what a peer needs."""
    look = "import importlib.util as u, sys; sys.exit(any(u.find_spec(n) is None for n in sys.argv[1:]))"
    return subprocess.run([python, "-c", look, *NEEDS[peer]], check=False).returncode == 0


def row_of(title: str, label: str, seconds: float, e: np.ndarray) -> dict[str, Any]:
    mean, worst = (float(e[:TESTS].mean()), float(e.max())) if len(e) else (float("inf"), float("inf"))
    return {"problem": title, "surrogate": label, "mean": mean, "worst": worst, "seconds": seconds}


def own(title: str, problem: Problem, label: str, data: Snapshots, tests: Tests, quick: bool) -> dict[str, Any]:
    """A row of ours."""
    name, options = OURS[label]
    options = {**options, **({"seconds": 5.0} if quick and "seconds" in options else {})}
    start = time.process_time()
    surrogate = train(problem, name, data, **options)
    return row_of(title, label, time.process_time() - start, errors(problem, surrogate, *tests))


def theirs(
    title: str, problem: Problem, peer: str, python: str, given: Peers, tests: Tests, limit: float
) -> dict[str, Any]:
    """A row of a peer's."""
    try:
        answers, seconds, label = asked(python, peer, given, limit)
    except subprocess.TimeoutExpired:
        return row_of(title, f"{peer}, not done", limit, np.zeros(0))
    return row_of(title, label, seconds, errors(problem, lambda _: answers, *tests))


def measure(pythons: list[str], asked_for: list[str], quick: bool, limit: float, keep: str | None) -> dict[str, Any]:
    kept = command.Kept(keep, quick)
    peers = {peer: python for python in reversed(pythons) for peer in asked_for if has(python, peer)}
    rows, holds = [], {}
    for title, problem in subjects(quick).items():
        snapshots = sample(problem, 64 if quick else SNAPSHOTS)
        units = np.array(list(itertools.product((0.0, 1.0), repeat=problem.inputs.dimension)))
        P = np.concatenate([problem.inputs.sample(TESTS, seed=77), problem.inputs.from_unit(units)])
        U = np.asarray(problem.solve_batch(P))
        given = Peers(problem, snapshots, P)

        here: list[dict[str, Any]] = []
        todo: dict[str, Callable[[], Any]] = {
            label: partial(own, title, problem, label, snapshots, (P, U), quick) for label in OURS
        }
        for peer, python in peers.items():
            todo[peer] = partial(theirs, title, problem, peer, python, given, (P, U), limit)
        for label, make in todo.items():
            here.append(kept.row(f"{title}, {label}", make))
        rows += here
        ours, others = here[: len(OURS)], here[len(OURS) :]
        for k, label in ((0, "with physics"), (1, "without")):
            holds[f"{title}: pod-mlp {label} has a smaller mean and worst error than {len(others)} peers"] = all(
                ours[k]["mean"] < row["mean"] and ours[k]["worst"] < row["worst"] for row in others
            )
    return {
        "rows": rows,
        "snapshots": 64 if quick else SNAPSHOTS,
        "missing": [peer for peer in asked_for if peer not in peers],
        "holds": holds,
    }


def show(result: dict[str, Any], console: Console) -> None:
    console.print(
        command.table(f"relative errors in the energy norm of p, {result['snapshots']} snapshots", result["rows"])
    )
    for peer in result["missing"]:
        console.print(f"no --peer-python has {peer}: {INSTALL}")


def main() -> int:
    parser = command.kept_parser(__doc__)
    parser.add_argument("--peer-python", action="append", default=[], help=f"may be given again: {INSTALL}")
    parser.add_argument("--peers", nargs="+", choices=list(NEEDS), default=list(NEEDS), help="these (all by default)")
    parser.add_argument("--limit", type=float, default=1200.0, help="seconds that a peer may take on a problem")
    options = parser.parse_args()
    result = measure(options.peer_python, options.peers, options.quick, options.limit, options.keep)
    return command.finish(result, show, "-" if options.json else None)


if __name__ == "__main__":
    sys.exit(main())
