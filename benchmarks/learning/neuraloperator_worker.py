"""neuraloperator 0.3.0 on the Darcy set that it ships, as its own example trains it: a script, never imported.

Run by the peer's interpreter, which needs torch, that package and what it imports (tensorly-torch, torch-harmonics,
configmypy, wandb):

    PEER_PYTHON neuraloperator_worker.py EPOCHS

The example (plot_FNO_darcy): a tensorised Fourier neural operator, (16, 16) modes, 32 channels, Tucker factors of rank
.42; 1000 samples in batches of 32; Adam, rate 8e-3, weight decay 1e-4, cosine annealing over 30 epochs; loss in H1; 20
epochs. Last line on stdout: relative L2 errors at the 50 samples of 16 x 16 to be judged at, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import torch
from neuralop.datasets import load_darcy_flow_small
from neuralop.losses import H1Loss
from neuralop.models import TFNO


def main(epochs: int) -> None:
    torch.manual_seed(0)
    train, tests, processor = load_darcy_flow_small(
        n_train=1000, batch_size=32, test_resolutions=[16], n_tests=[50], test_batch_sizes=[50]
    )
    model = TFNO(
        n_modes=(16, 16), hidden_channels=32, projection_channels=64, factorization="tucker", rank=0.42, in_channels=3
    )
    optimiser = torch.optim.Adam(model.parameters(), lr=8e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=30)
    loss: Any = H1Loss(d=2)
    begun = time.perf_counter()
    for _ in range(epochs):
        model.train()
        for sample in train:
            optimiser.zero_grad(set_to_none=True)
            sample = processor.preprocess(sample)
            out, sample = processor.postprocess(model(**sample), sample)
            value = loss(out, **sample)
            value.backward()
            optimiser.step()
        schedule.step()
    seconds = time.perf_counter() - begun
    model.eval()
    errors = []
    processor.eval()  # answers in the data's own units
    with torch.no_grad():
        for sample in tests[16]:
            sample = processor.preprocess(sample)
            out, sample = processor.postprocess(model(**sample), sample)
            away = (out - sample["y"]).flatten(1).norm(dim=1) / sample["y"].flatten(1).norm(dim=1)
            errors += away.tolist()
    found = torch.tensor(errors)
    row = {
        "mean": float(found.mean()),
        "median": float(found.median()),
        "worst": float(found.max()),
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": epochs * len(train),
        "seconds": seconds,
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main(int(sys.argv[1]))
