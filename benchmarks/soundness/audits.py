"""Audits of trust maps: honest ones, every leaf, and lies about one of them with hashes that fit.

Networks of 8 x 8 to 64 x 64 units for thermal blocks with two and three inputs, elasticity and lognormal diffusion,
each at a tolerance that it meets nearly everywhere and at one that it does not. What is compiled for one map of a kind
serves the other. An honest map is to be accepted with every leaf; a lie is to be rejected, whatever it is about.

    python -m assay.benchmarks.soundness.audits [--maps 20] [--lies 34] [--seconds 60] [--workers 2]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from ...solvers.classes.coercive import CoerciveProblem
from ...solvers.problems.elasticity import Elasticity
from ...solvers.problems.lognormal_diffusion import LognormalDiffusion
from ...solvers.problems.thermal_block import ThermalBlock
from ...solvers.processes.worker_processes import WorkerProcesses
from ...verify.audit import Changed, NotReproduced, Refuted, audit
from ...verify.certify import certify
from ...verify.certify_box import certify_box
from .. import command
from .box_networks import Design, Network
from .tampering import LIES, tampered

TIGHT, LOOSE = 0.5, 1.1  # tolerances, as shares of the largest error at a few hundred points
BOXES = 400  # leaves of a map: a limit that does not depend on how busy the machine is


class Kind(NamedTuple):
    """A problem, units a layer, nodes per axis of the first proof."""

    problem: str
    width: int
    order: int


PROBLEMS: dict[str, Callable[[], CoerciveProblem]] = {
    "thermal block 2 x 1": lambda: ThermalBlock((2, 1), 8, low=10**-0.5, high=10**0.5),
    "thermal block 3 x 1": lambda: ThermalBlock((3, 1), 12, low=10**-0.5, high=10**0.5),
    "elasticity 2 x 1": lambda: Elasticity(blocks=(2, 1), cells=8),
    "lognormal, 2 inputs": lambda: LognormalDiffusion(d=2, sigma=0.4, cells=8),
}
KINDS = (
    Kind("thermal block 2 x 1", 8, 4),
    Kind("lognormal, 2 inputs", 8, 4),
    Kind("elasticity 2 x 1", 8, 4),
    Kind("thermal block 3 x 1", 8, 3),
    Kind("thermal block 2 x 1", 64, 4),
    Kind("lognormal, 2 inputs", 64, 4),
    Kind("elasticity 2 x 1", 64, 4),
    Kind("thermal block 3 x 1", 64, 3),
    Kind("thermal block 2 x 1", 32, 5),
    Kind("thermal block 3 x 1", 16, 3),
)


@cache
def problem_of(name: str) -> CoerciveProblem:
    """One object a name, so that what is compiled of it is found again."""
    return PROBLEMS[name]()


def honest_map(kind: Kind, share: float, seed: int, seconds: float, path: Path) -> tuple[Network, dict[str, Any]]:
    """Written to ``path``."""
    problem = problem_of(kind.problem)
    surrogate = Network(problem, Design("tanh", 2, False, True, 1.0), seed, width=kind.width)
    P = problem.inputs.sample(256, seed=seed + 1)
    worst = float(certify(problem, surrogate, P).relative_lower.max())
    started = time.perf_counter()
    trust = certify_box(problem, surrogate, share * worst, seconds=seconds, order=kind.order, max_leaves=BOXES)
    trust.save(path)
    bound = trust.bound[trust.axis < 0]
    return surrogate, {
        "map": f"{kind.problem}, {kind.width} x {kind.width}",
        "tolerance": share * worst,
        "leaves": trust.boxes,
        "finite": int(np.isfinite(bound).sum()),
        "certified %": 100 * trust.certified_volume,
        "falsified %": 100 * trust.falsified_volume,
        "made in s": time.perf_counter() - started,
    }


def answer_of(path: Path, problem: CoerciveProblem, surrogate: Any, **budget: Any) -> tuple[str, int, int]:
    """(what an audit answers, leaves proved again, parts that took)."""
    try:
        found = audit(path, problem, surrogate, **budget)
    except (Changed, Refuted, NotReproduced) as error:
        return f"{type(error).__name__}: {error}".replace(str(path.parent), ""), 0, 0
    return "accepted", found.proved, found.boxes


def measure(options: argparse.Namespace) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    lies: list[dict[str, Any]] = []
    maps = [(kind, share, 10 * i + j) for i, kind in enumerate(KINDS) for j, share in enumerate((TIGHT, LOOSE))]
    with tempfile.TemporaryDirectory() as folder, WorkerProcesses(options.workers) as executor:
        for kind, share, seed in maps[: options.maps]:
            path = Path(folder) / f"map-{len(rows)}.json"
            surrogate, row = honest_map(kind, share, seed, options.seconds, path)
            started = time.perf_counter()
            problem = problem_of(kind.problem)
            row["answer"], row["proved"], row["parts"] = answer_of(path, problem, surrogate, executor=executor)
            row["audited in s"] = time.perf_counter() - started
            rows.append(row)
            command.progress(row)
            if not lies and min(row["certified %"], row["falsified %"]) > 0:
                for i, lie in enumerate(LIES[: options.lies]):
                    answer, _, _ = answer_of(tampered(path, lie, Path(folder) / "lie.json"), problem, surrogate)
                    lies.append({"lie": i, "answer": answer[:100]})
                    command.progress(lies[-1])
    accepted = sum(row["answer"] == "accepted" and row["proved"] == row["finite"] for row in rows)
    found = sum(lie["answer"] != "accepted" for lie in lies)
    holds = {f"{accepted} of {len(rows)} honest maps accepted, every leaf": accepted == len(rows)}
    if options.lies:
        holds[f"{found} of {len(lies)} lies rejected"] = found == len(lies) > 0
    return {"maps": rows, "lies": lies, "holds": holds}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("Honest maps, audited", result["maps"]))
    if result["lies"]:
        console.print(command.table("Lies with fitting hashes", result["lies"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--maps", type=int, default=2 * len(KINDS))
    parser.add_argument("--lies", type=int, default=len(LIES))
    parser.add_argument("--seconds", type=float, default=60.0, help="of each proof, compilation apart")
    parser.add_argument("--workers", type=int, default=2, help="processes that audit")
    parser.add_argument("--json", metavar="FILE", help="the numbers as JSON; - for stdout instead of the tables")
    options = parser.parse_args()
    if not 1 <= options.maps <= 2 * len(KINDS) or not 0 <= options.lies <= len(LIES) or options.workers < 1:
        parser.error(f"between 1 and {2 * len(KINDS)} maps, at most {len(LIES)} lies, at least one worker")
    return command.finish(measure(options), show, options.json)


if __name__ == "__main__":
    sys.exit(main())
