"""Every architecture by its name: how it is trained, how it predicts, and what it needs of a problem.

Every ``train`` takes the problem, snapshots that ``train`` has checked, a seed and the training box (None: that of
the problem), then options of its own by name; it returns a ``Surrogate`` and raises ValueError where the snapshots
are too few or of another problem, or an option makes no sense. Every ``predict`` gives coefficients [n, k] in the
basis, or fields [n, N] outright, from inputs [n, d] and the arrays of that surrogate, in JAX; rows whose features are
NaN come out as NaN.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from ..solvers.problem import Problem
from ..solvers.problems.catalogue import closest
from .baselines import (
    gaussian_process,
    kernel_ridge,
    linear,
    mean,
    nearest,
    pod_interpolation,
    polynomial,
    random_features,
    reduced_basis,
)
from .networks import autoencoder, deeponet, fno, mlp, resnet, rollout, unet
from .networks.design import Design, fits_all
from .networks.field_network import predictor
from .networks.field_training import check_settings, train_fields, train_seeds
from .networks.places import coordinate, graph, transformer
from .networks.pod import pod_mlp
from .surrogate import Predict
from .training.options import accepts_all, kinds_of
from .training.reduced_operator import affine_in_few_terms, check_few_terms
from .training.residual_loss import residual_loss

FIELD_NETWORKS = (
    mlp.MLP,
    resnet.RESNET,
    deeponet.DEEPONET,
    fno.FNO,
    unet.UNET,
    coordinate.COORDINATE,
    graph.GRAPH,
    transformer.TRANSFORMER,
    autoencoder.AUTOENCODER,
    rollout.ROLLOUT,
)
GIVEN = ("problem", "snapshots", "seed", "seeds", "box", "design", "settings")  # not options


class Architecture(NamedTuple):
    """What a name stands for. ``on_host`` gives the same coefficients in numpy, where that is faster; ``options`` are
    the names that its training takes, with their defaults.
    """

    train: Callable[..., Any]  # (problem, snapshots, seed, box, **options) -> Surrogate
    predict: Predict
    on_host: Predict | None = None
    kind: str = "baseline"  # or "network"
    needs: str = "nothing"
    misfit: Callable[[Problem], str] = fits_all  # one sentence where it does not fit a problem, else empty
    build: Callable[..., Any] | None = None  # of a network that gives fields outright: what takes its own settings
    basis: bool = True
    check: Callable[[Problem, Mapping[str, Any]], None] = accepts_all  # raises where options make no sense
    check_physics: Callable[[Problem], Any] = residual_loss  # raises where a problem has no physics that it can learn
    together: Callable[..., Any] | None = None  # (problem, snapshots, seeds, box, **options): several seeds at once

    @property
    def options(self) -> dict[str, Any]:
        """Its options by name, with their defaults."""
        found = [p for each in self._declared for p in inspect.signature(each).parameters.values()]
        return {p.name: p.default for p in found if p.name not in GIVEN}

    @property
    def kinds(self) -> dict[str, Any]:
        """What they are declared as, by name."""
        return kinds_of(*self._declared)

    @property
    def _declared(self) -> list[Callable[..., Any]]:
        train = self.together or self.train
        return [train] if self.build is None else [train, self.build]


def _fields(design: Design) -> Architecture:
    return Architecture(
        partial(train_fields, design),
        predictor(design),
        kind="network",
        needs=design.needs,
        misfit=design.misfit,
        build=design.build,
        basis=False,
        check=partial(check_settings, design),
        together=partial(train_seeds, design),
    )


def _needs_few_terms(problem: Problem) -> str:
    if affine_in_few_terms(problem):
        return ""
    return (
        f"{problem.name} is not affine in few terms, which reduced-basis needs: {problem.few_terms_remedy}"
        "pod-interpolation or kernel-ridge need nothing"
    )


ARCHITECTURES = {
    "pod-mlp": Architecture(pod_mlp.train_pod_mlp, pod_mlp.predict, kind="network", check=pod_mlp.check_settings),
    **{design.name: _fields(design) for design in FIELD_NETWORKS},
    "reduced-basis": Architecture(
        reduced_basis.train_reduced_basis,
        reduced_basis.predict,
        reduced_basis.on_host,
        needs="operator and load affine in few terms",
        misfit=_needs_few_terms,
    ),
    "gaussian-process": Architecture(gaussian_process.train_gaussian_process, gaussian_process.predict),
    "kernel-ridge": Architecture(kernel_ridge.train_kernel_ridge, kernel_ridge.predict),
    "pod-interpolation": Architecture(pod_interpolation.train_pod_interpolation, pod_interpolation.predict),
    "random-features": Architecture(random_features.train_random_features, random_features.predict),
    "polynomial": Architecture(polynomial.train_polynomial, polynomial.predict, check_physics=check_few_terms),
    "linear": Architecture(linear.train_linear, linear.predict),
    "nearest": Architecture(nearest.train_nearest, nearest.predict),
    "mean": Architecture(mean.train_mean, mean.predict),
}


def surrogate_name(name: Any) -> str:
    """The name, if there is such a surrogate.

    Raises:
        ValueError: there is none; the closest match is offered.
    """
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise closest(str(name), ARCHITECTURES, "surrogate")
    return name
