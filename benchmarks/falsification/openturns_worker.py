"""OpenTURNS' subset sampling on the reference probabilities, in an environment of its own: a script, never imported.

Run by the peer's interpreter, which needs openturns, scipy, jaxtyping, and of this package the file beside it alone:

    PEER_PYTHON openturns_worker.py CALLS REPEATS

Prints a JSON list, one entry a reference: how often its own 95 % interval held, with what it was told of CALLS.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openturns as ot

LEVELS = 4  # that the calls are to suffice for


def references() -> Any:
    """The file beside this one, without its package."""
    path = Path(__file__).with_name("references.py")
    spec = importlib.util.spec_from_file_location("references", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["references"] = module
    spec.loader.exec_module(module)
    return module.REFERENCES


def one(reference: Any, calls: int, seed: int) -> tuple[float, float, int] | None:
    """Estimate, length of the interval and calls; None where it gave up."""
    ot.RandomGenerator.SetSeed(seed)
    count = [0]

    def limit_state(sample: Any) -> Any:
        x = np.array(sample)
        count[0] += len(x)
        return reference.limit_state(x)[:, None]

    function = ot.PythonFunction(reference.dimension, 1, func_sample=limit_state)
    vector = ot.RandomVector(ot.Normal(reference.dimension))
    event = ot.ThresholdEvent(ot.CompositeRandomVector(function, vector), ot.Less(), 0.0)
    algorithm = ot.SubsetSampling(event)
    block = max(1, calls // LEVELS // 10)
    algorithm.setBlockSize(block)
    algorithm.setMaximumOuterSampling(10)
    try:
        algorithm.run()
    except TypeError:  # "InvalidArgumentException : The variance estimate must be >= 0"
        return None
    result = algorithm.getResult()
    return result.getProbabilityEstimate(), result.getConfidenceLength(0.95), count[0]


def main() -> None:
    calls, repeats = int(sys.argv[1]), int(sys.argv[2])
    rows = []
    for reference in references():
        exact = reference.probability
        runs = [one(reference, calls, seed) for seed in range(1, repeats + 1)]
        found = [run for run in runs if run is not None]
        held = [abs(p - exact) <= length / 2 for p, length, _ in found]
        ratios = np.array([p for p, _, _ in found]) / exact
        rows.append(
            {
                "problem": reference.name,
                "calls": int(np.median([n for _, _, n in found])),
                "relative RMSE": float(np.sqrt(np.mean((ratios - 1) ** 2))),
                "mean / exact": float(ratios.mean()),
                "coverage": float(np.mean(held)),
                "gave up": repeats - len(found),
            }
        )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
