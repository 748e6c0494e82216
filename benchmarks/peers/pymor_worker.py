"""pyMOR's certified reduced basis on its own thermal block, in an environment of its own: a script, never imported.

Run by the peer's interpreter, which needs pymor and nothing of this package:

    PEER_PYTHON pymor_worker.py OUT.npz QUERIES DIAMETER

Writes the problem's matrices over the unknowns, the bases it made of its snapshots (the first n, orthonormalised), the
queries, and what its own reduced models answered: coefficients, error estimates, true errors, all in the product that
it reduces with, and the seconds of each query with its estimate (the least of three passes).
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from pymor.algorithms.gram_schmidt import gram_schmidt
from pymor.analyticalproblems.thermalblock import thermal_block_problem
from pymor.core.logger import set_log_levels
from pymor.discretizers.builtin import RectGrid, discretize_stationary_cg
from pymor.parameters.functionals import ExpressionParameterFunctional
from pymor.reductors.coercive import CoerciveRBReductor
from pymor.tools.random import new_rng

SIZES = (5, 10, 15, 20)
SEED = 1


def csr(prefix: str, matrix: Any) -> dict[str, Any]:
    m = matrix.tocsr()
    return {f"{prefix}_data": m.data, f"{prefix}_indices": m.indices, f"{prefix}_indptr": m.indptr}


def main(out: str, queries: int, diameter: float) -> None:
    set_log_levels({"pymor": "ERROR"})
    problem = thermal_block_problem((2, 2))
    fom, _ = discretize_stationary_cg(problem, diameter=diameter, grid_type=RectGrid)
    product = fom.h1_0_semi_product
    space = problem.parameter_space
    with new_rng(SEED):
        snapshot_points, test = space.sample_randomly(max(SIZES)), space.sample_randomly(queries)
    snapshots = fom.solution_space.empty()
    for mu in snapshot_points:
        snapshots.append(fom.solve(mu))
    truths = fom.solution_space.empty()
    for mu in test:
        truths.append(fom.solve(mu))
    whole = gram_schmidt(snapshots, product=product)
    weights = np.stack([mu["diffusion"] for mu in test])
    boundary, *parts = (op.matrix.tocsr() for op in fom.operator.operators)
    free = np.flatnonzero(boundary.diagonal() == 0)
    arrays: dict[str, Any] = {
        "free": free,
        "nodes": boundary.shape[0],
        "load": fom.rhs.matrix.ravel()[free],
        "basis": whole.to_numpy(),
        "queries": weights,
    }
    for q, m in enumerate(parts):
        arrays |= csr(f"matrix_{q}", m[free][:, free])
    alpha = ExpressionParameterFunctional("min(diffusion)", {"diffusion": 4})
    for n in SIZES:
        reductor = CoerciveRBReductor(
            fom, whole[:n], check_orthonormality=False, product=product, coercivity_estimator=alpha
        )
        rom = reductor.reduce()
        seconds, estimates, errors = np.full(queries, np.inf), np.zeros(queries), np.zeros(queries)
        for again in range(3):
            for i, mu in enumerate(test):
                start = time.perf_counter()
                u = rom.solve(mu)
                estimates[i] = float(np.ravel(rom.estimate_error(mu))[0])
                seconds[i] = min(seconds[i], time.perf_counter() - start)
                if again == 0:
                    errors[i] = float(np.ravel((truths[i] - reductor.reconstruct(u)).norm(product))[0])
        arrays |= {f"seconds_{n}": seconds, f"estimates_{n}": estimates, f"errors_{n}": errors}
    np.savez(out, **arrays)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
