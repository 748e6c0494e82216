"""graph: messages between neighbours of the problem's mesh, whatever its shape.

    m_ij = tanh(S h_i + R h_j + E d_ij + g),    h_j <- h_j + W tanh(A h_j + B mean_i m_ij + g)

A few rounds of a message-passing network: nodes start from their place, the inputs as functions there
(``Problem.input_field``) and the inputs' features; d_ij is the way from one node to the next and its length. Every
round reaches one edge further, which is little on a fine mesh: what acts at once everywhere passes through g, made from
the inputs' features and the mean over all nodes. Renumbering the nodes renumbers the answer. All times are numbers of a
node. It needs neighbours and costs the number of edges. Good values: width 24, 3 rounds.
References: Battaglia et al. 2018 (nodes, edges, globals); Pfaff et al. 2021 (meshes).
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ....solvers.problem import Problem
from ..design import Design, View, positive
from .coordinate import Conditions, encoded, periods_of

OCTAVES = 2


class Round(nn.Module):
    """Every node hears its neighbours once. All rounds are one program, with weights of their own."""

    width: int

    @nn.compact
    def __call__(self, h: Array, mesh: tuple[Array, Array, Array, Array, Array]) -> tuple[Array, None]:
        c, way, start, end, degree = mesh
        g = jnp.concatenate([c, h.mean(axis=0)], axis=1)
        sent, taken, kept = (nn.Dense(self.width, name=what)(h) for what in ("send", "take", "keep"))
        taken = taken + nn.Dense(self.width, name="all")(g)
        heard = jax.ops.segment_sum(jnp.tanh(sent[start] + taken[end] + way), end, len(h)) / degree
        change = kept + nn.Dense(self.width, name="hear")(heard) + nn.Dense(self.width, name="to")(g)
        return h + nn.Dense(self.width, name="change")(jnp.tanh(change)), None


class Graph(nn.Module):
    """See the module's docstring. Nodes come first in every array, so that an edge copies one run of memory."""

    width: int
    rounds: int
    period: tuple[float, ...]
    shape: tuple[int, int, int]

    @nn.compact
    def __call__(self, view: View) -> Float[Array, "n times nodes components"]:
        times, nodes, components = self.shape
        assert view.edges is not None and view.fields is not None
        start, end = jnp.concatenate([view.edges, view.edges[:, ::-1]]).T
        degree = jnp.maximum(jax.ops.segment_sum(jnp.ones_like(end, view.x.dtype), end, nodes), 1)[:, None, None]
        way = nn.Dense(self.width, name="way")(self.ways(view.coordinates, start, end))[:, None]
        c = Conditions(self.width, name="inputs")(view.x)
        place = nn.Dense(self.width, name="place")(encoded(view.coordinates, OCTAVES, self.period))[:, None]
        seen = nn.Dense(self.width, name="seen")(jnp.moveaxis(view.fields, 0, 1))
        h = jnp.tanh(place + seen + nn.Dense(self.width, name="start")(c))
        rounds = nn.scan(
            Round, variable_axes={"params": 0}, split_rngs={"params": True}, in_axes=nn.broadcast, length=self.rounds
        )
        h, _ = rounds(self.width, name="round")(h, (c, way, start, end, degree))
        out = nn.Dense(times * components, name="head", kernel_init=nn.initializers.zeros)(h)
        return jnp.transpose(out.reshape(nodes, -1, times, components), (1, 2, 0, 3))

    def ways(self, points: Array, start: Array, end: Array) -> Float[Array, "e axes+1"]:
        """From node to node, in units of the typical length, the shorter way round where the mesh is periodic."""
        away = points[end] - points[start]
        periods = jnp.asarray(self.period, points.dtype)
        away = away - periods * jnp.round(away / jnp.where(periods > 0, periods, 1.0))
        away = away / jnp.sqrt(jnp.maximum(jnp.mean(jnp.sum(away**2, axis=1)), 1e-30))
        return jnp.concatenate([away, jnp.sqrt(jnp.sum(away**2, axis=1, keepdims=True))], axis=1)


def build(problem: Problem, *, width: int = 24, rounds: int = 3) -> nn.Module:
    """The network of a problem.

    Args:
        width: numbers of a node and of a message.
        rounds: messages that are passed on.

    Raises:
        ValueError: numbers that make no sense.
    """
    positive(width=width, rounds=rounds)
    return Graph(width, rounds, periods_of(problem), problem.shape)


def misfit(problem: Problem) -> str:
    """One sentence why it does not fit a problem; empty where it does."""
    if problem.edges is not None:
        return ""
    return (
        f"nothing tells which nodes of {problem.name} are neighbours, which graph needs (coordinates do where they are "
        "given): transformer needs none"
    )


GRAPH = Design("graph", build, misfit, needs="a mesh: which nodes are neighbours", sees_fields=True, sees_edges=True)
