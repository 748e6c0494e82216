"""How much of the worst error a search finds with few calls: ours and those of other people, on frozen pairs.

For every pair (``pairs/catalogue.py``) and method the median over seeds of the share of the worst error known that is
reached after 50 and after 500 calls, in runs that were told these budgets, and of the calls to .9 of it. A slope of the
true error counts as two calls. The standard keeps a tenth of its calls as independent draws, the others have all.
Peers' minimisers (nevergrad, botorch, psy-taliro) run in an environment of their own, on the same errors.

    python -m assay.benchmarks.falsification.searches [--quick] [--seeds 20] [--first-seed 0] [--pairs NAME ...]
        [--methods NAME ...] [--keep FILE] [--peer-python ENV/bin/python] [--json]
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ...verify.search.methods.catalogue import BY_SIGNAL, BY_SLOPE, METHODS, STANDARD
from ...verify.search.methods.search import Search
from ...verify.search.methods.true_error import Spent, TrueError
from .. import command
from .counted import Counted, Subject, calls_to, improvements, reached
from .pairs.catalogue import NEITHER, PAIRS, SIGNAL, SLOPES, Pair

# nevergrad 1.0.12 raises with numpy 2.4, and its run ends after a few dozen calls
INSTALL = (
    'python3 -m venv ENV; ENV/bin/pip install "numpy<2.3" nevergrad botorch psy-taliro; '
    "then --peer-python ENV/bin/python"
)
FEW, MANY = 50, 500  # calls
PEERS = ("nevergrad", "psy-taliro", "botorch")
SLOW = ("botorch",)  # a second a call: the smaller budget and five seeds alone
OWN = (STANDARD, "signal", "gaussian-process")  # what nobody else has; the others are others' minimisers
NEAR = 0.9
TOLERANCE = 1e-3  # below which a proved bound may exclude a point
WORSE = 0.005  # of a share, which counts as no worse


class Peers:
    """The worker, kept alive between runs."""

    def __init__(self, python: str) -> None:
        script = str(Path(__file__).with_name("searches_worker.py"))
        self._process = subprocess.Popen(
            [python, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def search(self, subject: Subject, peer: str, budget: int, seed: int) -> Counted:
        """One run, on the pair's own account."""
        confirm = subject.counted(budget, seed)
        rng = np.random.default_rng(seed)
        truth = TrueError(Search(confirm, subject.signal, seed, 1, rng, lambda stage, done, total: None), peer)
        self._say({"peer": peer, "dimension": truth.box.dimension, "budget": budget, "seed": seed})
        while True:
            said = self._heard()
            if "x" not in said:
                if "error" in said:  # it counts with what it found until then
                    command.progress(f"{peer} raised {said['error']} after {confirm.calls} calls")
                return confirm
            try:
                height = truth(np.array(said["x"]))
            except Spent:  # it asked a thousand times for what it knows
                height = truth.least
            self._say(height)

    def close(self) -> None:
        with self._process as process:  # waits, and closes both pipes
            assert process.stdin is not None
            process.stdin.close()

    def _say(self, what: Any) -> None:
        assert self._process.stdin is not None
        print(json.dumps(what), file=self._process.stdin, flush=True)

    def _heard(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the peers' process ended: {INSTALL}")
        return json.loads(line)


def methods_of(pair: Pair, with_peers: bool) -> list[str]:
    """What applies: slopes and signals where there are these."""
    ours = [
        m for m in METHODS if not ((m in BY_SIGNAL and pair.kind != SIGNAL) or (m in BY_SLOPE and pair.kind == NEITHER))
    ]
    return ours + (list(PEERS) if with_peers else [])


@cache
def subject_of(pair: Pair) -> Subject:
    """Made where a run is missing."""
    return Subject(pair, TOLERANCE)


def one(pair: Pair, method: str, budget: int, seed: int, peers: Peers | None) -> dict[str, Any]:
    """How far one run came, and where."""
    subject = subject_of(pair)
    if method in PEERS:
        assert peers is not None
        confirm = peers.search(subject, method, budget, seed)
    else:
        confirm = subject.search(method, budget, seed)
    assert confirm.calls <= budget
    return {"found": improvements(confirm), "inputs": confirm.worst_inputs.tolist()}


def row(pair: Pair, method: str, kept: command.Kept, seeds: range, peers: Peers | None) -> dict[str, Any]:
    """Medians over the seeds."""
    runs: dict[int, list[list[list[float]]]] = {}
    seeds = seeds[:5] if method in SLOW else seeds
    for budget in (FEW,) if method in SLOW else (FEW, MANY):
        runs[budget] = []
        for seed in seeds:
            run = partial(one, pair, method, budget, seed, peers)
            runs[budget].append(kept.row(f"{pair.name} | {method} | {budget} | {seed}", run)["found"])
    longest = runs.get(MANY, runs[FEW])
    return {
        "pair": pair.name,
        "method": method,
        "share after 50": float(np.median([reached(found, FEW) for found in runs[FEW]])) / pair.best,
        "share after 500": float(np.median([reached(found, MANY) for found in longest])) / pair.best,
        "calls to .9": float(np.median([calls_to(found, NEAR * pair.best) for found in longest])),
        "calls": max(runs),
        "seeds": len(seeds),
    }


def judged(pair: Pair, rows: list[dict[str, Any]]) -> dict[str, bool]:
    """What was to be shown, by what a search had to go by."""
    by = {row["method"]: row for row in rows}
    ours, others = by[STANDARD], [row for name, row in by.items() if name not in OWN]
    few, many, calls = ours["share after 50"], ours["share after 500"], ours["calls to .9"]
    if pair.kind == SIGNAL and others:
        fewest = min(row["calls to .9"] for row in others)
        said = f"{pair.name}: .9 of the worst known after 50 calls and .98 after 500 ({few:.3g}, {many:.3g})"
        ratio = fewest / calls if np.isfinite(calls) else 0.0
        return {
            said: few >= 0.9 and many >= 0.98,
            f"{pair.name}: .9 with ten times fewer calls than the best of the others ({calls:.3g}, {fewest:.3g})": bool(
                ratio >= 10
            ),
        }
    against = [by["l-bfgs"]] if pair.kind == SLOPES and "l-bfgs" in by else others
    if not against:
        return {}
    best = [np.nanmax([row[share] for row in against]) for share in ("share after 50", "share after 500")]
    who = "l-bfgs" if pair.kind == SLOPES else "the best of the others"
    said = f"{pair.name}: no worse than {who} at 50 calls ({few:.3g}, {best[0]:.3g})"
    later = f"{pair.name}: no worse than {who} at 500 calls ({many:.3g}, {best[1]:.3g})"
    return {said: bool(few >= best[0] - WORSE), later: bool(many >= best[1] - WORSE)}


def measure(
    quick: bool, seeds: range, names: list[str] | None, only: list[str] | None, keep: str | None, python: str | None
) -> dict[str, Any]:
    kept = command.Kept(keep, {"tolerance": TOLERANCE})
    rows: list[dict[str, Any]] = []
    holds: dict[str, bool] = {}
    peers = None if python is None else Peers(python)
    for pair in PAIRS:
        if (names and not any(name in pair.name for name in names)) or (quick and pair.kind == SIGNAL):
            continue
        wanted = [name for name in methods_of(pair, peers is not None) if not only or name in (STANDARD, *only)]
        of_pair = [row(pair, method, kept, seeds[:2] if quick else seeds, peers) for method in wanted]
        for line in of_pair:
            command.progress(line)
        rows += of_pair
        if len(of_pair) > 1:
            holds |= judged(pair, of_pair)
    if peers is not None:
        peers.close()
    return {"rows": rows, "holds": holds}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("Of the worst error known, medians", result["rows"]))


if __name__ == "__main__":
    parser = command.kept_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="runs of each method on each pair")
    parser.add_argument("--first-seed", type=int, default=0, help="others than those that a search was chosen by")
    parser.add_argument("--pairs", nargs="*", help="parts of the names of pairs, instead of all")
    parser.add_argument("--methods", nargs="*", help="some beside the standard, instead of all")
    parser.add_argument("--peer-python", help=f"an interpreter with the peers: {INSTALL}")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    found = measure(options.quick, seeds, options.pairs, options.methods, options.keep, options.peer_python)
    sys.exit(command.finish(found, show, "-" if options.json else None))
