"""What a network that gives fields outright is: what it sees of a problem, how it is built, and where it does not fit.

    field(p) = prescribe(p, s (base + scale * net(view(p)))),    amplitude s: the problem's known scalings

The base is the mean of the fields or a polynomial (``base_field.py``).

A ``Design`` is one architecture. Its ``build`` gives a flax module that maps a ``View`` of n inputs to [n, times,
nodes, components]; everything around it (normalisers, losses, optimisers, checkpoints, files) is in
``field_training.py``, ``field_loss.py`` and ``field_network.py``, which know no architecture.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np
from jaxtyping import Array, Float, Int

from ...solvers.problem import Problem
from ..training.pod import Data


class View(NamedTuple):
    """What a network sees of n inputs."""

    x: Float[Array, "n m"]  # features of the inputs, over [-1, 1]
    fields: Float[Array, "n nodes channels"] | None  # the inputs as functions, normalised; None where not asked for
    coordinates: Float[Array, "nodes axes"]  # of the nodes, over [-1, 1]
    times: Float[Array, " times"]  # over [-1, 1]; one zero where the problem is stationary
    edges: Int[Array, "e 2"] | None = None  # of the mesh
    base: Float[Array, "*n times nodes components"] | None = None  # what is corrected, normalised; a mean has no n
    given: Float[Array, "n times nodes components"] | None = None  # what the base lacks of prescribed values


class Design(NamedTuple):
    """An architecture that gives fields outright.

    ``build(problem, **settings)`` is the flax module, its keyword arguments the settings with their defaults; it raises
    ValueError where a setting makes no sense. ``misfit(problem)`` is one sentence why the architecture does not fit the
    problem, naming one that does; empty where it fits.
    """

    name: str
    build: Callable[..., nn.Module]
    misfit: Callable[[Problem], str]
    needs: str = "nothing"  # of a problem, in words
    sees_fields: bool = False  # the inputs as functions on the nodes
    sees_edges: bool = False
    sees_base: bool = False  # and what it lacks of prescribed values
    rate: float = 2e-3  # of Adam
    batch: int = 4  # rows of a step: few where a row is expensive, for snapshots have no noise to average
    penalised: bool = False  # whether the module's ``penalty(view, fields)``, a mean over rows, is a part of the loss
    # what training says of it, of its arrays and the rows that it learnt
    report: Callable[[Problem, Mapping[str, np.ndarray], Data], dict[str, Any]] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Its own settings by name, with their defaults."""
        found = list(inspect.signature(self.build).parameters.values())[1:]
        return {parameter.name: parameter.default for parameter in found}

    def keeps_shifts(self, problem: Problem) -> bool:
        """Whether shifted inputs get shifted fields, so that nothing that knows the place may be added."""
        return self.sees_fields and problem.periodic


def fits_all(problem: Problem) -> str:
    """An architecture that asks for nothing."""
    return ""


def scaled(a: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n m"]:
    """Columns over [-1, 1]; those that are constant are zero."""
    low, high = a.min(axis=0), a.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    return np.where(high > low, 2 * (a - low) / width - 1, 0.0)


def mesh_of(problem: Problem) -> tuple[Float[np.ndarray, "nodes axes"], Float[np.ndarray, " times"]]:
    """Coordinates of the nodes and times, both over [-1, 1]."""
    times, nodes, _ = problem.shape
    where = np.asarray(problem.coordinates, dtype=np.float64)
    if len(where) == times * nodes and times > 1:  # the time in the first column
        clock = scaled(where[::nodes, :1])[:, 0]
        return scaled(where[:nodes, 1:]), clock
    return scaled(where[:nodes]), np.zeros(1) if times == 1 else np.linspace(-1, 1, times)


def positive(**numbers: Any) -> None:
    """Check that settings are whole numbers of at least one.

    Raises:
        ValueError: naming the one that is not.
    """
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} is a whole number of at least 1, not {value!r}")
