"""Three solvers as users have them, for `assay bench assay.benchmarks.subjects.own:NAME`: known as functions only.

scalar   one number: the period of a pendulum, by its amplitude
flow     two components in the nodes of a line: velocity and pressure in a channel with a constriction
corner   a series that diverges, and is NaN, in one corner of its box
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import ellipk

from ...solvers.box import Box
from ...solvers.problems.black_box import BlackBox, black_box

NODES = np.linspace(0.0, 1.0, 33)


def period(p: Float[np.ndarray, " 2"]) -> float:
    """T = 4 sqrt(l/g) K(sin^2(a/2)), of amplitude a and length l."""
    amplitude, length = p
    return float(4 * np.sqrt(length / 9.81) * ellipk(np.sin(amplitude / 2) ** 2))


def channel(p: Float[np.ndarray, " 2"]) -> Float[np.ndarray, "nodes 2"]:
    """Velocity v = 1/A(x) and pressure (1 - v^2)/2 (Bernoulli), of area A = 1 - depth exp(-((x - place)/0.15)^2)."""
    depth, place = p
    velocity = 1 / (1 - depth * np.exp(-(((NODES - place) / 0.15) ** 2)))
    return np.stack([velocity, (1 - velocity**2) / 2], axis=1)


def geometric(p: Float[np.ndarray, " 2"]) -> Float[np.ndarray, " nodes"]:
    """sum_k (a b)^k cos(k x), summed in closed form, which is NaN where it diverges: a b > 1."""
    r = p[0] * p[1]
    with np.errstate(invalid="ignore"):
        root = np.sqrt(1.0 - r)  # NaN beyond the radius of convergence
    x = np.pi * NODES
    return (1 - r * np.cos(x)) / (1 - 2 * r * np.cos(x) + r**2) * root / root


def scalar() -> BlackBox:
    box = Box(("amplitude", "length"), np.array([0.1, 0.5]), np.array([2.5, 2.0]))
    return black_box(period, box, name="pendulum")


def flow() -> BlackBox:
    box = Box(("depth", "place"), np.array([0.1, 0.4]), np.array([0.5, 0.6]))
    return black_box(channel, box, NODES[:, None], name="channel", components=("velocity", "pressure"))


def corner() -> BlackBox:
    box = Box(("a", "b"), np.array([0.1, 0.1]), np.array([1.2, 1.2]))
    return black_box(geometric, box, NODES[:, None], name="series")
