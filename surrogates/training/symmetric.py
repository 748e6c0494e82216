"""The symmetries that a problem declares, exactly kept by any network, or learnt by it.

    u(p[inputs_g]) = u(p)[entries_g] for all motions g of a group:

    average     net'(p) = mean_g net(p[inputs_g])[entries_g^-1]: as smooth as the network, at |g| times its cost
    canonical   net'(p) = net(p[inputs_c])[entries_c^-1], c the one whose p[inputs_c] is last in the order of words: at
                its own cost, exact to the bit, and with jumps of the size of its error where two motions tie
    soft        net itself, whose loss has |net(p) - net(p[inputs_g])[entries_g^-1]|^2 / |net(p)|^2 added, a motion g
                a row, which changes with mini-batches: twice its cost in training, and kept as far as it is learnt

A network that keeps them need not learn the same solution |g| times.
Reference: Murphy et al. 2019 (averages); Kaba et al. 2023 (canonical forms).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ...solvers.problem import Problem

WAYS = ("none", "average", "canonical", "soft")
EXACT = ("average", "canonical")
Fields = Callable[[Array], Array]  # [n, d] -> [n, N]


def group_arrays(problem: Problem, way: str) -> dict[str, np.ndarray]:
    """What a surrogate keeps of the group: the motions of the inputs, and what undoes those of the entries; nothing
    where the group is not kept exactly.

    Raises:
        ValueError: the problem declares no symmetries.
    """
    if way != "none" and not problem.symmetries:
        raise ValueError(f"{problem.name} declares no symmetries: leave symmetry at 'none'")
    if way not in EXACT:
        return {}
    inputs, back = motions(problem)
    return {"norm.group.inputs": inputs, "norm.group.back": back}


def motions(problem: Problem) -> tuple[Int[np.ndarray, "g d"], Int[np.ndarray, "g N"]]:
    """Of the inputs, the identity first, and what undoes those of the entries."""
    group = problem.symmetries
    return np.stack([g.inputs for g in group]), np.stack([np.argsort(g.entries) for g in group])


def moved_back(problem: Problem, fields: Fields, P: Float[Array, "n d"], turn: Any) -> Float[Array, "n N"]:
    """What the fields are where row i of P is moved by motion i + turn of the group, moved back: ``fields(P)`` itself
    where they keep it. All motions but the identity take their turns, where ``turn`` differs from batch to
    batch; with no more rows than a batch, of which every step sees all, each row keeps the motion of its place.
    """
    inputs, back = (jnp.asarray(a) for a in motions(problem))
    which = (1 + (jnp.arange(len(P)) + turn) % (len(inputs) - 1)) if len(inputs) > 1 else jnp.zeros(len(P), dtype=int)
    U = fields(jnp.take_along_axis(P, inputs[which], axis=1))
    return jnp.take_along_axis(U, back[which], axis=1)


def symmetrised(fields: Fields, way: str, arrays: Mapping[str, Any], P: Float[Array, "n d"]) -> Float[Array, "n N"]:
    """Fields that keep the group of ``arrays``, where that is to be kept exactly."""
    if way not in EXACT:
        return fields(P)
    inputs, back = jnp.asarray(arrays["norm.group.inputs"]), jnp.asarray(arrays["norm.group.back"])
    moved = P[:, inputs]
    if way == "average":
        U = fields(moved.reshape(-1, P.shape[1])).reshape(len(P), len(inputs), -1)
        return jnp.take_along_axis(U, back[None], axis=2).mean(axis=1)
    last = jax.vmap(lambda rows: jnp.lexsort(rows.T[::-1])[-1])(moved)
    U = fields(jnp.take_along_axis(moved, last[:, None, None], axis=1)[:, 0])
    return jnp.take_along_axis(U, back[last], axis=1)
