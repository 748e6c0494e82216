"""Other people's searches, in an environment of their own: a script, never imported.

    PEER_PYTHON searches_worker.py

reads JSON lines {"peer", "dimension", "budget", "seed"} and answers each with lines {"x": [...]} in the unit box, to
each of which a number is read that is to be large, and at last {"done": true}, or {"error": "..."}.

  nevergrad   NGOpt, told the budget
  botorch     a Gaussian process with logarithmic expected improvement, from 2 d + 2 Sobol points
  psy-taliro  its dual annealing
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

Height = Callable[[Any], float]


class Spent(Exception):
    """The budget."""


def asked(budget: int, pipe: Any) -> Height:
    """One question a point, on ``pipe``."""
    left = [budget]

    def height(x: Any) -> float:
        if not left[0]:
            raise Spent
        left[0] -= 1
        print(json.dumps({"x": np.clip(np.asarray(x, dtype=float), 0, 1).tolist()}), file=pipe, flush=True)
        return float(sys.stdin.readline())

    return height


def nevergrad(height: Height, d: int, budget: int, seed: int) -> None:
    import nevergrad as ng

    place = ng.p.Array(init=np.full(d, 0.5), lower=0.0, upper=1.0)
    place.random_state.seed(seed)
    optimizer = ng.optimizers.NGOpt(parametrization=place, budget=budget)
    while True:
        candidate = optimizer.ask()
        optimizer.tell(candidate, -height(candidate.value))


def botorch(height: Height, d: int, budget: int, seed: int) -> None:
    import torch
    from botorch.acquisition import LogExpectedImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Standardize
    from botorch.optim import optimize_acqf
    from gpytorch.mlls import ExactMarginalLogLikelihood
    from torch.quasirandom import SobolEngine

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    bounds = torch.stack([torch.zeros(d), torch.ones(d)]).double()
    X = SobolEngine(d, scramble=True, seed=seed).draw(min(2 * d + 2, budget)).double()
    Y = torch.tensor([[height(x)] for x in X.tolist()], dtype=torch.float64)
    while True:
        model = SingleTaskGP(X, Y, outcome_transform=Standardize(m=1))
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        wanted = LogExpectedImprovement(model, best_f=Y.max())
        x, _ = optimize_acqf(wanted, bounds, q=1, num_restarts=4, raw_samples=128)
        X = torch.cat([X, x])
        Y = torch.cat([Y, torch.tensor([[height(x[0].tolist())]], dtype=torch.float64)])


def psy_taliro(height: Height, d: int, budget: int, seed: int) -> None:
    from staliro.optimizers import DualAnnealing, Optimizer
    from staliro.signals import Interval

    class Cost:
        def eval_sample(self, sample: Any) -> float:
            return -height(sample.values)

    parameters = Optimizer.Params(seed, budget, [Interval(0.0, 1.0)] * d)
    DualAnnealing().optimize(Cost(), parameters)


PEERS = {"nevergrad": nevergrad, "botorch": botorch, "psy-taliro": psy_taliro}


def main() -> None:
    pipe, sys.stdout = sys.stdout, sys.stderr  # what a peer prints is no question
    warnings.simplefilter("ignore")
    for line in iter(sys.stdin.readline, ""):
        task = json.loads(line)
        try:
            height = asked(task["budget"], pipe)
            PEERS[task["peer"]](height, task["dimension"], task["budget"], task["seed"])
        except Spent:
            pass
        except Exception as error:
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=pipe, flush=True)
            continue
        print(json.dumps({"done": True}), file=pipe, flush=True)


if __name__ == "__main__":
    main()
