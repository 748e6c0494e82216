"""Every architecture by its name: how it is trained, and how it predicts.

Every ``train_...`` takes the problem, snapshots that ``train`` has checked, a seed and the training box (None: the
problem's own), then options of its own by name; it returns a ``Surrogate`` and raises ValueError where the snapshots
are too few or of another problem, or an option makes no sense. Every ``predict`` gives coefficients [n, k] in the basis
from inputs [n, d] and the arrays of that surrogate, in JAX; rows whose features are NaN come out as NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..solvers.problems.catalogue import closest
from .baselines import (
    kernel_ridge,
    linear,
    mean,
    nearest,
    pod_interpolation,
    polynomial,
    random_features,
    reduced_basis,
)
from .networks import pod_mlp
from .surrogate import Predict


class Architecture(NamedTuple):
    """What a name stands for. ``on_host`` gives the same coefficients in numpy, where that is faster."""

    train: Callable[..., Any]  # (problem, snapshots, seed, box, **options) -> Surrogate
    predict: Predict
    on_host: Predict | None = None


ARCHITECTURES = {
    "pod-mlp": Architecture(pod_mlp.train_pod_mlp, pod_mlp.predict),
    "reduced-basis": Architecture(reduced_basis.train_reduced_basis, reduced_basis.predict, reduced_basis.on_host),
    "kernel-ridge": Architecture(kernel_ridge.train_kernel_ridge, kernel_ridge.predict),
    "pod-interpolation": Architecture(pod_interpolation.train_pod_interpolation, pod_interpolation.predict),
    "random-features": Architecture(random_features.train_random_features, random_features.predict),
    "polynomial": Architecture(polynomial.train_polynomial, polynomial.predict),
    "linear": Architecture(linear.train_linear, linear.predict),
    "nearest": Architecture(nearest.train_nearest, nearest.predict),
    "mean": Architecture(mean.train_mean, mean.predict),
}

SURROGATES = {name: architecture.train for name, architecture in ARCHITECTURES.items()}


def surrogate_name(name: str) -> str:
    """The name, if there is such a surrogate.

    Raises:
        ValueError: there is none; the closest match is offered.
    """
    if name not in SURROGATES:
        raise closest(name, SURROGATES, "surrogate")
    return name
