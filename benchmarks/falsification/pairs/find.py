"""Find the worst error of each pair with many calls, and write it down (``best_known.json``), unless a worse is known.

python -m assay.benchmarks.falsification.pairs.find [--calls 2000] [--seeds 2] [--pairs NAME ...]
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from ....solvers.files import parse_json, read_text, replace
from ... import command
from ..counted import Subject
from ..searches import TOLERANCE, methods_of
from .catalogue import BEST, PAIRS, Pair

WITHOUT = ("random", "direct", "signal")  # which end far below the others, or are part of the standard


def searched(pair: Pair, calls: int, seeds: int) -> dict[str, Any]:
    """The worst of the runs of every method."""
    subject, found = Subject(pair, TOLERANCE), []
    for method in (m for m in methods_of(pair, False) if m not in WITHOUT):
        for seed in range(100, 100 + seeds):  # others than those that are measured
            confirm = subject.search(method, calls, seed)
            how = f"{method}, seed {seed}, {calls} calls"
            found.append({"error": confirm.worst, "inputs": confirm.worst_inputs.tolist(), "how": how})
            command.progress(f"{pair.name}: {found[-1]}")
    return max(found, key=lambda one: float(one["error"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--pairs", nargs="*", help="parts of the names of pairs, instead of all")
    options = parser.parse_args()
    for pair in PAIRS:
        if options.pairs and not any(name in pair.name for name in options.pairs):
            continue
        worst = searched(pair, options.calls, options.seeds)
        known = parse_json(read_text(BEST, 1 << 20)) if BEST.exists() else {}
        if worst["error"] > known.get(pair.name, {"error": 0.0})["error"]:
            replace(BEST, json.dumps({**known, pair.name: worst}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
