"""A solver that raises in 5 %, hangs in 1 % and answers NaN in 2 % of its calls: search, sampling and guard on two
workers end within the time limit's account, and every such input is listed.

Which inputs fail is decided by a hash of the input, so that what should be listed is known. The account: what the same
takes with a solver in good health, measured just before, and for each call that hangs the limit and the start of
another process in every worker, also measured; 20 ms a call for a search that goes elsewhere.

    python -m assay.benchmarks.falsification.unreliable [--quick] [--json]
"""

from __future__ import annotations

import hashlib
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ProcessPoolExecutor
from typing import Any

import jax
import numpy as np
from rich.console import Console

from ...solvers.box import Box
from ...solvers.problems.black_box import BlackBox, black_box
from ...solvers.processes.child import begin_child
from ...solvers.snapshots.sample import sample
from ...verify.falsify import falsify
from ...verify.guard import guard
from .. import command

LIMIT, WORKERS = 2.0, 2
BOX = Box(("a", "b", "c"), np.zeros(3), np.ones(3))
REASONS = {"raises": "licence server", "hangs": f"did not answer within {LIMIT:g} s", "nan": "NaN or infinite"}


def fate(p: np.ndarray) -> str:
    """What becomes of a call at p: "raises" in 5 %, "hangs" in 1 %, "nan" in 2 % of all."""
    digest = hashlib.sha256(np.ascontiguousarray(p, dtype="<f8").tobytes()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return "raises" if share < 0.05 else "hangs" if share < 0.06 else "nan" if share < 0.08 else ""


def smooth(p: np.ndarray) -> np.ndarray:
    return np.array([1 + p[0], np.exp(p[1]), np.sin(3 * p[2] + p[0]), 2.0])


def solver(p: np.ndarray) -> np.ndarray:
    """Somebody's solver on a bad day."""
    kind = fate(p)
    if kind == "raises":
        raise RuntimeError("licence server: no seats left")
    if kind == "hangs":
        time.sleep(3600)
    return np.full(4, np.nan) if kind == "nan" else smooth(p)


def surrogate(P: np.ndarray) -> np.ndarray:
    """Right but in a ball around a corner."""
    wrong = np.linalg.norm(P - 1.0, axis=1) < 0.35
    return np.stack([smooth(p) for p in P]) * (1 + 0.2 * wrong[:, None])


def problem(solve: Callable[[np.ndarray], np.ndarray] = solver) -> BlackBox:
    return black_box(solve, BOX, size=4, name="a bad day", time_limit=LIMIT)


def listed_rightly(asked: np.ndarray, listed: Iterable[tuple[np.ndarray, str]]) -> bool:
    """Whether the failed ones among the inputs asked, and no others, are listed, each with its reason."""
    expected = {p.tobytes(): fate(p) for p in asked if fate(p)}
    found = {p.tobytes(): why for p, why in listed}
    return expected.keys() == found.keys() and all(REASONS[kind] in found[p] for p, kind in expected.items())


def by_sampling(asked_of: BlackBox, n: int, pool: Executor) -> tuple[np.ndarray, bool, bool]:
    made = sample(asked_of, n, executor=pool)
    listed = [(made.inputs[i], made.reasons[i]) for i in np.flatnonzero(~made.valid).tolist()]
    right = all((u == smooth(p)).all() for p, u in zip(made.inputs[made.valid], made.fields[made.valid], strict=True))
    return made.inputs, listed_rightly(made.inputs, listed), right


def by_searching(asked_of: BlackBox, n: int, pool: Executor) -> tuple[np.ndarray, bool, bool]:
    result = falsify(asked_of, surrogate, 1e-2, n, 0, executor=pool, shrink=0)
    listed = [(u.inputs, u.reason) for u in result.unsolved]
    return result.asked, listed_rightly(result.asked, listed), bool(result.counterexamples) and result.solver_calls == n


def by_guarding(asked_of: BlackBox, n: int, pool: Executor) -> tuple[np.ndarray, bool, bool]:
    P = BOX.draw(n, seed=3)
    answer = guard(asked_of, surrogate, 1e-2)(P, executor=pool)
    good = answer.route == "solved"
    right = all((u == smooth(p)).all() for p, u in zip(P[good], answer.u[good], strict=True))
    return P, listed_rightly(P, [(u.inputs, u.reason) for u in answer.unsolved]), right


VERBS: dict[str, Callable[[BlackBox, int, Executor], tuple[np.ndarray, bool, bool]]] = {
    "sampling": by_sampling,
    "search": by_searching,
    "guard": by_guarding,
}


def timed(
    run: Callable[[BlackBox, int, Executor], tuple[np.ndarray, bool, bool]], solved: BlackBox, n: int
) -> tuple[tuple[np.ndarray, bool, bool], float]:
    """What a verb says of two fresh workers' calls, and its seconds; everything is compiled anew."""
    jax.clear_caches()
    with ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn"), initializer=begin_child) as pool:
        began = time.perf_counter()
        found = run(solved, n, pool)
        return found, time.perf_counter() - began


def measure(quick: bool) -> dict[str, Any]:
    n = 60 if quick else 300
    began = time.perf_counter()
    first = next(p for p in BOX.draw(10, seed=9) if not fate(p))
    problem().solve(first)
    start = time.perf_counter() - began
    rows, holds = [], {}
    for verb, run in VERBS.items():
        _, healthy = timed(run, problem(smooth), n)
        (asked, listed, right), seconds = timed(run, problem(), n)
        kinds = [fate(p) for p in asked]
        account = healthy + kinds.count("hangs") * (LIMIT + WORKERS * start) + 0.02 * n
        rows.append(
            {
                "verb": verb,
                "calls": len(asked),
                **{kind: kinds.count(kind) for kind in REASONS},
                "all listed": listed,
                "rest right": right,
                "in health": healthy,
                "seconds": seconds,
                "account": account,
            }
        )
        command.progress(rows[-1])
        holds[f"{verb}: every failed input is listed with its reason, and no other"] = listed
        holds[f"{verb}: what was solved is right to the bit, nothing lost"] = right
        holds[f"{verb}: ended within the account ({seconds:.0f} of {account:.0f} s)"] = seconds <= account
    return {"start_of_a_process": start, "rows": rows, "holds": holds}


def show(result: dict[str, Any], console: Console) -> None:
    title = f"raises 5 %, hangs 1 %, NaN 2 %; limit {LIMIT:g} s, {WORKERS} workers"
    console.print(command.table(title, result["rows"]))
    console.print(f"the start of a process took {result['start_of_a_process']:.1f} s", highlight=False)


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
