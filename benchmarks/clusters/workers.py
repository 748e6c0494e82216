"""Two workers, processes of ours or of a Dask cluster: the same results as one process, to the bit, also where one of
them is killed in the middle; and what they save of the time.

The solver of the ratio waits 0.2 s and computes nothing: what is measured is how well waiting is shared, as that for
solvers on other machines, or with cores of their own. The thermal block and the audit compute; two processes share this
machine's cores there, and their times say nothing about a cluster.

    python -m assay.benchmarks.clusters.workers [--quick] [--json]
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import distributed
from rich.console import Console

from ...solvers.processes.cluster import cluster
from ...solvers.processes.worker_processes import WorkerProcesses
from ...solvers.snapshots.sample import sample
from ...terminal.output import plain
from ...verify.audit import audit
from ...verify.certify import certify
from ...verify.certify_box import certify_box
from ...verify.falsify import falsify
from .. import command
from ..soundness.faulty import Quadratic
from .subjects import BLOCK, SECONDS, problem, surrogate

WORKERS = 2
LEAST = 1.8  # of the ratio, with two workers
Verb = Callable[[Executor | None], str]  # the hash of what it found


def hash_of(found: Any) -> str:
    return hashlib.sha256(json.dumps(plain(found), sort_keys=True).encode()).hexdigest()[:16]


def by_sampling(n: int) -> Verb:
    return lambda executor: sample(problem(), n, seed=1, executor=executor).hash[:16]


def by_sampling_the_block(n: int) -> Verb:
    return lambda executor: sample(BLOCK, n, seed=1, executor=executor).hash[:16]


def by_searching(n: int) -> Verb:
    def search(executor: Executor | None) -> str:
        found = falsify(problem(), surrogate, 1e-2, n, 1, executor=executor, draws=0, shrink=0)
        assert found.verdict == "falsified"
        return hash_of([found.worst, found.asked, found.errors, [c.to_json() for c in found.counterexamples]])

    return search


def by_auditing(folder: Path) -> Verb:
    """Of a map with certified, falsified and undecided leaves."""
    model, path = Quadratic(BLOCK), folder / "trust-map.json"
    tolerance = 0.5 * float(certify(BLOCK, model, [BLOCK.inputs.upper]).relative_lower.max())
    certify_box(BLOCK, model, tolerance, seconds=600, order=2, max_leaves=160, width=1 / 4).save(path)

    def check(executor: Executor | None) -> str:
        found = asdict(audit(path, BLOCK, model, executor=executor))
        return hash_of({key: value for key, value in found.items() if key != "seconds"})

    return check


@contextmanager
def two_processes() -> Iterator[Executor]:
    with WorkerProcesses(WORKERS) as executor:
        yield executor


@contextmanager
def two_of_dask() -> Iterator[Executor]:
    with (
        distributed.LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0") as local,
        cluster(local.scheduler_address) as executor,
    ):
        yield executor


def kill_one(executor: Any) -> None:
    """End one of the processes, as the kernel does where memory is short."""
    if isinstance(executor, WorkerProcesses):
        executor._all[0].kill()
    else:
        os.kill(next(iter(executor._client.run(os.getpid).values())), signal.SIGKILL)


def timed(verb: Verb, executor: Executor | None) -> tuple[str, float]:
    began = time.perf_counter()
    return verb(executor), time.perf_counter() - began


def with_a_kill(verb: Verb, executor: Executor, seconds: float) -> tuple[str, float]:
    """The same, with a worker killed before the middle of the ``seconds`` that it takes."""
    while True:
        seconds /= 2.5
        timer = threading.Timer(seconds, kill_one, (executor,))
        timer.start()
        found, spent = timed(verb, executor)
        if not timer.is_alive():
            return found, spent
        timer.cancel()  # it was over too soon


def measure(quick: bool) -> dict[str, Any]:
    n = 24 if quick else 100
    rows, holds = [], {}
    with tempfile.TemporaryDirectory() as folder:
        verbs = {
            "sample": by_sampling(n),
            "sample, compiled": by_sampling_the_block(60 * n),
            "falsify": by_searching(n),
            "audit": by_auditing(Path(folder)),
        }
        alone = {name: timed(verb, None) for name, verb in verbs.items()}
        for where, made in {"--workers 2": two_processes, "Dask, 2 workers": two_of_dask}.items():
            with made() as executor:
                for verb in verbs.values():
                    verb(executor)  # both have imported and compiled now
                shared = {name: timed(verb, executor) for name, verb in verbs.items()}  # before any is killed
                for name, verb in verbs.items():
                    found, seconds = shared[name]
                    lossy, longer = with_a_kill(verb, executor, seconds)
                    ratio = alone[name][1] / seconds
                    row = {"verb": name, "where": where, "alone s": alone[name][1], "seconds": seconds, "ratio": ratio}
                    row |= {
                        "same": found == alone[name][0],
                        "one killed: s": longer,
                        "one killed: same": lossy == found,
                    }
                    rows.append(row)
                    command.progress(row)
                    holds[f"{where}, {name}: the same to the bit"] = row["same"]
                    holds[f"{where}, {name}: the same with a worker killed in the middle"] = row["one killed: same"]
                    if name in ("sample", "falsify"):
                        holds[f"{where}, {name}: {ratio:.2f} times as fast as one process"] = ratio >= LEAST
    return {"rows": rows, "holds": holds}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table(f"Two workers; a solve of sample and falsify waits {SECONDS:g} s", result["rows"]))


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
