"""Estimators of a failure probability on known ones: how far off, and how often their intervals hold or say that they
may not; OpenTURNS' subset simulation beside them.

Two phases are repeated on a pair with proved bounds (``bounded_pair.py``) at probabilities of 1e-4 and 1e-5; every
estimator on the references (``references.py``). A silent miss is an interval that does not hold and does not say so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ...verify.statistics.independent import independent_draws
from ...verify.statistics.probability import FailureProbability
from ...verify.statistics.subset_simulation import subset_simulation
from ...verify.statistics.two_phase import two_phase
from .. import command
from .bounded_pair import BoundedPair
from .references import REFERENCES, Reference

PACKAGES = "openturns==1.27.post1 scipy jaxtyping"
INSTALL = f"python3 -m venv ENV; ENV/bin/pip install {PACKAGES}; then --peer-python ENV/bin/python"
CALLS = 1000
SUBSET_CALLS = 10000
POOL = 1_000_000
POPULATION = 2_000_000  # draws of the pair that are bounded
FEW = 100_000  # of a reference
MISSES = 0.07  # of intervals at 95 %, at most


def of_the_pair(share: float, pool: BoundedPair, repeats: int) -> dict[str, Any]:
    """Two phases at the tolerance that a share of the pool is beyond."""
    n = len(pool.errors)
    tolerance = float(np.sort(pool.errors)[-round(share * n) - 1])
    exact = float((pool.errors > tolerance).mean())

    def drawn(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        return lambda u: values[np.minimum((u[:, 0] * n).astype(int), n - 1)]

    found = [
        two_phase(drawn(pool.errors), drawn(pool.bounds), 1, tolerance, CALLS, seed, POPULATION)
        for seed in range(repeats)
    ]
    return {
        "problem": f"pair, {exact:.3g}",
        **_row("two-phase", found, exact),
        "decided by proofs": float((pool.bounds <= tolerance).mean()),
    }


def estimators(reference: Reference) -> dict[str, Callable[[int], FailureProbability]]:
    """Each of a seed."""
    d, error_of = reference.dimension, reference.error_of
    return {
        "draws": lambda k: independent_draws(error_of, d, 1.0, CALLS, np.random.default_rng([k, 1])),
        "sequence": lambda k: independent_draws(error_of, d, 1.0, CALLS, np.random.default_rng([k, 1]), at_any=True),
        "two-phase": lambda k: two_phase(error_of, reference.bound_of, d + 1, 1.0, CALLS, k, FEW),
        "subset simulation": lambda k: subset_simulation(error_of, d, 1.0, SUBSET_CALLS, np.random.default_rng([k, 2])),
    }


def _row(name: str, found: list[FailureProbability], exact: float) -> dict[str, Any]:
    holds = np.array([f.lower <= exact <= f.upper for f in found])
    reliable = np.array([f.reliable for f in found])
    estimates = np.array([f.estimate for f in found]) / exact
    return {
        "estimator": name,
        "calls": int(np.median([f.calls for f in found])),
        "relative RMSE": float(np.sqrt(np.mean((estimates - 1) ** 2))),
        "mean / exact": float(estimates.mean()),
        "coverage": float(holds.mean()),
        "reliable": float(reliable.mean()),
        "silent misses": float((reliable & ~holds).mean()),
        "lower / exact": float(np.median([f.lower for f in found]) / exact),
        "upper / exact": float(np.median([f.upper for f in found]) / exact),
    }


def of_the_peer(python: str, repeats: int) -> list[dict[str, Any]]:
    """OpenTURNS' subset sampling with its own 95 % interval, on the same references with about as many calls."""
    script = str(Path(__file__).with_name("openturns_worker.py"))
    done = subprocess.run([python, script, str(SUBSET_CALLS), str(repeats)], check=True, stdout=subprocess.PIPE)
    return [{"problem": row["problem"], "estimator": "OpenTURNS subset", **row} for row in json.loads(done.stdout)]


def measure(python: str | None, quick: bool) -> dict[str, Any]:
    repeats = 10 if quick else 100
    pool = BoundedPair(100_000 if quick else POOL)
    pair = [of_the_pair(share, pool, repeats) for share in ((1e-3,) if quick else (1e-4, 1e-5))]
    command.progress(pair)
    holds = (
        {}
        if quick
        else {"two phases at 1e-4, 1000 calls: relative RMSE at most 0.15": pair[0]["relative RMSE"] <= 0.15}
    )
    for row in pair:
        holds[f"two phases, {row['problem']}: coverage at least 0.93"] = row["coverage"] >= 0.93
    rows = []
    for reference in REFERENCES:
        for name, estimator in estimators(reference).items():
            found = [estimator(k) for k in range(repeats)]
            row = {"problem": reference.name, **_row(name, found, reference.probability)}
            command.progress(row)
            rows.append(row)
            holds[f"{name}, {reference.name}: at most {MISSES:.0%} silent misses"] = row["silent misses"] <= MISSES + (
                0.1 if quick else 0
            )
    peers = [] if python is None else of_the_peer(python, repeats)
    return {"pair": pair, "rows": rows, "peers": peers, "holds": holds}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("Two phases on a pair with proved bounds", result["pair"]))
    console.print(command.table("Estimators on known probabilities", result["rows"]))
    if result["peers"]:
        console.print(command.table("OpenTURNS on the same", result["peers"]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peer-python", help=f"an interpreter with openturns: {INSTALL}")
    parser.add_argument("--quick", action="store_true", help="the same with fewer repeats")
    parser.add_argument("--json", action="store_true", help="the numbers as JSON instead of tables")
    options = parser.parse_args()
    sys.exit(command.finish(measure(options.peer_python, options.quick), show, "-" if options.json else None))
