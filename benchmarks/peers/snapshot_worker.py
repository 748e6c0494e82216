"""Surrogates of other people on given snapshots, in an environment of their own: a script, never imported.

    PEER_PYTHON snapshot_worker.py pymor|smt|autoemulate|untuned IN.npz OUT.npz

IN holds inputs scaled to [-1, 1] (logarithms where the box is logarithmic), fields in coordinates in which the energy
norm is the Euclidean one, and inputs to answer at. OUT gets the answers, the seconds of training and what was trained.

  pymor        the POD reductor with its neural network, default settings (Hesthaven and Ubbiali 2018)
  smt          kriging (KRG, default settings) of each coefficient in a POD basis
  autoemulate  its comparison of emulators with default settings, on the same coefficients; the best one answers
  untuned      the same without its tuning of each emulator
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

TOLERANCE = 1e-7  # of the basis, relative, as ours

Answer = Callable[[np.ndarray], np.ndarray]


def pymor(X: np.ndarray, Y: np.ndarray) -> tuple[Answer, str]:
    from pymor.algorithms.ml.nn import NeuralNetworkRegressor
    from pymor.core.logger import set_log_levels
    from pymor.parameters.base import Parameters
    from pymor.reductors.data_driven import DataDrivenPODReductor
    from pymor.vectorarrays.numpy import NumpyVectorSpace

    set_log_levels({"pymor": "ERROR"})
    space, parameters = NumpyVectorSpace(Y.shape[1]), Parameters(x=X.shape[1])
    snapshots = space.from_numpy(Y.T)
    reductor = DataDrivenPODReductor(
        [parameters.parse(x) for x in X],
        snapshots,
        regressor=NeuralNetworkRegressor(),
        pod_params={"rtol": TOLERANCE},
    )
    model = reductor.reduce()

    def answer(P: np.ndarray) -> np.ndarray:
        return np.concatenate([reductor.reconstruct(model.solve(parameters.parse(p))).to_numpy().T for p in P])

    return answer, f"network of pyMOR, {len(reductor.reduced_basis)} modes"


def smt(X: np.ndarray, Y: np.ndarray) -> tuple[Answer, str]:
    from smt.surrogate_models import KRG

    V = basis_of(Y)
    models = []
    for c in (Y @ V.T).T:
        model = KRG(print_global=False)
        model.set_training_values(X, c)
        model.train()
        models.append(model)
    return lambda P: np.column_stack([m.predict_values(P) for m in models]) @ V, f"kriging of SMT, {len(V)} modes"


def autoemulate(X: np.ndarray, Y: np.ndarray, **settings: Any) -> tuple[Answer, str]:
    from autoemulate import AutoEmulate

    V = basis_of(Y)
    found: Any = AutoEmulate(X, Y @ V.T, show_progress_bar=False, **settings).best_result()
    name = str(found.model_name)

    def answer(P: np.ndarray) -> np.ndarray:
        import torch

        said = found.model.predict(torch.as_tensor(P, dtype=torch.float32))
        said = said if isinstance(said, torch.Tensor) else said.mean  # of a distribution
        return np.asarray(said.detach(), dtype=np.float64) @ V

    return answer, f"{name} of autoemulate, {len(V)} modes"


def untuned(X: np.ndarray, Y: np.ndarray) -> tuple[Answer, str]:
    answer, title = autoemulate(X, Y, model_params={})
    return answer, f"{title}, not tuned"


PEERS = {"pymor": pymor, "smt": smt, "autoemulate": autoemulate, "untuned": untuned}


def basis_of(Y: np.ndarray) -> np.ndarray:
    """The POD basis of the rows, as rows."""
    _, sizes, V = np.linalg.svd(Y, full_matrices=False)
    return V[sizes > TOLERANCE * sizes[0]]


def main(peer: str, given: str, out: str) -> None:
    data = np.load(given)
    start = time.process_time()
    answer, title = PEERS[peer](data["inputs"], data["fields"])
    seconds = time.process_time() - start
    np.savez(out, answers=answer(data["queries"]), seconds=seconds, title=title)


if __name__ == "__main__":
    main(*sys.argv[1:])
